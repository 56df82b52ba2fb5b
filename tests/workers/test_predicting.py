import logging

from tests.workers.conftest import lapse
from workers.jobs import Beat, Status, new_id


def values(records):
    return [[one["value"] for one in record["predictions"]] for record in records]


def test_records_come_in_the_order_of_the_input_whatever_is_in_it(stage):
    job, records = stage.predict(
        ("a.cif", "Na1 Na2"),
        ("b.cif", "bad"),
        {"name": "c", "error": {"code": "too_large"}},
        ("d", "Na3"),
    )
    assert [record["index"] for record in records] == [0, 1, 2, 3, 4]
    assert [record["name"] for record in records] == ["a.cif", "a.cif", "b.cif", "c", "d"]
    assert values(records) == [[1.0], [2.0], [], [], [3.0]]
    assert [record.get("error", {}).get("code") for record in records] == [
        None, None, "unreadable_structure", "too_large", None,
    ]  # fmt: skip
    assert (job.status, job.done, job.failed, job.total) == (Status.SUCCEEDED, 5, 2, 5)


def test_a_record_has_all_its_fields(stage):
    _, (record,) = stage.predict(("a.cif", "Na2"))
    assert record == {
        "index": 0, "name": "a.cif", "formula": "Na2", "n_sites": 2, "status": "succeeded",
        "predictions": [{
            "model": "m@1", "property": "p0", "value": 2.0, "unit": "eV",
            "interval": None, "level": 0.9, "std": None,
            "in_domain": None, "domain_score": None, "reasons": [],
        }],
        "warnings": [],
    }  # fmt: skip


def test_several_models_and_targets_answer_in_one_record(stage):
    _, (record,) = stage.predict(("a", "H2"), models=("two@1", "m@1"))
    assert [(one["model"], one["property"]) for one in record["predictions"]] == [
        ("two@1", "p0"), ("two@1", "p1"), ("m@1", "p0"),
    ]  # fmt: skip


def test_a_model_that_never_saw_an_element_answers_and_says_so(stage):
    _, (record,) = stage.predict(("a", "Na2"), models=("narrow@1", "m@1"))
    assert (record["status"], values([record])) == ("succeeded", [[2.0, 2.0]])
    narrow, other = record["predictions"]
    assert (narrow["in_domain"], narrow["domain_score"]) == (False, None)
    assert narrow["reasons"] == ["2 sites of Na, which none of the training structures holds."]
    assert (other["in_domain"], other["reasons"]) == (None, [])


def test_what_is_known_of_elements_alone_makes_nothing_familiar(stage):
    _, (record,) = stage.predict(("a", "H2"), models=("narrow@1",))
    assert record["predictions"][0]["in_domain"] is None


def test_a_graph_that_cannot_be_made_is_the_records_error(stage):
    _, (record,) = stage.predict(("a", "Alone1"))
    assert (record["status"], record["error"]["code"]) == ("failed", "isolated_site")


def test_a_structure_that_breaks_the_network_harms_no_other(stage, caplog):
    caplog.set_level(logging.CRITICAL)
    job, records = stage.predict(("a", "H13"), ("b", "H2"), ("c", "H17"))
    assert values(records) == [[None], [2.0], [None]]
    assert [record["status"] for record in records] == ["failed", "succeeded", "failed"]
    assert records[0]["error"]["code"] == "internal"
    assert "thirteen" not in str(records)
    assert (job.status, job.failed) == (Status.SUCCEEDED, 2)


def test_a_job_that_failed_altogether_by_our_fault_is_a_failed_job(stage, caplog):
    caplog.set_level(logging.CRITICAL)
    job, _ = stage.predict(("a", "H13"))
    assert (job.status, job.error["code"]) == (Status.FAILED, "internal")


def test_a_job_that_failed_altogether_by_its_input_has_done_its_work(stage):
    job, _ = stage.predict(("a", "bad"))
    assert (job.status, job.failed, job.error) == (Status.SUCCEEDED, 1, None)


def test_sites_and_features_are_told_on_request(stage):
    _, (record,) = stage.predict(("a", "H2"), models=("m@1", "two@1"), sites=True, features=True)
    assert record["sites"][1] == {"index": 1, "element": "H", "contributions": {"m@1/p0": 1.0}}
    assert record["predictions"][0]["features"] == [0.5]
    assert "two@1" in record["warnings"][0]


