"""What is sent between owner and inference worker, and kept: whole, compact, and read by both neighbours in time."""

import math

import msgpack

from models.trust.trust import Near
from workers.exchange import Found, Work, pack_found, pack_work, unpack_found, unpack_work
from workers.said import LAYOUT, Said, pack_said, unpack_said

SAID = Said((1.1, -2.0), (0.25, 0.5), (1.5, 2.5), 0.75, ("Far away.", "2 sites of µ."))


def test_an_answer_is_read_as_it_was_sent():
    near = (Near("mp-1", "NaCl", 0.25, (1.5, None)),)
    sent = Found(SAID, [0.5], [[1.0], [2.0]], None, near)
    (found,) = unpack_found(pack_found([sent]))
    assert (found.said, found.features, found.contributions) == (SAID, [0.5], [[1.0], [2.0]])
    assert list(found.nearest) == list(near)


def test_what_is_kept_reads_like_what_came_fresh():
    odd = Said((1 / 3, 1e300), (1 / 3, 2 / 3), (1 / 7, 1e-9), 1 / 9)
    (fresh,) = unpack_found(pack_found([Found(odd)]))
    assert unpack_said(fresh.packed) == fresh.said
    assert fresh.said.values == odd.values


def test_an_error_has_nothing_to_keep():
    (found,) = unpack_found(pack_found([Found(error={"code": "internal"})]))
    assert (found.error, found.packed) == ({"code": "internal"}, None)


def test_one_number_takes_few_bytes_and_reasons_are_bounded():
    assert len(pack_said(Said((1.0,), (0.1,), (0.2,), 0.3))) < 40
    assert len(pack_said(Said((1.0,), reasons=("é" * 500,) * 1000))) < 2_500


def test_an_estimate_that_is_no_number_is_none():
    said = unpack_said(pack_said(Said((1.0,), (math.nan,), (math.inf,), math.inf)))
    assert (said.std, said.difficulty) == ((), ())
    assert said.score > 1
    assert unpack_said(pack_said(Said((1.0,), score=math.nan))).score is None


def test_what_another_version_kept_is_a_miss():
    kept = pack_said(SAID)
    assert unpack_said(bytes([LAYOUT + 1]) + kept[1:]) is None
    assert unpack_said(b"") is None
    assert unpack_said(kept[:20]) is None


def test_work_is_read_as_it_was_asked():
    for features in (False, True):
        for neighbours in (False, True):
            work = Work([b"g"], features, True, neighbours)
            assert unpack_work(pack_work(work)) == work


# Between two versions, while a deployment is upgraded: the layouts of the version before.


def test_an_owner_of_the_version_before_gets_what_it_can_read():
    work = unpack_work(msgpack.packb([True, False, [b"g"]]))
    assert (work.features, work.sites, work.neighbours, work.former) == (True, False, False, True)
    rows = msgpack.unpackb(pack_found([Found(SAID, [0.5])], former=True))
    assert rows == [[[1.1, -2.0], [0.5], None, None]]


def test_a_worker_of_the_version_before_is_asked_so_that_it_can_answer():
    features, sites, graphs = msgpack.unpackb(pack_work(Work([b"g"])))
    assert (bool(features), sites, graphs) == (False, False, [b"g"])
    (found,) = unpack_found(msgpack.packb([[[1.5], None, None, None]]))
    assert (found.said, found.packed) == (Said((1.5,)), None)


def test_a_reply_of_a_later_version_is_an_error_of_ours_and_no_crash():
    (found,) = unpack_found(msgpack.packb([[b"\xff later", None, None, None, None]]))
    assert found.error["code"] == "internal" or "version" in found.error["detail"]
