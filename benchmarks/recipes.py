"""Trains what each recipe makes of the public data sets, through the service, on the fixed splits of `splits.py`.

Run: python -m benchmarks.recipes --data FOLDER [--only NAME …] [--recipe best paper] [--set KEY=VALUE …] [--seeds 0 1]
Every result goes to benchmarks/results/recipes.jsonl as soon as it is there; `--table` prints them all as a table.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.running import service
from benchmarks.studies import STUDIES, Study
from service.client import Client

RESULTS = Path(__file__).parent / "results" / "recipes.jsonl"


def main() -> None:
    """Send, train, write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="*", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--recipe", nargs="*", default=["best"], choices=["best", "paper"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--rows", type=int, help="training rows")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print("\n".join(table()))
        return
    wanted = dict(pair.split("=", 1) for pair in given.set)
    settings = {name: _value(text) for name, text in wanted.items()}
    with service(workers=1) as port, Client(f"http://127.0.0.1:{port}") as client:
        for name in given.only:
            study = STUDIES[name]
            dataset = _sent(client, given.data, name, study)
            for recipe in given.recipe:
                order = {"recipe": recipe, "settings": settings, "seeds": given.seeds}
                order |= {"rows": given.rows} if given.rows else {}
                _keep({"study": name, **order, **_trained(client, dataset, study, order)})


def _sent(client: Client, data: Path, name: str, study: Study) -> str:
    """The data set's name, with the parts of its rows in a column."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.parquet"
        study.write(data, path)
        kept = client.add_dataset(path, name=name, coordinates=study.coordinates)
    print(f"{name}: {kept.rows} rows", flush=True)
    return name


def _trained(client: Client, dataset: str, study: Study, order: dict[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    job = client.submit_training(dataset, study.target, **study.options, **order)
    for event in client.events(job):
        if event.kind == "metric" and event.data["epoch"] % 10 == 0:
            print(event.data, flush=True)
    view = client.training(job).model_dump(mode="json")
    if view["status"] != "succeeded":
        raise SystemExit(f"{dataset}: {view['status']}: {view['error']}")
    took = round(time.perf_counter() - began, 1)
    return {"seconds": took, **{key: view["result"][key] for key in ("metrics", "baselines")}}


def _keep(result: dict[str, Any]) -> None:
    print(json.dumps(result, indent=1), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")


def table() -> Iterator[str]:
    """One line a result, as Markdown."""
    yield "| what | recipe | set otherwise | test error | best baseline | seconds |"
    yield "|---|---|---|---|---|---|"
    for line in RESULTS.read_text().splitlines():
        one = json.loads(line)
        base = min((parts["test"]["mae"], what) for what, parts in one["baselines"].items())
        changed = ", ".join(f"{key}={value}" for key, value in one["settings"].items())
        yield (
            f"| {one['study']} | {one['recipe']} | {changed} | {one['metrics']['test']['mae']:.4g} "
            f"| {base[0]:.4g} ({base[1]}) | {one['seconds']:.0f} |"
        )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