def test_an_answer_tells_how_far_to_trust_it(stage):
    _, (near, far) = stage.predict(("a", "Na2"), ("b", "Na9"), models=("sure@1",))
    first, second = near["predictions"]
    assert (first["interval"], first["std"]) == ([1.0, 3.0], 0.1)
    assert (second["interval"], second["std"]) == ([0.0, 4.0], 0.1)
    assert (first["in_domain"], first["domain_score"], first["reasons"]) == (True, 0.25, [])
    assert [one["in_domain"] for one in far["predictions"]] == [False, False]
    assert far["predictions"][0]["reasons"] == ["It is far from all of it.", "2 sites of Tc."]


def test_a_probability_tells_its_class_and_the_more_probable_one(stage):
    _, records = stage.predict(("a", "H1 H2 H13"), models=("metal@1",))
    told = [one["predictions"][0] for one in records]
    assert [one["of_class"] for one in told] == ["metal"] * 3
    assert [one["value"] for one in told] == [0.25, 0.5, None]
    assert [one.get("label") for one in told] == ["semiconductor", "metal", None]


def test_a_kept_answer_is_the_same_as_a_fresh_one_at_any_level(stage):
    def ask(level):
        _, records = stage.predict(("a", "Na2"), ("b", "Na9"), models=("sure@1",), level=level)
        return records

    fresh = ask(0.9)
    assert ask(0.9) == fresh
    assert [one["interval"] for one in ask(0.5)[0]["predictions"]] == [[1.75, 2.25], [1.5, 2.5]]
    beyond = ask(0.999)[0]
    assert (beyond["predictions"][0]["interval"], beyond["predictions"][0]["std"]) == (None, 0.1)
    assert "up to 0.95" in beyond["warnings"][0]
    assert stage.networks["sure@1"].batches == [2]


def test_neighbours_are_told_on_request(stage):
    _, (record,) = stage.predict(("a", "Na2"), models=("sure@1", "m@1"), neighbours=True)
    first, second, other = record["predictions"]
    near = {"name": "mp-1", "formula": "NaCl", "distance": 0.25}
    assert (first["neighbours"], second["neighbours"]) == (
        [near | {"value": 1.5}], [near | {"value": 2.5}],
    )  # fmt: skip
    assert "neighbours" not in other
    assert record["warnings"] == [
        "m@1 keeps nothing of what it learned from: it knows no neighbours."
    ]


def test_equal_structures_are_computed_once(stage):
    stage.predict(*[(f"{number}.cif", "Na5") for number in range(30)])
    _, records = stage.predict(("again.cif", "Na5"))
    assert values(records) == [[5.0]]
    assert stage.networks["m@1"].batches == [1]


def test_the_same_text_is_read_once(stage):
    stage.predict(("a.cif", "Na5"))
    stage.predict(("a.cif", "Na5"))
    assert stage.reader.read_texts == [b"Na5"]


def test_a_big_job_goes_in_chunks_and_stays_in_order(stage):
    words = [f"Na{number + 20}" for number in range(500)]
    job, records = stage.predict(("all", " ".join(words)), direct=False)
    assert values(records) == [[float(number + 20)] for number in range(500)]
    assert (job.done, job.total) == (500, 500)
    assert sum(stage.networks["m@1"].batches) == 500


def test_an_unknown_model_and_an_empty_upload_fail_the_job_with_their_codes(stage):
    for files, order, code in (
        ([("a", "H1")], {"models": ("none@1",)}, "unknown_model"),
        ([], {}, "empty_input"),
    ):
        job = stage.submit(*files, **order)
        assert stage.holder.run(job, stage.predictor.run)
        assert stage.jobs.get(job).error["code"] == code


def test_an_upload_that_is_gone_is_our_fault_and_says_no_more(stage, caplog):
    caplog.set_level(logging.CRITICAL)
    job = stage.submit(("a", "H1"))
    stage.files.upload(job).unlink()
    stage.holder.run(job, stage.predictor.run)
    assert stage.jobs.get(job).error["code"] == "internal"


