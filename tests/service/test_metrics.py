"""What `/metrics` tells, and that it tells what is documented and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest

from workers.contract import Queue, Task
from workers.figures import FIGURES, NAMED, rows
from workers.jobs import Jobs, NewJob, new_id
from workers.lanes import OwnerSide, WorkerSide

ROOT = Path(__file__).parents[2]
COUNTED = re.compile(r"""(?:tally\.(?:add|spent|sized)|[^_]count|spent)\(\s*f?["']([a-z_]+)""")


def told(text: str) -> dict[str, set[str]]:
    """The labels of every metric of a page."""
    kinds = dict(re.findall(r"# TYPE (\w+) (\w+)", text))
    found: dict[str, set[str]] = {}
    for name, marks in re.findall(r"^([a-z_]+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        whole = re.sub(r"_(bucket|sum|count)$", "", name)
        full = whole if kinds.get(whole) == "histogram" else name
        found.setdefault(full, set()).update(set(re.findall(r"(\w+)=", marks)) - {"le"})
    return found


def test_every_figure_is_told_with_its_labels_and_no_other(door: Any) -> None:
    assert door.predict(("NaCl.cif", b"good")).status_code == 200
    text = door.client.get("/metrics").text
    assert told(text) == {figure.full: set(figure.labels) for figure in FIGURES}
    abouts = dict(re.findall(r"# HELP (\w+) (.*)", text))
    assert abouts == {figure.full: figure.about for figure in FIGURES}


def test_every_name_that_is_counted_is_a_figure() -> None:
    sources = [*(ROOT / "workers").glob("*.py"), *(ROOT / "workers/lua").glob("*.lua")]
    names = {name for path in sources for name in COUNTED.findall(path.read_text())}
    assert names == {figure.name for figure in FIGURES if figure.counted}


def test_a_histogram_counts_each_value_once_and_up_to_its_bound() -> None:
    figure = NAMED["model_load_seconds"]
    name = figure.name
    counters = {f"{name}:in:0.5": 2.0, f"{name}:in:2": 1.0, f"{name}:count": 4.0, f"{name}:sum": 99}
    lines = rows(figure, counters)
    assert 'matprop_model_load_seconds_bucket{le="0.2"} 0' in lines
    assert 'matprop_model_load_seconds_bucket{le="1"} 2' in lines
    assert 'matprop_model_load_seconds_bucket{le="30"} 3' in lines
    assert lines[-3:] == [
        'matprop_model_load_seconds_bucket{le="+Inf"} 4',
        "matprop_model_load_seconds_sum 99",
        "matprop_model_load_seconds_count 4",
    ]


@pytest.mark.parametrize(
    ("kind", "queue"), [(Task.PREDICT, Queue.PARSE), (Task.TRAIN, Queue.TRAIN)]
)
def test_a_job_waits_in_its_queue_until_it_is_claimed(jobs: Jobs, kind: Task, queue: Queue) -> None:
    job = new_id("job")
    assert jobs.submit(NewJob(id=job, kind=kind, order="{}"))
    while (health := jobs.health()).oldest_s[queue] == 0:
        pass
    assert health.waiting == {other: int(other == queue) for other in Queue}
    claim = jobs.claim(job, "w.1")
    assert claim is not None
    health = jobs.health()
    assert (health.waiting[queue], health.oldest_s[queue]) == (0, 0)
    assert health.running_kinds == {kind: 1}
    assert jobs.release(claim)
    assert jobs.health().waiting[queue] == 1


def test_lanes_are_the_queue_of_inference(jobs: Jobs) -> None:
    owner = OwnerSide(jobs.redis, "job_a.1")
    owner.push("m@1", 30, b"content")
    while (health := jobs.health()).oldest_s[Queue.INFER] == 0:
        pass
    assert health.waiting[Queue.INFER] == 1
    assert sum(taken.edges for taken in WorkerSide(jobs.redis, "infer.1").take("m@1", 100)) == 30
    assert jobs.health().waiting[Queue.INFER] == 0


def test_a_worker_tells_its_versions_and_the_difference_of_its_clock(jobs: Jobs) -> None:
    jobs.alive(Queue.INFER, "infer.1", {"versions": {"matprop": "0.0.1"}, "models": ["m@1"]})
    jobs.alive(Queue.PARSE, "parse.1")
    parse, infer = jobs.health().told
    assert (parse.queue, parse.about) == ("parse", {})
    assert infer.about["versions"]["matprop"] == "0.0.1"
    assert abs(infer.skew_s) < 60
