"""From a stored data set to what a network learns from: samples, labels, and the part of each row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.datasets.labels import STRUCTURES
from models.datasets.stored import Stored
from models.errors import UnfitDataset
from models.families.family import family
from models.slabs.slab import BONDS
from models.training.dataset import Dataset, Labels, Rows
from models.training.split import Split

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.families.kinds import AnyInput
    from models.training.plan import Plan

HELD_BYTES = 1 << 29  # samples are unpacked once when they are fewer

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Labelled rows that could be read; a row's place in `rows` is its number in `data`."""

    data: Dataset
    rows: Rows  # their numbers in the stored data set
    stored: Stored
    classes: tuple[str, str] | None
    unlabelled: int
    refused: dict[int, dict[str, Any]]  # labelled rows of which no sample could be made, and why
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Source(Gathered):
    """The same with the part of each row."""

    parts: Split


def gather(stored: Stored, plan: "Plan", settings: "AnyInput", told: Told) -> Gathered:
    """All rows of a data set that have labels and a sample. Raises: UnfitDataset."""
    labelled = plan.labelled(columns_of(stored, plan))
    samples = stored.samples(settings, _adsorbates(stored, plan), told)
    rows = np.array([row for row in labelled if row not in samples.faults], np.int64)
    chosen = _held(samples, rows)
    labels, classes, notes = _labels(stored, plan, chosen, rows)
    data = Dataset(
        chosen, labels, family(plan.family), tuple(each.property for each in plan.targets),
        _distances(stored, plan, rows) if plan.family == "bond" else None,
    )  # fmt: skip
    refused = {row: samples.faults[row] for row in labelled if row in samples.faults}
    return Gathered(data, rows, stored, classes, stored.rows - len(labelled), refused, notes)


def read(stored: Stored, plan: "Plan", settings: "AnyInput", told: Told) -> Source:
    """The same, split. Raises: UnfitDataset."""
    found = gather(stored, plan, settings, told)
    columns = columns_of(stored, plan)
    labelled = plan.labelled(columns)
    # As the service has foreseen it: rows that cannot be read leave their part, and no other row moves.
    part = dict(zip(labelled, plan.parts(columns, labelled), strict=True))
    rows = found.rows.tolist()
    split = Split.of([part[row] for row in rows])
    for each in plan.asked():
        if not len(getattr(split, each)):
            raise _empty(each, found.refused)
    named = [str(one) for one in plan.groups(columns, rows)]
    _, groups = np.unique(named, return_inverse=True)
    return Source(
        replace(found.data, groups=groups),
        found.rows,
        stored,
        found.classes,
        found.unlabelled,
        found.refused,
        (*found.notes, *_taught_too(stored, found.rows, split), *_without_group(plan, named, rows)),
        split,
    )


def _taught_too(stored: Stored, rows: Rows, split: Split) -> tuple[str, ...]:
    """What should be known when rows that judge have the structure of one that teaches."""
    structure = np.array(stored.structures, object)[rows]
    taught = set(structure[split.train])
    judging = np.concatenate([split.val, split.test])
    again = sum(each is not None and each in taught for each in structure[judging])
    if not again:
        return ()
    note = (
        f"{again} of the {len(judging)} rows that choose or judge have the very structure of a row that teaches: "
        "errors and intervals may be too small. A random split keeps equal structures together."
    )
    return (note,)


def _without_group(plan: "Plan", named: Sequence[str], rows: Sequence[int]) -> tuple[str, ...]:
    """What should be known when rows of a split by groups belong to none."""
    if not plan.split.grouped:
        return ()
    count = sum(name == plan.alone(row) for name, row in zip(named, rows, strict=True))
    return (f"{count} of {len(rows)} rows have no group: each is one by itself.",) if count else ()


class Chosen(Sequence[Any]):
    """Some of the samples."""

    def __init__(self, samples: Sequence[Any], rows: Rows) -> None:
        self._samples, self._rows = samples, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        return self._samples[int(self._rows[at])]


def _held(samples: Any, rows: Rows) -> Sequence[Any]:
    """Unpacked now if they are few, else whenever they are asked for."""
    chosen = Chosen(samples, rows)
    size = np.diff(samples.places)[rows].sum()
    return list(chosen) if size <= HELD_BYTES else chosen


def columns_of(stored: Stored, plan: "Plan") -> dict[str, Sequence[Any]]:
    """The columns that the plan needs, as `columns.json` has them. Raises: UnfitDataset."""
    names = [target.column for target in plan.targets]
    names += plan.split.columns
    names += [plan.column("adsorbate"), plan.column("partners")] if plan.family == "bond" else []
    found: dict[str, Sequence[Any]] = {"name": stored.names, "formula": stored.formulas}
    if plan.split.alike:
        found[STRUCTURES] = stored.structures
    for name in names:
        if name not in stored.columns:
            raise UnfitDataset(f"The data set has no column {name!r}.", place="targets")
        if stored.columns[name].kind in ("number", "text"):
            found[name] = stored.scalars(name)
        else:
            values, first = stored.ragged(name)
            before = np.concatenate([[0], np.cumsum(np.isfinite(values))])
            found[name] = (before[first[1:]] - before[first[:-1]]).tolist()
    return found


