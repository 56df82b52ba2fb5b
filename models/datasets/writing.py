"""A data set written row by row; never held in memory as a whole."""

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedWriter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.datasets.labels import STRUCTURES, misread
from models.datasets.manifest import Column, Manifest
from models.structures.composition import SYMBOLS, formula
from models.structures.structure import Structure

CHUNK = 1 << 20

Label = float | str | Sequence[float | None] | None
Kind = Literal["number", "text", "site", "list"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A column to be: its name and what it holds."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class About:
    """What a set's rows do not say of it."""

    id: str
    name: str
    owner: str
    source: str
    notes: tuple[str, ...] = ()
    created_at: datetime | None = None


class Writer:
    """Fills a folder with rows; `close` completes it, without it the folder is of no use."""

    def __init__(self, folder: Path, columns: Sequence[Plan] = ()) -> None:
        (folder / "arrays").mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.names: list[str] = []
        self.formulas: list[str] = []
        self.refused = 0
        self._open = ExitStack()
        self._lattice = self._growing("lattice.npy", "<f8", (3, 3))
        self._fractional = self._growing("fractional.npy", "<f8", (3,))
        self._numbers = self._growing("numbers.npy", "|u1")
        self._first = array("q", [0])
        self._elements: Counter[int] = Counter()
        self._digests = array("Q")
        self._columns = [self._begun(place, plan) for place, plan in enumerate(columns)]
        self._report = self._open.enter_context((folder / "refused.jsonl").open("wb"))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, structure: Structure, labels: Mapping[str, Label]) -> None:
        """The next row; NaN and None are no label, so are columns that are not named.

        Of a column of kind site or list the numbers come flat.
        """
        self.names.append(structure.name)
        self.formulas.append(formula(structure.numbers.tolist()))
        self._lattice.add(structure.lattice)
        self._fractional.add(structure.fractional)
        self._numbers.add(structure.numbers)
        self._first.append(self._first[-1] + len(structure.numbers))
        self._elements.update(set(structure.numbers.tolist()))
        self._digests.append(int(structure.digest()[:16], 16))
        for column in self._columns:
            column.add(labels.get(column.plan.name))

    def refuse(self, row: int, name: str, error: Mapping[str, Any]) -> None:
        """A row of the source that is not in the set, and why."""
        self.refused += 1
        line = json.dumps({"row": row, "name": name, "error": error}, separators=(",", ":"))
        self._report.write(line.encode() + b"\n")

    def close(self, about: About) -> Manifest:
        """Writes what was held back, and the manifest last."""
        self._open.close()
        first: NDArray[np.int64] = np.array(self._first, np.int64)
        np.save(self.folder / "first.npy", first)
        sizes = first[1:] - first[:-1]
        self._list(sizes)
        columns = tuple(column.close(self.folder, sizes) for column in self._columns)
        notes = (*about.notes, *self._repeated(), *self._misread())
        manifest = Manifest(
            id=about.id,
            name=about.name,
            owner=about.owner,
            source=about.source,
            sha256=self._sha256(columns),
            created_at=about.created_at or datetime.now(UTC),
            rows=len(sizes),
            refused=self.refused,
            sites=int(sizes.sum()),
            smallest=int(sizes.min(initial=sizes.max(initial=0))),
            largest=int(sizes.max(initial=0)),
            elements={SYMBOLS[z]: self._elements[z] for z in sorted(self._elements)},
            columns=columns,
            notes=notes,
        )
        (self.folder / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n")
        for path in self.folder.rglob("*"):
            _settle(path)
        return manifest

    def _repeated(self) -> Iterator[str]:
        """What the set has more than once."""
        duplicates = len(self._digests) - len(set(self._digests))
        if duplicates:
            said = "row holds" if duplicates == 1 else "rows hold"
            yield f"{duplicates:,} {said} the same structure as a row before."
        again = len(self.names) - len(set(self.names))
        if again:
            yield f"{again:,} {'row has' if again == 1 else 'rows have'} the id of a row before."

    def _misread(self) -> Iterator[str]:
        """Columns of texts that are numbers to people."""
        for column in self._columns:
            text = misread(column.listed()) if column.plan.kind == "text" else None
            if text is not None:
                yield (
                    f"The column {column.plan.name} holds texts, such as {text[:40]!r}: "
                    "numbers have a decimal point, and neither unit nor quotes."
                )

    def _growing(self, name: str, kind: str, shape: tuple[int, ...] = ()) -> "GrowingArray":
        return self._open.enter_context(GrowingArray(self.folder / name, kind, shape))

    def _begun(self, place: int, plan: Plan) -> "_OneARow | _SeveralARow":
        if plan.kind in ("number", "text"):
            return _OneARow(plan)
        return _SeveralARow(plan, place, self._growing(f"arrays/{place}.npy", "<f8"))

    def _list(self, sizes: NDArray[np.int64]) -> None:
        """`columns.json`, a column at a time."""
        with (self.folder / "columns.json").open("w") as file:
            said = {
                "name": self.names,
                "formula": self.formulas,
                "n_sites": sizes.tolist(),
                STRUCTURES: self._digests.tolist(),
            }
            for number, (name, values) in enumerate(said.items()):
                file.write(f"{',' if number else '{'}{json.dumps(name)}:{json.dumps(values)}\n")
            for column in self._columns:
                file.write(f",{json.dumps(column.plan.name)}:{json.dumps(column.listed())}\n")
            file.write("}\n")

    def _sha256(self, columns: Sequence[Column]) -> str:
        """Of names, structures and labels, in the order of rows, whatever the order of columns."""
        state = hashlib.sha256(json.dumps(self.names).encode())
        for name in ("first", "numbers", "lattice", "fractional"):
            _feed(state, self.folder / f"{name}.npy")
        for place in sorted(range(len(columns)), key=lambda place: columns[place].name):
            state.update(json.dumps([columns[place].name, columns[place].kind]).encode())
            state.update(json.dumps(self._columns[place].listed()).encode())
            if columns[place].kind in ("site", "list"):
                _feed(state, self.folder / "arrays" / f"{place}.first.npy")
                _feed(state, self.folder / "arrays" / f"{place}.npy")
        return state.hexdigest()


class GrowingArray:
    """An `.npy` file whose first axis grows."""

    def __init__(self, path: Path, kind: str, shape: tuple[int, ...]) -> None:
        self.kind = np.dtype(kind)
        self.shape = shape
        self._size = 0
        self._file: BufferedWriter = path.open("wb")
        self._head()

    def __enter__(self) -> "GrowingArray":
        return self

    def __exit__(self, *_: object) -> None:
        """Writes how many there are; numpy leaves room for the digits."""
        self._file.seek(0)
        self._head()
        self._file.close()

    @property
    def count(self) -> int:
        """Length of the first axis."""
        each = self.kind.itemsize * int(np.prod(self.shape, dtype=np.int64))
        return self._size // each

    def add(self, values: Any) -> None:
        """One entry, or several at once."""
        data = np.ascontiguousarray(values, self.kind).tobytes()
        self._file.write(data)
        self._size += len(data)

    def _head(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self.kind),
                "fortran_order": False,
                "shape": (self.count, *self.shape),
            },
        )


