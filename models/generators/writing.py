"""Labelled structures as files that make data sets: extended XYZ, JSONL, Parquet."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from models.errors import BadSetting
from models.structures.composition import SYMBOLS
from models.structures.structure import Structure

Labelled = tuple[Structure, Mapping[str, float]]
ROWS = 10_000  # of a Parquet row group


def write(labelled: Iterable[Labelled], path: Path) -> None:
    """Write under another name, then rename: what has the name is whole. Raises: BadSetting."""
    make = {".extxyz": _extxyz, ".xyz": _extxyz, ".jsonl": _jsonl, ".parquet": _parquet}
    kind = make.get(path.suffix.lower())
    if kind is None:
        raise BadSetting(
            "Files of this kind cannot be written.",
            expected="a name that ends in " + ", ".join(make),
            got=path.name,
        )
    part = path.with_name(f"{path.name}.part")
    try:
        kind(labelled, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _extxyz(labelled: Iterable[Labelled], path: Path) -> None:
    with path.open("w") as file:
        for structure, labels in labelled:
            lattice = " ".join(f"{each:.10g}" for each in structure.lattice.ravel())
            told = " ".join(f"{name}={value:.10g}" for name, value in labels.items())
            file.write(
                f'{len(structure.numbers)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3 '
                f'pbc="T T T" name={structure.name} {told}\n'
            )
            places = structure.fractional @ structure.lattice
            for number, (x, y, z) in zip(structure.numbers, places, strict=True):
                file.write(f"{SYMBOLS[number]} {x:.8f} {y:.8f} {z:.8f}\n")


def _jsonl(labelled: Iterable[Labelled], path: Path) -> None:
    with path.open("w") as file:
        for structure, labels in labelled:
            file.write(json.dumps(_row(structure, labels)) + "\n")


def _parquet(labelled: Iterable[Labelled], path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rows, writer = iter(labelled), None
    try:
        while some := [_row(*each) for each in islice(rows, ROWS)]:
            table = pa.Table.from_pylist(some)
            writer = writer or ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer:
            writer.close()


def _row(structure: Structure, labels: Mapping[str, float]) -> dict[str, Any]:
    return {
        "id": structure.name,
        "n_sites": len(structure.numbers),
        "lattice": structure.lattice.ravel().tolist(),
        "numbers": structure.numbers.tolist(),
        "frac_coords": structure.fractional.ravel().tolist(),
        **labels,
    }
