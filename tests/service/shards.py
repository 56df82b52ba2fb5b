"""Shards as workers write them, made without workers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workers.columns import Column

KINDS = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
}


def put_shard(
    folder: Path, number: int, there: Sequence[Column], rows: Sequence[dict[str, Any]]
) -> Path:
    """One part of a table; what a row does not tell is null."""
    schema = pa.schema([(column.name, KINDS[column.type]) for column in there])
    table = pa.Table.from_pylist(
        [{column.name: row.get(column.name) for column in there} for row in rows], schema
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:08d}.parquet"
    part = path.with_name(f".{path.name}.part")  # it appears whole, as those of workers do
    pq.write_table(table, part)
    part.replace(path)
    return path


def row_of(index: int, model: str = "tested") -> dict[str, Any]:
    """A row that can be told from the others; every tenth failed."""
    if index % 10 == 9:
        error = {"code": "unreadable_structure", "detail": "It is bad.", "file": f"s-{index}.cif"}
        return {
            "index": index, "name": f"s-{index}.cif", "status": "failed", "code": error["code"],
            "error": json.dumps(error), "warnings": "[]",
        }  # fmt: skip
    known = index % 3 == 0
    return {
        "index": index,
        "name": f"s-{index}.cif",
        "formula": ("NaCl", "Fe2O3", "CO2")[index % 3],
        "n_sites": 2 + index % 4,
        "status": "ok",
        "warnings": "[]",
        "in_domain": known,
        model: -((index * 37) % 50) / 10,
        f"{model}.std": 0.01 * (index % 7),
        f"{model}.lower": -6.0,
        f"{model}.upper": 0.5,
        f"{model}.in_domain": known,
        f"{model}.score": 1.5,
        f"{model}.reasons": "[]" if known else '["It is small."]',
    }
