"""A data set as the service knows it: its manifest and its columns, without structures."""

from datetime import UTC, datetime
from typing import Any

from models.datasets.manifest import Column, Manifest

SET = "set_01JD3Q5T8Z6M4W2K7N9V1X3B5C"
ROWS = 60


def columns_of(rows: int = ROWS) -> dict[str, list[Any]]:
    """What `columns.json` holds."""
    each = range(rows)
    return {
        "name": [f"row-{row}" for row in each],
        "formula": [f"A{row % 20}B" for row in each],
        "n_sites": [2 + row % 5 for row in each],
        "band_gap": [row / 10 for row in each],
        "hardness": [float(row % 7) for row in each],
        "is_metal": [float(row % 2) for row in each],
        "same": [1.0 for _ in each],
        "phase": [("alpha", "beta")[row % 2] for row in each],
        "split": [("train", "train", "train", "val", "test")[row % 5] for row in each],
        "ddec_charge": [2 + row % 5 for row in each],
        "bond_distances": [4 for _ in each],
        "anchor_index": [0.0 for _ in each],
        "neighbor_indices": [4 for _ in each],
    }


KINDS = {
    "phase": "text", "split": "text", "ddec_charge": "site", "bond_distances": "list", "neighbor_indices": "list",
}  # fmt: skip


def manifest_of(rows: int = ROWS, owner: str = "local", name: str = "Hard things") -> Manifest:
    """What `manifest.json` holds."""
    held = columns_of(rows)
    return Manifest(
        id=SET,
        name=name,
        owner=owner,
        sha256="0" * 64,
        source="hard.zip",
        created_at=datetime.now(UTC),
        rows=rows,
        sites=rows * 4,
        smallest=2,
        largest=6,
        elements={"Na": rows},
        columns=tuple(
            column(name, held[name]) for name in held if name not in ("name", "formula", "n_sites")
        ),
    )


def column(name: str, values: list[Any]) -> Column:
    kind: Any = KINDS.get(name, "number")
    if kind != "number":
        width = {"site": 1, "list": 4}.get(kind)
        return Column(name=name, kind=kind, known=len(values), width=width)
    return Column(name=name, kind=kind, known=len(values), min=min(values), max=max(values))
