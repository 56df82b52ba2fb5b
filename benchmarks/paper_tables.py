"""Every table of the four papers that the data at hand allow, each figure beside the paper's own.

Run: python -m benchmarks.paper_tables --data FOLDER [--only NAME …] [--quick] [--list]
Results go to benchmarks/results/papers.jsonl as soon as they are there; what is there is not done again, and a run that
was killed goes on from its checkpoint in --state. `--draw` writes docs/explanation/papers.md from the results.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.papers import crystals, dimers, slabs_and_sites
from benchmarks.papers.doing import done
from benchmarks.papers.keeping import RESULTS, keep, results
from benchmarks.papers.material import Kitchen
from benchmarks.papers.run import Run, SizeName
from benchmarks.papers.table import Table
from models.errors import MatpropError
from models.infer import prepare_process

TABLES: tuple[Table, ...] = (*crystals.TABLES, *slabs_and_sites.TABLES, *dimers.TABLES)
STATE = Path("state") / "paper-tables"


def main() -> None:
    """Do what is not there, then draw."""
    prepare_process()
    given = _given()
    runs = chosen(given.only)
    if given.list:
        for run in runs:
            print(run.name)
    elif given.data:
        size: SizeName = "short" if given.quick else "full"
        if given.seeds is not None:
            runs = [run.only(given.seeds) for run in runs]
        study(runs, size, given.data, given.results, given.state)
    if given.draw:
        from benchmarks.papers.document import write

        write(TABLES, results(given.results))


def chosen(only: Sequence[str]) -> list[Run]:
    """Runs of the tables that are named so, or whose own names begin so, in that order; each once."""
    found: dict[str, Run] = {}
    for name in only or [""]:
        named = [run for run in every() if run.name.startswith(name) or name in _tables(run)]
        if not named:
            raise SystemExit(f"No table and no run is called {name!r}: --list shows the runs.")
        found |= {run.name: run for run in named}
    return list(found.values())


def every() -> list[Run]:
    """All runs, each once."""
    return list({run.name: run for table in TABLES for run in table.runs}.values())


def _tables(run: Run) -> list[str]:
    return [table.name for table in TABLES if run.name in {each.name for each in table.runs}]


def study(
    runs: Sequence[Run], size: SizeName, data: Path, path: Path = RESULTS, state: Path = STATE
) -> None:
    """All runs with all their seeds, but for those whose results are there."""
    kitchen, there = Kitchen(), {result["key"] for result in results(path)}
    for run, seed in _ordered(runs, size):
        if not run.source.is_in(data):
            print(f"{run.name}: left out, its set is not in {data}", flush=True)
            continue
        lines = run.source.lines(data, run.size(size).rows, seed)
        if not {"train", "test"} <= set(lines.parts):
            print(f"{run.name}, {seed}: left out, it has no rows of every part", flush=True)
            continue
        key = run.key(size, seed, lines.parts.count("train"), lines.data)
        if key in there:
            continue
        print(f"{time.strftime('%H:%M:%S')} {run.name}, seed or fold {seed}", flush=True)
        checkpoint = state / f"{key}.pt"
        try:
            figures = done(run, size, seed, lines, kitchen=kitchen, state=checkpoint)
        except (
            MatpropError,
            ModuleNotFoundError,
        ) as error:  # one that fails leaves the others alone
            print(f"  failed: {error}", flush=True)
            continue
        told = {"key": key, "name": run.name, "size": size, "seed": seed, "data": lines.data}
        keep({**told, "settings": run.wanted(size), **figures}, path)
        checkpoint.unlink(missing_ok=True)
        print(f"  {figures['figures'].get('test')} in {figures['seconds']} s", flush=True)


def _ordered(runs: Sequence[Run], size: SizeName) -> Iterator[tuple[Run, int]]:
    """Samples stay ready from run to run of one source; so all its seeds follow one another."""
    for run in runs:
        for seed in run.size(size).seeds:
            yield run, seed


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder of the public data sets")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="tables or runs")
    parser.add_argument("--quick", action="store_true", help="shortened runs")
    parser.add_argument("--seeds", nargs="*", type=int, help="only these seeds or folds")
    parser.add_argument("--list", action="store_true", help="names of the runs")
    parser.add_argument("--draw", action="store_true", help="write the document")
    parser.add_argument("--state", type=Path, default=STATE, help="where checkpoints are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