def _adsorbates(stored: Stored, plan: "Plan") -> list[str | None] | None:
    if plan.family != "bond":
        return None
    return [_word(value) for value in stored.scalars(plan.column("adsorbate"))]


def _word(value: float | str | None) -> str | None:
    return value if value is None or isinstance(value, str) else str(int(value))


def _labels(
    stored: Stored, plan: "Plan", samples: Sequence[Any], rows: Rows
) -> tuple[Labels, tuple[str, str] | None, tuple[str, ...]]:
    """Labels, names of classes, and what should be known of them."""
    names = [target.column for target in plan.targets]
    if plan.family == "site":
        return _of_sites(stored, names, rows), None, ()
    if plan.family == "bond":
        labels, notes = _of_bonds(stored, plan, samples, rows)
        return labels, None, notes
    if plan.classifies:
        return *_of_classes(stored.scalars(names[0]), plan, rows), ()
    values = np.array([stored.scalars(name) for name in names], float).T
    return Labels.one_a_row(values[rows]), None, _of_several_cells(samples)


def _of_several_cells(samples: Sequence[Any]) -> tuple[str, ...]:
    """What should be known when images show more than a row's own cell."""
    several = sum(getattr(sample, "cells", 1) > 1 for sample in samples)
    if not several:
        return ()
    note = (
        f"The cells of {several} rows are not orthogonal: their images show several such cells, their labels are "
        "those of one. Only what does not grow with the number of atoms can be learned from them."
    )
    return (note,)


def _of_bonds(
    stored: Stored, plan: "Plan", samples: Sequence[Any], rows: Rows
) -> tuple[Labels, tuple[str, ...]]:
    from models.families.bond import labels

    partners = _lists(stored, plan.column("partners"), rows)
    distances = _lists(stored, plan.targets[0].column, rows)
    found, missed = labels(samples, partners, distances)  # type: ignore[arg-type]
    share = missed / max(1, sum(map(len, partners)))
    if not missed:
        return found, ()
    return found, (f"{share:.1%} of the bonds lead to sites that were no candidates before.",)


def _of_classes(
    values: Sequence[Any], plan: "Plan", rows: Rows
) -> tuple[Labels, tuple[str, str] | None]:
    from models.training.plan import classes_of, named_classes

    try:
        _, yes = classes_of(values, plan.classes, plan.targets[0].property)
    except ValueError as error:
        raise UnfitDataset(
            f"The column {plan.targets[0].column} does not divide the rows into two classes.",
            place="targets.0.column",
            expected="two different values",
            got=str(error),
        ) from error
    numbers = np.array([[float(values[row] == yes)] for row in rows])
    return Labels.one_a_row(numbers), named_classes(values, plan.classes, plan.targets[0].property)


def _of_sites(stored: Stored, names: Sequence[str], rows: Rows) -> Labels:
    sizes = stored.n_sites[rows]
    first = np.concatenate([[0], np.cumsum(sizes)])
    values = np.full((int(first[-1]), len(names)), np.nan)
    for target, name in enumerate(names):
        for at, labels in enumerate(_lists(stored, name, rows)):
            if len(labels) == sizes[at]:
                values[first[at] : first[at + 1], target] = labels
    return Labels(values, first)


def _lists(stored: Stored, name: str, rows: Rows) -> list[NDArray[np.float64]]:
    values, first = stored.ragged(name)
    return [np.array(values[first[row] : first[row + 1]]) for row in rows]


def _distances(stored: Stored, plan: "Plan", rows: Rows) -> NDArray[np.float64]:
    """The shortest distances of each row, ascending; NaN is none.  # (rows, 4)"""
    found = np.full((len(rows), BONDS), np.nan)
    for at, values in enumerate(_lists(stored, plan.targets[0].column, rows)):
        shortest = np.sort(values[np.isfinite(values)])[:BONDS]
        found[at, : len(shortest)] = shortest
    return found


def _empty(part: str, refused: dict[int, dict[str, Any]]) -> UnfitDataset:
    first = next(iter(refused.values()), {}).get("detail", "")
    return UnfitDataset(
        f"The part {part} has no row: {len(refused)} labelled rows cannot be read by this family.",
        place="split",
        expected=f"rows in {part}",
        got="none",
        hint=f"The first reason: {first}" if first else None,
    )