class _OneARow:
    """A column of numbers or texts."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._numbers = array("d")
        self._texts: list[str | None] = []

    def add(self, label: Label) -> None:
        if self.plan.kind == "text":
            self._texts.append(None if label is None else str(label))
        else:
            assert label is None or isinstance(label, float | int)
            self._numbers.append(np.nan if label is None else label)

    def listed(self) -> list[Any]:
        if self.plan.kind == "text":
            return self._texts
        return [None if value != value else value for value in self._numbers]  # noqa: PLR0124 - NaN

    def close(self, _folder: Path, _sizes: NDArray[np.int64]) -> Column:
        if self.plan.kind == "text":
            known = [text for text in self._texts if text is not None]
            return Column(
                name=self.plan.name, kind="text", known=len(known), distinct=len(set(known))
            )
        values = np.frombuffer(self._numbers, np.float64)
        values = values[~np.isnan(values)]
        return Column(
            name=self.plan.name,
            kind="number",
            known=len(values),
            distinct=len(np.unique(values)),
            **figures(values),
        )


class _SeveralARow:
    """A column of numbers a site, or of any other number of them."""

    def __init__(self, plan: Plan, place: int, values: GrowingArray) -> None:
        self.plan = plan
        self.place = place
        self._values = values
        self._first = array("q", [0])
        self._known = array("q")

    def add(self, label: Label) -> None:
        assert not isinstance(label, str | float | int)
        values = np.array([] if label is None else label, np.float64)  # None becomes NaN
        self._values.add(values)
        self._first.append(self._first[-1] + len(values))
        self._known.append(int(np.count_nonzero(~np.isnan(values))))

    def listed(self) -> list[Any]:
        return self._known.tolist()

    def close(self, folder: Path, sizes: NDArray[np.int64]) -> Column:
        first = np.frombuffer(self._first, np.int64)
        np.save(folder / "arrays" / f"{self.place}.first.npy", first)
        lengths = np.diff(first)
        there = lengths > 0
        per = lengths[there] // sizes[there] if self.plan.kind == "site" else lengths[there]
        values = (
            np.load(folder / "arrays" / f"{self.place}.npy", mmap_mode="r")
            if first[-1]
            else np.array([])
        )
        return Column(
            name=self.plan.name,
            kind=self.plan.kind,
            known=int(np.count_nonzero(np.frombuffer(self._known, np.int64))),
            width=int(per[0]) if len(per) and (per == per[0]).all() else None,
            **figures(values),
        )


def figures(values: NDArray[np.float64]) -> dict[str, float]:
    """Least, largest, mean and spread of the numbers that are known; nothing of none."""
    count, least, largest, total = 0, np.inf, -np.inf, 0.0
    for known in _known(values):
        count += len(known)
        least, largest = min(least, float(known.min())), max(largest, float(known.max()))
        total += float(known.sum())
    if not count:
        return {}
    mean = total / count
    squares = sum(float(((known - mean) ** 2).sum()) for known in _known(values))
    return {"min": least, "max": largest, "mean": mean, "std": float(np.sqrt(squares / count))}


def _known(values: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(values), CHUNK):
        part = np.asarray(values[start : start + CHUNK])
        known = part[~np.isnan(part)]
        if len(known):
            yield known


def _feed(state: Any, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)


def _settle(path: Path) -> None:
    """On the disk, before anybody is told of it."""
    if path.is_file():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
