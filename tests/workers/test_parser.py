import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from models.graphs.graph import unpack
from models.settings.graph import GraphSettings
from models.structures.parse import ReadOptions, Unit, parse
from tests.archives import zipped
from workers.parser import LOSSES, Parser, ParserLimits, Source, _Pending
from workers.parser_child import Child
from workers.parser_wire import Channel
from workers.parser_zygote import Zygote

CIF = b"""data_x
_cell_length_a 4.1
_cell_length_b 4.1
_cell_length_c 4.1
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Cs1 Cs 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""
# A document that needs many times its size.
GREEDY = b"[" + b"[]," * 1_600_000 + b"[]]"
OPTIONS = ReadOptions()


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    made = Parser()
    yield made
    made.close()


def one(parser: Parser, name: str, data: bytes, **options: object):
    (found,) = parser.read([Source(7, name, None, data)], ReadOptions(**options))
    return found


def test_a_child_reads_what_reading_here_reads(parser):
    (here,) = parse(CIF, "a.cif", None, OPTIONS)
    there = one(parser, "a.cif", CIF)
    assert (there.source, there.name, there.formula, there.n_sites) == (7, "a.cif", "CsCl", 2)
    assert there.digest == here.digest()
    assert there.numbers == here.numbers.tobytes()
    assert (there.error, there.graphs, there.fractional) == (None, {}, None)


def test_coordinates_come_when_asked_for(parser):
    (found,) = parser.read([Source(0, "a.cif", None, CIF)], OPTIONS, fractional=True)
    assert found.fractional == [0, 0, 0, 0.5, 0.5, 0.5]


def test_graphs_come_packed_by_the_key_of_their_settings(parser):
    settings = [GraphSettings(), GraphSettings(max_neighbours=8)]
    (found,) = parser.read([Source(0, "a.cif", None, CIF)], OPTIONS, settings)
    graphs = [unpack(found.graphs[setting.key()]) for setting in settings]
    assert [graph.n_sites for graph in graphs] == [2, 2]
    assert graphs[0].n_edges > graphs[1].n_edges


def test_a_graph_that_cannot_be_made_is_a_fault_of_that_graph_alone(parser):
    lonely = CIF.replace(b" 4.1", b" 30").replace(b"Cl1 Cl 0.5 0.5 0.5\n", b"")
    settings = [GraphSettings(radius=8), GraphSettings(radius=2)]
    (found,) = parser.read([Source(0, "a.cif", None, lonely)], OPTIONS, settings)
    assert found.error is None
    assert [fault["code"] for fault in found.faults.values()] == ["isolated_site"] * 2


def test_errors_keep_their_class_and_parts(parser):
    found = one(parser, "a.cif", b"%PDF-1.4")
    assert found.error["code"] == "unknown_format"
    assert found.error["file"] == found.name == "a.cif"
    assert (found.formula, found.n_sites, found.numbers) == (None, None, b"")


def test_options_reach_the_child_and_change_between_reads(parser):
    mixed = CIF.replace(b"_z\nCs1 Cs 0 0 0", b"_z\n_atom_site_occupancy\nCs1 Cs 0 0 0 .7").replace(
        b"0.5 0.5 0.5", b"0.5 0.5 0.5 1"
    )
    assert one(parser, "a.cif", mixed).error["code"] == "disordered_structure"
    assert one(parser, "a.cif", mixed, disorder="majority").n_sites == 2
    assert one(parser, "a.cif", mixed).error is not None


def test_many_sources_come_in_order_each_at_least_once(parser):
    sources = [Source(i, f"{i}.cif", None, CIF if i % 3 else b"nothing") for i in range(200)]
    found = list(parser.read(iter(sources), OPTIONS))
    assert [item.source for item in found] == list(range(200))
    assert [item.error is None for item in found] == [bool(i % 3) for i in range(200)]


def test_a_thousand_members_stream_out_of_one_source(parser):
    stream = parser.read([Source(0, "s.zip", None, THOUSAND)], OPTIONS)
    first = next(stream)
    rest = list(stream)
    assert first.name == "s.zip/0000.cif"
    assert [item.name for item in rest] == [f"s.zip/{i:04}.cif" for i in range(1, 1000)]


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"data": []}', b""])
def test_a_source_that_holds_nothing_still_gives_one_item(parser, data):
    assert one(parser, "a.json", data).error is not None


PATIENT = ParserLimits(wall_s=60)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parser]:
    """It waits for a child as long as that takes, and hardly for one that hangs."""

    def renew(parser: Parser) -> None:
        parser.limits = PATIENT
        renewed(parser)

    renewed = Parser._renew
    monkeypatch.setattr(Parser, "_renew", renew)
    made = Parser(PATIENT)
    list(made.read([Source(0, "a.cif", None, CIF)], OPTIONS))
    yield made
    made.close()


def hang(parser: Parser) -> None:
    """Let the child do nothing any more, like one that is lost in a library."""
    os.kill(parser.child, signal.SIGSTOP)
    parser.limits = replace(PATIENT, wall_s=0.3)


def test_a_child_that_hangs_among_several_is_replaced_and_nobody_is_blamed_yet(hasty):
    sources = [Source(i, f"{i}.cif", None, CIF) for i in range(3)]
    hang(hasty)
    assert [item.error for item in hasty.read(sources, OPTIONS)] == [None] * 3


def test_what_takes_too_long_is_given_up_and_the_rest_is_read(hasty, monkeypatch):
    def renew(parser: Parser) -> None:
        renewed(parser)
        if parser._pending and parser._pending[0].source.index == 0:
            hang(parser)

    renewed = Parser._renew
    monkeypatch.setattr(Parser, "_renew", renew)
    sources = [Source(i, f"{i}.cif", None, CIF) for i in range(3)]
    before = hasty.child
    hang(hasty)
    found = list(hasty.read(sources, OPTIONS))
    assert [item.error and item.error["code"] for item in found] == ["parser_limit", None, None]
    assert found[0].error["file"] == "0.cif"
    assert hasty.child != before


THOUSAND = zipped({f"{i:04}.cif": CIF for i in range(1000)})


def test_a_child_that_hangs_on_the_way_costs_one_member_at_most(hasty):
    stream = hasty.read(
        [Source(0, "s.zip", None, THOUSAND), Source(1, "d.cif", None, CIF)], OPTIONS
    )
    found = [next(stream)]
    hang(hasty)
    found += stream
    assert [item.name for item in found] == [f"s.zip/{i:04}.cif" for i in range(1000)] + ["d.cif"]
    assert sum(item.error is not None for item in found) <= 1


class Hanging(Child):
    """A child that is lost for good in a structure of this name."""

    def _unit(self, member: int, number: int, unit: Unit) -> bool:
        if unit.name == "hang.cif":
            signal.pause()
        return super()._unit(member, number, unit)


@pytest.mark.parametrize(
    "several", [zipped({"a.cif": CIF, "b.cif": CIF}), CIF + CIF.replace(b"data_x", b"data_y")]
)
def test_what_was_read_of_several_is_told_before_another_source_hangs(several):
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            Hanging(theirs, 1 << 30).run()
        finally:
            os._exit(1)
    theirs.close()
    channel = Channel(ours)
    channel.send(["order", asdict(OPTIONS), [], False, None, False])
    channel.send(["source", "several", None, several, 0, 0])
    channel.send(["source", "hang.cif", None, CIF, 0, 0])
    told, until = [], time.monotonic() + 20
    while told.count("done") < 2 and (messages := channel.receive(until)):
        told += [message[0] for message in messages]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    channel.close()
    assert told.count("begin") == told.count("done") == 2


def test_a_source_that_costs_child_after_child_is_given_up(parser):
    source = Source(0, "s.zip", None, THOUSAND)
    assert not parser._give_up(_Pending(source, begun=True, losses=LOSSES - 1))
    assert parser._give_up(_Pending(source, begun=True, losses=LOSSES))


def test_what_takes_too_much_memory_is_given_up_and_the_rest_is_read():
    parser = Parser(ParserLimits(wall_s=20, memory_bytes=60_000_000))
    sources = [Source(i, f"{i}.json", None, GREEDY) for i in range(2)] + [
        Source(2, "a.cif", None, CIF)
    ]
    found = list(parser.read(sources, OPTIONS))
    parser.close()
    assert [item.error and item.error["code"] for item in found] == [
        "parser_limit",
        "parser_limit",
        None,
    ]


def test_a_child_that_is_killed_between_reads_is_replaced_and_nobody_is_blamed(parser):
    assert one(parser, "a.cif", CIF).error is None
    os.kill(parser.child, signal.SIGKILL)
    assert one(parser, "a.cif", CIF).error is None


def test_a_lost_zygote_is_replaced_and_nobody_is_blamed(parser):
    assert one(parser, "a.cif", CIF).error is None
    zygote = Zygote.here()
    os.kill(zygote.pid, signal.SIGKILL)
    zygote.wait()
    assert one(parser, "a.cif", CIF).error is None


def test_a_zygote_that_hung_up_but_still_dies_is_replaced_too(parser):
    assert one(parser, "a.cif", CIF).error is None
    zygote = Zygote.here()
    os.kill(zygote.pid, signal.SIGSTOP)  # not dead for whoever asks, but of no use any more
    zygote.hang_up()
    os.kill(parser.child, signal.SIGKILL)
    assert one(parser, "a.cif", CIF).error is None
    assert Zygote.here() is not zygote
    os.kill(zygote.pid, signal.SIGKILL)
    zygote.wait()


def test_a_caller_that_goes_away_leaves_a_parser_that_works(parser):
    stream = parser.read([Source(i, "a.cif", None, CIF) for i in range(100)], OPTIONS)
    next(stream)
    stream.close()
    del stream
    gc.collect()
    assert [item.source for item in parser.read([Source(5, "b.cif", None, CIF)], OPTIONS)] == [5]


def test_two_threads_with_a_parser_each_do_not_mix():
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        own = Parser()
        sources = [Source(i, f"{number}-{i}.cif", None, CIF) for i in range(60)]
        found[number] = [item.name for item in own.read(sources, OPTIONS)]
        own.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [f"{number}-{i}.cif" for i in range(60)] for number in range(2)}


def test_a_source_larger_than_any_socket_buffer_goes_both_ways(parser):
    grid = [
        f"C C {i % 21 / 21:.4f} {i // 21 % 21 / 21:.4f} {i // 441 / 23:.4f}" for i in range(9_000)
    ]
    head, _, _ = CIF.replace(b" 4.1", b" 60").partition(b"Cs1")
    data = head + "\n".join(grid).encode()
    sources = [Source(i, "a.cif", None, data) for i in range(6)]
    found = list(parser.read(sources, OPTIONS, fractional=True))
    assert [item.n_sites for item in found] == [9_000] * 6
    assert np.shape(found[0].fractional) == (27_000,)


def test_the_child_can_neither_write_files_nor_see_our_secrets(parser):
    one(parser, "a.cif", CIF)
    limits = Path(f"/proc/{parser.child}/limits").read_text()
    environment = Path(f"/proc/{parser.child}/environ").read_bytes()
    assert "Max file size             0" in limits
    assert b"MATPROP" not in environment
    assert b"REDIS" not in environment


def test_children_end_with_their_parent():
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            own = Parser()
            list(own.read([Source(0, "a.cif", None, CIF)], OPTIONS))
            os.write(theirs, f"{own.child} {Zygote.here().pid}".encode())
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.waitpid(pid, 0)
    for process in map(int, os.read(ours, 100).split()):
        until = time.monotonic() + 20
        while _state(process) != "Z":
            assert time.monotonic() < until
    os.close(ours)
    os.close(theirs)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
