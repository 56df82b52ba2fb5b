"""CIF text to sites against pymatgen's CifParser: paired time ratios and agreement.

    python -m benchmarks.parsing [--data DIR] [--count N]

Without --data it reads CIFs that it makes itself; with it, structures of the data sets, written by
pymatgen in P 1 and with symmetry.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from models.errors import InputError
from models.structures.parse import ReadOptions, parse
from models.structures.structure import Structure as Read

SYMPREC = 0.01
BAR = 20  # times as fast
BLOCK = 25  # CIFs read in a row
T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, help="folder of data sets")
    arguments.add_argument("--count", type=int, default=300, help="structures of each kind")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    structures = list(_from(options.data, options.count) if options.data else _made(options.count))
    for kind, symprec in (("P 1", None), ("with symmetry", SYMPREC)):
        _report(kind, [_written(structure, symprec) for structure in structures])
    if options.data:
        folder = options.data / "upstream-cgcnn" / "reference" / "cif"
        _report("reference CIFs", [path.read_text() for path in sorted(folder.glob("*.cif"))])


def _report(kind: str, texts: list[str]) -> None:
    """By blocks, each read once by either: a text read again would find what was remembered of it."""
    ratios, ours = [], []
    outcome: Counter[str] = Counter()
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        data = [text.encode() for text in block]
        mine, own = _timed(lambda: [parse(each, "a.cif", None, ReadOptions()) for each in data])  # noqa: B023
        theirs, other = _timed(lambda: [_pymatgen(text) for text in block])  # noqa: B023
        ratios.append(theirs / mine)
        ours.append(mine / len(block))
        outcome.update(_agreement(one[0], two) for one, two in zip(own, other, strict=True))
    print(
        f"{kind:15} {len(texts):5} CIFs  {statistics.median(ours) * 1e6:7.1f} µs a CIF  "
        f"ratio median {statistics.median(ratios):6.1f}, least {min(ratios):5.1f}  bar ≥ {BAR}  {dict(outcome)}"
    )


def _timed(work: Callable[[], list[T]]) -> tuple[float, list[T]]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _pymatgen(text: str) -> Structure | None:
    try:
        return CifParser.from_str(text).parse_structures(primitive=False)[0]
    except ValueError:
        return None


def _agreement(own: Read | InputError, other: Structure | None) -> str:
    if isinstance(own, InputError) or other is None:
        return f"we: {getattr(own, 'code', 'read')}, pymatgen: {'read' if other else 'refused'}"
    if _overlapping(other):
        return "pymatgen keeps images of one site apart"
    if len(own.numbers) != len(other) or not other.is_ordered:
        return "other sites"
    numbers = [site.specie.Z for site in other]
    if own.numbers.tolist() == numbers:
        if np.array_equal(own.fractional, other.frac_coords) and np.array_equal(
            own.lattice, other.lattice.matrix
        ):
            return "equal to the bit"
        apart = own.fractional - other.frac_coords
        if np.abs(apart - np.rint(apart)).max() < 1e-6:
            return "equal"
    return "same sites in another order" if _same_set(own, other) else "other sites"


def _overlapping(other: Structure) -> bool:
    distances = other.distance_matrix + np.eye(len(other))
    return bool(distances.min() < 0.15)


def _same_set(own: Read, other: Structure) -> bool:
    numbers = np.array([site.specie.Z for site in other])
    apart = own.fractional[:, None] - other.frac_coords[None]
    near = np.abs(apart - np.rint(apart)).max(axis=2) < 1e-4
    return bool((near & (own.numbers[:, None] == numbers[None])).any(axis=1).all())


def _written(structure: Structure, symprec: float | None) -> str:
    return str(CifWriter(structure, symprec=symprec, refine_struct=False))


def _from(data: Path, count: int) -> Iterator[Structure]:
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    for path in sorted(data.glob("*/structures.parquet")):
        table = pq.read_table(path, columns=["lattice", "numbers", "frac_coords"])
        rows = random.choice(len(table), min(len(table), count), replace=False)
        for row in table.take(rows).to_pylist():
            if len(row["numbers"]) <= 200:
                sites = np.array(row["frac_coords"]).reshape(-1, 3)
                yield Structure(Lattice(row["lattice"]), row["numbers"], sites)


def _made(count: int) -> Iterator[Structure]:
    """Ordinary inorganic prototypes with random elements and cell sizes."""
    random = np.random.default_rng(0)
    prototypes = (
        ("Pm-3m", 3.8, ("0 0 0", "0.5 0.5 0.5", "0.5 0.5 0")),
        ("Fm-3m", 5.4, ("0 0 0", "0.5 0.5 0.5")),
        ("Fd-3m", 8.2, ("0 0 0", "0.625 0.625 0.625", "0.3875 0.3875 0.3875")),
        ("F-43m", 5.6, ("0 0 0", "0.25 0.25 0.25")),
        ("Ia-3", 10.2, ("0.25 0.25 0.25", "0.467 0 0.25", "0.391 0.154 0.382")),
    )
    for number in range(count):
        group, edge, places = prototypes[number % len(prototypes)]
        elements = random.choice(np.arange(3, 84), len(places), replace=False)
        cell = Lattice.cubic(edge * random.uniform(0.9, 1.2))
        sites = [[float(word) for word in place.split()] for place in places]
        yield Structure.from_spacegroup(group, cell, [int(z) for z in elements], sites)


if __name__ == "__main__":
    main()
