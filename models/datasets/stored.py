"""A data set as it lies on disk: rows, labels, and packed samples made once for all trainings. Numpy alone.

The folder: `manifest.json`, `columns.json`, `lattice.npy` (rows, 3, 3), `numbers.npy` (sites,), `fractional.npy`
(sites, 3), `first.npy` (rows + 1,) where each row's sites begin, `arrays/N.npy` and `arrays/N.first.npy` for the
N-th column where it has several numbers a row, and `cache/`.
"""

import fcntl
import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.datasets.labels import STRUCTURES
from models.errors import MatpropError
from models.samples import Sample, featurise, unpack
from models.structures.structure import Structure

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.families.kinds import AnyInput

FEATURES = 1  # raised when the same settings make other samples than before
CHUNK_ROWS = 100

Told = Callable[[int, int], None]  # rows done, rows in all


@dataclass(frozen=True, slots=True)
class Held:
    """A column of labels; `place` is its number among the columns."""

    kind: str  # number, text, site, list
    width: int | None
    place: int


class Stored:
    """A data set that is complete; rows count from 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        self.rows: int = self.manifest["rows"]
        self.columns = {
            column["name"]: Held(column["kind"], column.get("width"), place)
            for place, column in enumerate(self.manifest["columns"])
        }
        self._lattice = self._array("lattice.npy")
        self._fractional = self._array("fractional.npy")
        self._numbers = self._array("numbers.npy")
        self._first = np.load(folder / "first.npy")

    @property
    def n_sites(self) -> NDArray[np.int64]:
        """Sites of each row."""
        sizes: NDArray[np.int64] = np.diff(self._first)
        return sizes

    @property
    def names(self) -> list[str]:
        """What each row is called in its source."""
        return list(self._listed["name"])

    @property
    def formulas(self) -> list[str]:
        """The reduced formula of each row."""
        return list(self._listed["formula"])

    @property
    def structures(self) -> list[int | None]:
        """A number of each row, the same for the same structure; none in sets of before they were kept."""
        return list(self._listed.get(STRUCTURES) or [None] * self.rows)

    def structure(self, row: int) -> Structure:
        """The structure of a row."""
        sites = slice(self._first[row], self._first[row + 1])
        return Structure(
            self._listed["name"][row],
            np.array(self._lattice[row]),
            np.array(self._numbers[sites]),
            np.array(self._fractional[sites]),
        )

    def scalars(self, name: str) -> list[float | str | None]:
        """A column of kind number or text; None where there is no label."""
        return list(self._listed[name])

    def ragged(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All numbers of a column of kind site or list, NaN for none, and where each row's begin."""
        place = self.columns[name].place
        return self._array(f"arrays/{place}.npy"), np.load(
            self.folder / "arrays" / f"{place}.first.npy"
        )

    def samples(
        self,
        settings: "AnyInput",
        adsorbates: Sequence[str | None] | None = None,
        told: Told = lambda _done, _total: None,
    ) -> "Samples":
        """Every row as a network with these settings reads it; made by the first who asks."""
        key = f"{settings.key()}-{FEATURES}"
        if adsorbates is not None:
            key += "-" + hashlib.sha256(json.dumps(list(adsorbates)).encode()).hexdigest()[:12]
        home = self.folder / "cache"
        home.mkdir(exist_ok=True)
        with _alone(home / f"{key}.lock"):
            if not (home / f"{key}.index.npy").exists():
                named = adsorbates or [None] * self.rows
                self._fill(home, key, lambda row: self._sample(row, settings, named[row]), told)
        return Samples(home, key)

    @cached_property
    def _listed(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = json.loads((self.folder / "columns.json").read_bytes())
        return found

    def _array(self, name: str) -> NDArray[Any]:
        path = self.folder / name
        # An empty array cannot be mapped.
        found: NDArray[Any] = np.load(path, mmap_mode="r" if path.stat().st_size > 128 else None)
        return found

    def _sample(self, row: int, settings: "AnyInput", adsorbate: str | None) -> bytes:
        return featurise(self.structure(row), settings, adsorbate).pack()

    def _fill(self, home: Path, key: str, made: Callable[[int], bytes], told: Told) -> None:
        """The three files of the cache; the index, the last of them, says that all are there."""
        ends = np.zeros(self.rows + 1, np.int64)
        faults: dict[int, dict[str, Any]] = {}
        samples = home / f"{key}.samples"
        with samples.with_suffix(".new").open("wb") as file:
            for row in range(self.rows):
                try:
                    file.write(made(row))
                except MatpropError as error:
                    faults[row] = error.as_dict()
                ends[row + 1] = file.tell()
                if row % CHUNK_ROWS == 0:
                    told(row, self.rows)
        samples.with_suffix(".new").replace(samples)
        (home / f"{key}.faults.json").write_text(json.dumps(faults))
        index = home / f"{key}.new.npy"
        np.save(index, ends)
        index.replace(home / f"{key}.index.npy")
        told(self.rows, self.rows)


class Samples(Sequence[Sample]):
    """Packed samples in a memory map; `faults` says which rows have none, and why."""

    def __init__(self, home: Path, key: str) -> None:
        self.places: NDArray[np.int64] = np.load(home / f"{key}.index.npy")
        faults = json.loads((home / f"{key}.faults.json").read_bytes())
        self.faults: dict[int, dict[str, Any]] = {int(row): fault for row, fault in faults.items()}
        self._view: mmap.mmap | bytes = b""
        if self.places[-1]:
            with (home / f"{key}.samples").open("rb") as file:
                self._view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self.places) - 1

    def __getitem__(self, row: Any) -> Any:
        """The sample of a row. Raises: the error by which it could not be made."""
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        return unpack(self.packed(row))

    def packed(self, row: int) -> bytes:
        """The same, still packed."""
        row = range(len(self))[row]
        if row in self.faults:
            raise MatpropError.from_dict(self.faults[row])
        # Copied out, so that its arrays begin where the processor likes them to.
        return self._view[self.places[row] : self.places[row + 1]]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; a lock of the system, so that it falls with its process."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
