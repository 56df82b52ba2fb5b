"""Latency of one small crystal over HTTP: alone, and while two trainings learn and an evaluation is asked for.

Nothing is cached: every structure sent is a new one. What else the machine does disturbs both figures, so it is told.

    python -m benchmarks.together [--calls N]
"""

import argparse
import io
import json
import os
import random
import statistics
import time
import zipfile
from datetime import datetime
from typing import Any

from benchmarks.running import Caller, service, wait_ready
from benchmarks.serving import perovskite, single

RATIO_BAR, WAITING_BAR_S = 2.0, 5.0
MODEL = "formation-energy"
ROWS = 200
TRAININGS = 2


def little_set(rng: random.Random) -> bytes:
    """Crystals with a number each, as a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for row in range(ROWS):
            archive.writestr(f"{row}.cif", perovskite(rng))
        lines = [f"{row},{rng.gauss(0, 1):.4f}" for row in range(ROWS)]
        archive.writestr("id_prop.csv", "\n".join(lines))
    return content.getvalue()


def asked(caller: Caller, path: str, order: dict[str, Any], **headers: str) -> dict[str, Any]:
    """What the service made of an order."""
    body = json.dumps(order).encode()
    status, found = caller.send("POST", path, body, content_type="application/json", **headers)
    assert status < 300, found
    return dict(found)


def begun(caller: Caller, dataset: str, column: str) -> list[str]:
    """Trainings that learn."""
    order = {
        "dataset": dataset,
        "target": {"column": column, "property": "nothing-much", "unit": "1"},
        "settings": {"epochs": 5_000, "patience": None},
    }
    jobs = [asked(caller, "/v1/trainings", order)["id"] for _ in range(TRAININGS)]
    until = time.monotonic() + 300
    for job in jobs:
        while not caller.send("GET", f"/v1/jobs/{job}")[1]["progress"]["done"]:
            assert time.monotonic() < until, caller.send("GET", f"/v1/trainings/{job}")
            time.sleep(0.2)
    return jobs


def judged(caller: Caller, dataset: str, column: str) -> tuple[float, float]:
    """Seconds that a small evaluation waits, and takes."""
    order = {"model": MODEL, "dataset": dataset, "columns": {"formation-energy-per-atom": column}}
    job = asked(caller, "/v1/evaluations", order)["id"]
    while True:
        found = caller.send("GET", f"/v1/jobs/{job}")[1]
        if found["status"] == "succeeded":
            break
        assert found["status"] in ("queued", "running"), found
        time.sleep(0.2)
    made, started, ended = (
        datetime.fromisoformat(found[f"{when}_at"]) for when in ("created", "started", "finished")
    )
    return (started - made).total_seconds(), (ended - started).total_seconds()


def main() -> None:
    """Print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    calls = parser.parse_args().calls
    os.environ["MATPROP_TRAIN_WORKERS"] = str(TRAININGS)
    rng = random.Random(0)
    with service() as port:
        wait_ready(port)
        caller = Caller(port)
        _, body = caller.upload("/v1/datasets", [("file", "little.zip", little_set(rng))])
        dataset, column = body["dataset"]["id"], body["dataset"]["columns"][0]["name"]
        single(port, MODEL, rng, 50)
        load = os.getloadavg()[0]
        alone = statistics.median(single(port, MODEL, rng, calls))
        jobs = begun(caller, dataset, column)
        beside = statistics.median(single(port, MODEL, rng, calls))
        waited, took = judged(caller, dataset, column)
        for job in jobs:
            asked(caller, f"/v1/jobs/{job}/cancel", {})
    print(
        f"one crystal over HTTP, p50: {1000 * alone:.2f} ms; beside {TRAININGS} trainings "
        f"{1000 * beside:.2f} ms: {beside / alone:.2f} × (bar ≤ {RATIO_BAR:g}; "
        f"load {load:.1f} on {os.cpu_count()} processors before)"
    )
    print(
        f"an evaluation beside them waits {waited:.2f} s (bar ≤ {WAITING_BAR_S:g}), takes {took:.1f} s"
    )


if __name__ == "__main__":
    main()
