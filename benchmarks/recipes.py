"""Trains what each recipe makes of the public data sets, through the service, on the fixed splits of `splits.py`.

Run: python -m benchmarks.recipes --data FOLDER [--only NAME …] [--recipe best paper] [--set KEY=VALUE …] [--seeds 0 1]
Every result goes to benchmarks/results/recipes.jsonl as soon as it is there; `--table` prints them all as a table.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rows import Row, read
from benchmarks.running import service
from benchmarks.splits import part
from service.client import Client

RESULTS = Path(__file__).parent / "results" / "recipes.jsonl"
PLAIN = ("id", "lattice", "numbers", "frac_coords")


@dataclass(frozen=True, slots=True)
class Study:
    """One thing to learn from one set."""

    source: str
    target: dict[str, str]
    family: str = "crystal"
    keep: Callable[[Row], bool] = lambda row: True  # noqa: ARG005
    label: Callable[[Row], Any] | None = None  # instead of the column of the target's name
    columns: Sequence[str] = ()  # what else the family needs
    coordinates: str | None = None
    made: Sequence[str] = ()  # how its structures are made, where they come from no folder

    def value(self, row: Row) -> Any:
        """The row's label."""
        return self.label(row) if self.label else row.figures[self.target["column"]]


STUDIES = {
    "formation-energy": Study(
        "mp_cgcnn_elastic_3k",
        {"column": "formation_energy_per_atom", "property": "formation-energy-per-atom", "unit": "eV/atom"},
    ),
    "log-bulk-modulus": Study(
        "mp_cgcnn_elastic_3k",
        {"column": "log_k", "property": "bulk-modulus-log", "unit": "log10(GPa)"},
        keep=lambda row: bool(row.figures["elastic_ok"]) and row.figures["bulk_modulus_vrh"] > 0,
        label=lambda row: math.log10(row.figures["bulk_modulus_vrh"]),
    ),
    "perovskite-heat": Study(
        "perov_5_partial", {"column": "heat_all", "property": "heat-of-formation", "unit": "eV"}
    ),
    "ddec-charge": Study(
        "coremof_ddec",
        {"column": "ddec_charge", "property": "ddec-charge", "unit": "e"},
        family="site",
        keep=lambda row: bool(row.figures["used_by_mpn_paper"]),
    ),
    "adsorbate-distances": Study(
        "gamenet_fg",
        {"column": "bond_distances", "property": "adsorbate-distances", "unit": "Å"},
        family="bond",
        columns=("initial_frac_coords", "anchor_index", "neighbor_indices"),
        coordinates="initial_frac_coords",
    ),
    "dimer-distance-2d": Study(
        "dimers", {"column": "dimer_distance"}, family="image",
        made=("dimers", "--count", "20000", "--shortest", "1", "--longest", "2"),
    ),
    "dimer-energy-2d": Study(
        "dimers", {"column": "dimer_energy"}, family="image",
        made=("dimers", "--count", "20000", "--even", "energy", "--longest", "3"),
    ),
}  # fmt: skip


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
        if study.made:
            program = [sys.executable, "-m", "models.generators", *study.made, "--out", str(path)]
            subprocess.run(program, check=True)
        else:
            rows = [row for row in read(data, study.source) if study.keep(row)]
            pq.write_table(pa.Table.from_pylist(list(_lines(rows, study))), path)
        kept = client.add_dataset(path, name=name, coordinates=study.coordinates)
    print(f"{name}: {kept.rows} rows", flush=True)
    return name


def _lines(rows: Sequence[Row], study: Study) -> Iterator[dict[str, Any]]:
    for row in rows:
        structure = row.structure
        yield {
            "id": structure.name,
            "lattice": structure.lattice.ravel().tolist(),
            "numbers": structure.numbers.tolist(),
            "frac_coords": structure.fractional.ravel().tolist(),
            "part": part(row, study.source),
            study.target["column"]: study.value(row),
            **{column: row.figures[column] for column in study.columns},
        }


def _trained(client: Client, dataset: str, study: Study, order: dict[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    given: dict[str, Any] = {"by": "given", "column": "part"}
    if study.made:
        given = {"by": "random", "val": 0.05, "test": 0.2}
    job = client.submit_training(dataset, study.target, family=study.family, split=given, **order)
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
