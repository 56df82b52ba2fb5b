"""`python -m models.generators dimers|sheets --count N --out FILE`: a process of its own, for the command line."""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from models.errors import MatpropError
from models.generators import dimers, sheets
from models.generators.label import labelled
from models.generators.writing import Labelled, write

NO_TBLITE = "Energies of sheets need tblite: pip install 'matprop[label]'."


def main() -> int:
    """Write the file; faults become one line of JSON on stdout and status 1."""
    given = _given()
    try:
        made = _dimers(given) if given.what == "dimers" else _sheets(given)
        write(_counted(made, given.count), given.out)
    except MatpropError as error:
        print(json.dumps(error.as_dict()))  # noqa: T201 - this is what it answers with
        return 1
    except (ModuleNotFoundError, OSError) as error:
        missed = isinstance(error, ModuleNotFoundError) and error.name == "tblite"
        text = NO_TBLITE if missed else str(error)
        print(json.dumps({"code": "internal", "detail": text}))  # noqa: T201
        return 1
    return 0


def _dimers(given: argparse.Namespace) -> Iterator[Labelled]:
    wanted = dimers.Dimers(
        given.count,
        dimensions=given.dimensions,
        shortest=given.shortest,
        longest=given.longest,
        even=given.even,
        seed=given.seed,
    )
    for structure, values in dimers.dimers(wanted):
        yield structure, dict(zip(dimers.NAMES, values, strict=True))


def _sheets(given: argparse.Namespace) -> Iterator[Labelled]:
    import tblite  # noqa: F401 - so that it is missed at once, not in another process

    wanted = sheets.Sheets(
        columns=given.columns,
        rows=given.rows,
        displacement=given.displacement,
        kinds=tuple(given.kinds.split(",")),
        defects=tuple(given.defects.split(",")),
        seed=given.seed,
    )
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.processes, context) as pool:
        yield from pool.map(partial(labelled, wanted), range(given.count), chunksize=4)


def _counted(made: Iterable[Labelled], count: int) -> Iterator[Labelled]:
    """The same, telling on a terminal how far it is."""
    shown = sys.stderr.isatty()
    for at, each in enumerate(made, 1):
        if shown and (at % max(1, count // 1000) == 0 or at == count):
            sys.stderr.write(f"\r{at} of {count}" + "\n" * (at == count))
        yield each


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="models.generators")
    parser.add_argument("what", choices=["dimers", "sheets"])
    parser.add_argument("--count", type=_count, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dimensions", type=int, choices=[2, 3], default=2)
    parser.add_argument("--shortest", type=float, default=1.0)
    parser.add_argument("--longest", type=float, default=2.0)
    parser.add_argument("--even", choices=["distance", "energy"], default="distance")
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--displacement", type=float, default=0.1)
    parser.add_argument("--kinds", default=",".join(sheets.KINDS))
    parser.add_argument("--defects", default=",".join(sheets.DEFECTS))
    parser.add_argument("--processes", type=_count, default=1)
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
