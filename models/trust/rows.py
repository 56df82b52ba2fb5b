"""Rows of a data set with what a model says of them, and how far that is from their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.infer import Resident
from models.training.dataset import Dataset, Rows
from models.trust.geometry import Floats, Integers
from models.trust.guide import Guide, Looked, beyond
from models.trust.lines import Lines, lines

FEWEST = 10  # groups of structures with a label, to calibrate by
CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Rows with what the networks say of them."""

    rows: Rows
    samples: Sequence[Any]
    features: Tensor  # (rows, width) of the first member
    values: list[tuple[float, ...]]
    stds: list[tuple[float, ...] | None]
    missed: int = 0  # rows that could not be answered

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The same, as a guide sees it."""

    answered: Answered
    looked: Looked


def answered(resident: Resident, data: Dataset, rows: Rows) -> Answered:
    """Those of the rows that could be answered."""
    kept: list[int] = []
    samples: list[Any] = []
    values: list[tuple[float, ...]] = []
    stds: list[tuple[float, ...] | None] = []
    features: list[Tensor] = []
    for start in range(0, len(rows), CHUNK):
        some = [data.samples[row] for row in rows[start : start + CHUNK]]
        found = resident.answer(some, features=True)
        for row, sample, answer in zip(rows[start : start + CHUNK], some, found, strict=True):
            if answer.error is None and answer.features is not None:
                width = len(answer.features) // resident.card.members
                kept.append(int(row))
                samples.append(sample)
                values.append(answer.values)
                stds.append(answer.std)
                features.append(torch.tensor(answer.features[:width]))
    vectors = torch.stack(features) if features else torch.zeros(0, 1)
    missed = len(rows) - len(kept)
    return Answered(np.array(kept, np.int64), samples, vectors, values, stds, missed)


def part(guide: Guide, of: Answered) -> Part:
    """Looked at."""
    return Part(of, guide.look(of.samples, of.features, guide.strains(of.samples)))


def labelled(family: str, data: Dataset, of: Answered, targets: int) -> tuple[Lines, Floats]:
    """The lines of the answers, and the label of each; NaN for none."""
    found = lines(family, of.samples, of.values, of.stds, targets)
    if data.distances is not None:
        labels = [
            data.distances[row][: len(value) // 2]
            for row, value in zip(of.rows, of.values, strict=True)
        ]
        return found, np.concatenate(labels)
    labels = [
        data.labels.values[data.labels.first[row] : data.labels.first[row + 1]].T.ravel()
        for row in of.rows
    ]
    return found, np.concatenate(labels)


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Of one target, line by line."""

    table: Floats
    kinds: Integers
    beyond: Floats  # how many times harder than within the domain
    errors: Floats  # but for that
    owners: Integers  # its structure
    witnesses: Integers  # the group of that: what errs together counts once

    @property
    def enough(self) -> bool:
        """Whether intervals can be told from so many."""
        return len(np.unique(self.witnesses)) >= FEWEST


def errors(guide: Guide, data: Dataset, part: Part, target: int) -> Errors:
    """Of the lines of one target that have labels."""
    of, labels = labelled(guide.family, data, part.answered, len(guide.mean))
    table = guide.table(of, part.looked)
    mine = (of.target == target) & np.isfinite(labels)
    owners = of.owner[mine]
    witnesses = owners if data.groups is None else data.groups[part.answered.rows[owners]]
    harder = beyond(guide.scores(part.looked)[1])[owners]
    errors = (of.value - labels)[mine] / harder
    return Errors(table[mine], of.kind[mine], harder, errors, owners, witnesses)


def beside(guide: Guide, of: Part) -> Floats:
    """The difficulty of each answer as `judging.beside` has them.  # (lines, targets)"""
    rows, targets = of.answered, len(guide.mean)
    found = lines(guide.family, rows.samples, rows.values, rows.stds, targets)
    _, score = guide.scores(of.looked)
    difficulty = guide.difficulty(found, guide.table(found, of.looked), score)
    if guide.family == "bond":
        return difficulty[:, None]
    each = np.split(difficulty, found.ends[:-1])
    return np.concatenate([one.reshape(targets, -1).T for one in each])
