"""What is to be learned from which rows: read from the order of a training, by trainer and service alike. Light."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.datasets.labels import STRUCTURES
from models.training.parts import PARTS, divided

BOND_COLUMNS = {"adsorbate": "anchor_index", "partners": "neighbor_indices"}
MOST_MEMBERS = 32  # of an ensemble
Columns = Mapping[str, Sequence[Any]]  # as `columns.json` of a data set has them


class Part(BaseModel):
    """Read from another room's message, of which it need not know all."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


class Wanted(Part):
    """What is learned from one column."""

    column: str
    property: str
    unit: str


class Division(Part):
    """How the rows are split."""

    by: Literal["random", "composition", "group", "given"] = "random"
    column: str | None = None
    together: str | None = Field(None, description="Of `given`: whose groups are in one part each.")
    val: float = 0.1
    test: float = 0.1
    seed: int = 0
    alike: bool = Field(False, description="Of `random`: rows of the same structure stay together.")

    @property
    def columns(self) -> list[str]:
        """That tell how."""
        return [name for name in (self.column, self.together) if name]

    @property
    def grouped(self) -> bool:
        """Whether it keeps groups of structures together."""
        return self.by in ("composition", "group") or self.together is not None

    def told(self) -> str:
        """In words, for a card."""
        if self.by == "given":
            groups = f", which keeps each {self.together} in one part" if self.together else ""
            return f"as given in the column {self.column}{groups}"
        one_by_one = "structure by structure" if self.alike else "row by row"
        what = {"random": one_by_one, "composition": "by composition"}.get(
            self.by, f"by the column {self.column}"
        )
        return f"{what}, at random: {self.val:.0%} val, {self.test:.0%} test (seed {self.seed})"


class Plan(Part):
    """A training, without where and when."""

    family: str
    targets: tuple[Wanted, ...] = Field(min_length=1)
    classes: tuple[str, ...] | None = None
    recipe: str = "best"
    input: dict[str, Any]
    network: dict[str, Any]
    training: dict[str, Any]
    split: Division = Division()
    seeds: tuple[int, ...] = (0,)
    members: int = 1  # as many as seeds, or one: the best
    title: str | None = None
    columns: dict[str, str] = {}
    rows: int | None = None
    devices: int = 1

    @property
    def classifies(self) -> bool:
        """Whether it learns a class."""
        return self.network.get("task") == "classification"

    def column(self, what: str) -> str:
        """Which column holds the `adsorbate`, or the `partners` (bond family)."""
        return self.columns.get(what, BOND_COLUMNS[what])

    def labelled(self, columns: Columns) -> list[int]:
        """Rows that have a label, and a part if parts are given."""
        wanted, needed = [target.column for target in self.targets], self._needed()
        # Of a column with several numbers a row, what stands there is how many are known.
        counted = {*wanted, self.column("partners")} if self.family in ("site", "bond") else set()

        def known(name: str, row: int) -> bool:
            value = columns[name][row]
            return value is not None and (value != 0 or name not in counted)

        return [
            row
            for row in range(len(columns["name"]))
            if any(known(name, row) for name in wanted) and all(known(name, row) for name in needed)
        ]

    def parts(self, columns: Columns, rows: Sequence[int]) -> list[str]:
        """The part of each of these rows."""
        split = self.split
        if split.by == "given":
            assert split.column is not None
            return [columns[split.column][row] for row in rows]
        return divided(self.groups(columns, rows), split.val, split.test, split.seed)

    def asked(self) -> tuple[str, ...]:
        """Parts that must have rows."""
        if self.split.by == "given":
            return ("train", "test")
        shares = {"train": 1.0, "val": self.split.val, "test": self.split.test}
        return tuple(part for part in PARTS if shares[part] > 0)

    def _needed(self) -> list[str]:
        """Columns without which a row is of no use."""
        bond = [self.column("adsorbate"), self.column("partners")] if self.family == "bond" else []
        given = [str(self.split.column)] if self.split.by == "given" else []
        return bond + given

    def groups(self, columns: Columns, rows: Sequence[int]) -> list[object]:
        """What these rows are divided by: those of one group stay together."""
        split = self.split
        if not split.grouped:
            return [columns[STRUCTURES][row] for row in rows] if split.alike else list(rows)
        column = split.together or split.column
        named = columns["formula" if split.by == "composition" else str(column)]
        return [self.alone(row) if named[row] is None else named[row] for row in rows]

    @staticmethod
    def alone(row: int) -> str:
        """What a row without a group is called: one by itself."""
        return f"row {row}"


def classes_of(
    values: Sequence[Any], names: Sequence[str] | None, told: str = ""
) -> tuple[Any, Any]:
    """The values that mean no and yes: in the order of these names.

    Without names that one is yes whose probability is `told`, as `metal-probability` is of `metal`; else the larger.
    Raises: ValueError when they are not two.
    """
    kinds = {value for value in values if value is not None}
    found = sorted(
        kinds, key=lambda each: (isinstance(each, str), f"{each}-probability" == told, each)
    )
    if names and set(map(str, found)) == set(names):
        found = sorted(found, key=lambda each: names.index(str(each)))
    if len(found) != 2:
        raise ValueError(f"{len(found)} different values")
    return found[0], found[1]


def named_classes(values: Sequence[Any], names: Sequence[str] | None, told: str) -> tuple[str, str]:
    """What no and yes are called. Raises: ValueError."""
    no, yes = names or map(_name, classes_of(values, names, told))
    return no, yes


def _name(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
