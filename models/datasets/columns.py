"""What kind each column of labels is, found by looking at all of its values."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.datasets.labels import Cell, as_number
from models.datasets.writing import Kind, Label, Plan
from models.errors import InputError, UnreadableStructure

FEW_SITES = 4  # lists of two or three numbers a site may be lists of anything in cells this small


@dataclass(slots=True)
class _Seen:
    """The values of one column so far."""

    numbers: int = 0
    texts: int = 0
    lists: int = 0
    a_site: Counter[int] = field(default_factory=Counter)  # numbers a site → rows

    def add(self, value: Cell, sites: int) -> None:
        if isinstance(value, bytes):
            self.lists += 1
            size = len(value) // 8
            if size % sites == 0:
                self.a_site[size // sites] += 1
        elif isinstance(value, str):
            self.texts += 1
        elif value is not None:
            self.numbers += 1


class Columns:
    """Sees every good row once, then says what its labels are."""

    def __init__(self, per_site: Iterable[str] = ()) -> None:
        self.per_site = frozenset(per_site)
        self._seen: dict[str, _Seen] = {}
        self._sizes: set[int] = set()
        self._kinds: dict[str, Kind] = {}
        self._widths: dict[str, int] = {}

    def see(self, labels: Mapping[str, Cell], sites: int) -> None:
        """The labels of a structure with so many sites."""
        self._sizes.add(sites)
        for name, value in labels.items():
            self._seen.setdefault(name, _Seen()).add(value, sites)

    def plans(self) -> list[Plan]:
        """The columns, each of the kind that most of its values have."""
        for name, seen in self._seen.items():
            if seen.lists > seen.numbers + seen.texts:
                self._kinds[name] = self._of_lists(name, seen)
            elif seen.numbers + seen.texts:
                self._kinds[name] = "text" if seen.texts >= seen.numbers else "number"
        return [Plan(name, kind) for name, kind in self._kinds.items()]

    def _of_lists(self, name: str, seen: _Seen) -> Kind:
        (width, rows), *_ = seen.a_site.most_common(1) or [(0, 0)]
        telling = width == 1 or len(self._sizes) > 1 or min(self._sizes) >= FEW_SITES
        if name in self.per_site or (2 * rows > seen.lists and telling):
            self._widths[name] = width
            return "site"
        return "list"

    def fitted(self, labels: Mapping[str, Cell], sites: int) -> dict[str, Label]:
        """The labels as their columns hold them. Raises: UnreadableStructure naming the column."""
        found: dict[str, Label] = {}
        for name, kind in self._kinds.items():
            value = labels.get(name)
            if value is None:
                continue
            if kind in ("site", "list"):
                found[name] = _numbers(name, value, sites * self._widths.get(name, 0))
            else:
                found[name] = _one(name, value, kind)
        return found


def _one(name: str, value: Cell, kind: str) -> Label:
    if isinstance(value, bytes):
        raise _wrong(name, f"one {kind}", f"a list of {len(value) // 8}")
    if kind == "text":
        whole = isinstance(value, float) and value.is_integer()
        return str(int(value) if whole and value is not None else value)
    number = as_number(value) if isinstance(value, str) else value
    if number is None or not np.isfinite(number):
        raise _wrong(name, "a finite number", str(value)[:40])
    return number


def _numbers(name: str, value: Cell, wanted: int) -> Sequence[float | None]:
    """`wanted` numbers; any of them where that is 0."""
    if not isinstance(value, bytes):
        raise _wrong(name, "a list of numbers", str(value)[:40])
    values = np.frombuffer(value, np.float64)
    if wanted and len(values) != wanted:
        raise _wrong(
            name, f"{wanted} numbers, as the structure has sites", f"{len(values)} of them"
        )
    if np.isinf(values).any():
        raise _wrong(name, "finite numbers", "infinity")
    numbers: list[float | None] = values.tolist()
    return numbers


def _wrong(name: str, expected: str, got: str) -> InputError:
    return UnreadableStructure(
        f"The label {name} does not fit its column.", place=name, expected=expected, got=got
    )