def test_an_unexpected_fault_is_logged_and_not_told(stage, caplog):
    def fail(source):
        raise KeyError("secret")

    stage.reader.before = fail
    job = stage.submit(("a", "H1"))
    stage.holder.run(job, stage.predictor.run)
    assert "secret" in caplog.text
    assert "secret" not in str(stage.jobs.get(job))


def test_a_cancelled_job_keeps_what_was_done(stage):
    job = stage.submit(("a", "H1"), ("b", "H2"), ("c", "H3"))

    def cancel(source):
        if source.name == "c":
            stage.jobs.cancel(job)
            stage.holder.pulse.beat()

    stage.reader.before = cancel
    stage.holder.run(job, stage.predictor.run)
    ended = stage.jobs.get(job)
    assert ended.status is Status.CANCELLED
    assert ended.done == len(stage.records(job))


def test_what_is_complete_behind_what_is_not_is_kept_and_counted_when_a_job_is_cancelled(stage):
    job = stage.submit(("a", "H1"), ("b", "bad"), ("c", "bad"), ("d", "H2"))

    def cancel(source):
        if source.name == "d":
            stage.jobs.cancel(job)
            stage.holder.pulse.beat()

    stage.reader.before = cancel
    stage.holder.run(job, stage.predictor.run)
    ended = stage.jobs.get(job)
    assert [record["name"] for record in stage.records(job)] == ["b", "c"]
    assert (ended.done, ended.failed, ended.total) == (2, 2, 4)


def test_an_attempt_and_a_retry_count_what_archives_hold_anew(stage):
    job = stage.submit(("a", "H1 H2 H3"), ("b", "bad"))
    lost = stage.jobs.claim(job, "lost")
    stage.jobs.progress(lost, 3, 0, 4)
    stage.jobs.release(lost)
    stage.holder.run(job, stage.predictor.run)
    assert (stage.jobs.get(job).total, stage.jobs.get(job).sent) == (4, 2)
    again = new_id("job")
    assert stage.jobs.retry(job, again)
    assert stage.jobs.get(again).total == 2
    stage.files.lend(job, again)
    stage.holder.run(again, stage.predictor.run)
    assert (stage.jobs.get(again).done, stage.jobs.get(again).total) == (4, 4)


def test_a_worker_that_is_to_stop_gives_the_job_back_and_another_ends_it(stage):
    job = stage.submit(("a", "H1"))
    stage.reader.before = lambda _: stage.stopping.ask()
    assert not stage.holder.run(job, stage.predictor.run)
    assert stage.jobs.get(job).status is Status.QUEUED
    assert not stage.files.result(job).exists()
    assert stage.files.upload(job).exists()


def test_a_worker_that_lost_its_job_writes_nothing(stage):
    job = stage.submit(("a", "H1"))

    def lose(source):
        lapse(stage.jobs.redis, job)
        stage.jobs.reconcile()
        assert stage.jobs.claim(job, "other") is not None
        stage.holder.pulse.beat()

    stage.reader.before = lose
    assert not stage.holder.run(job, stage.predictor.run)
    assert not stage.files.result(job).exists()
    assert stage.jobs.get(job).status is Status.RUNNING


def test_uploads_go_unless_something_can_be_retried(stage):
    good, _ = stage.predict(("a", "H1"))
    bad, _ = stage.predict(("a", "bad"))
    assert not stage.files.upload(good.id).exists()
    assert stage.files.upload(bad.id).exists()


def test_an_end_that_the_broker_forgot_is_told_again(stage):
    job, records = stage.predict(("a", "H1 H2"), ("b", "H3"))
    stage.jobs.redis.hset(f"mp:job:{job.id}", "status", "queued")
    assert stage.holder.run(job.id, stage.predictor.run)
    again = stage.jobs.get(job.id)
    assert (again.status, again.done, again.failed, again.total) == (Status.SUCCEEDED, 3, 0, 3)
    assert len(stage.files.result(job.id).read_text().splitlines()) == len(records)


def test_a_beat_learns_of_a_cancel(stage):
    job = stage.submit(("a", "H1"))
    claim = stage.jobs.claim(job, "w")
    with stage.holder.pulse.holding(claim) as grip:
        stage.jobs.cancel(job)
        stage.holder.pulse.beat()
        assert grip.beat is Beat.CANCELLED
