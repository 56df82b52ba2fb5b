"""How large errors are where structures are of such elements, and lie so in the networks' space.

Learned from the training rows, of which there are many more than validation rows. Their errors are smaller than
those of new rows, but large in the same places; how large exactly is learned from the validation rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.trust.geometry import KINDS
from models.trust.lines import Lines

Floats = NDArray[np.float64]

RIDGE = 30.0  # lines of no information
MOST = 50_000  # lines to learn from
FLOOR = 0.1  # of the mean error: smaller ones are all alike


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The logarithm of the error, linear in elements and places; around 0."""

    centre: Floats  # (inputs,)
    weights: Floats  # (targets, inputs)

    @classmethod
    def learned(
        cls,
        family: str,
        samples: Sequence[Any],
        of: Lines,
        *,
        places: Floats,
        errors: Floats,
    ) -> Self:
        """From training rows; an error that is not known is NaN.  # places: (structures, axes)"""
        targets, inputs = int(of.target.max()) + 1, KINDS + places.shape[1]
        centre, weights = np.zeros(inputs), np.zeros((targets, inputs))
        chance = np.random.default_rng(0)
        for target in range(targets):
            mine = np.flatnonzero((of.target == target) & np.isfinite(errors))
            if len(mine) > MOST:
                mine = np.sort(chance.choice(mine, MOST, replace=False))
            if len(mine) < 2:
                continue
            table = _inputs(family, samples, of, places, mine)
            centre = table.mean(0) if target == 0 else centre
            table -= centre
            size = np.abs(errors[mine])
            wanted = np.log(size + FLOOR * size.mean() + 1e-12)
            left = table.T @ table + RIDGE * np.eye(inputs)
            weights[target] = np.linalg.solve(left, table.T @ (wanted - wanted.mean()))
        return cls(centre, weights)

    def of(self, family: str, samples: Sequence[Any], lines: Lines, places: Floats) -> Floats:
        """Of each line."""
        split = KINDS
        by_place = (places - self.centre[split:]) @ self.weights[
            :, split:
        ].T  # (structures, targets)
        found: Floats = by_place[lines.owner, lines.target]
        own = self.weights[:, :split]
        base = own @ self.centre[:split]
        if family == "site":
            return np.asarray(found + own[lines.target, lines.kind] - base[lines.target])
        by_element = _shares(samples) @ own.T - base
        return np.asarray(found + by_element[lines.owner, lines.target])


def _inputs(
    family: str, samples: Sequence[Any], of: Lines, places: Floats, mine: NDArray[np.int64]
) -> Floats:
    """Of a site its element, else the elements' shares; and where the structure lies.  # (lines, inputs)"""
    elements = (
        np.eye(KINDS)[of.kind[mine]] if family == "site" else _shares(samples)[of.owner[mine]]
    )
    return np.column_stack([elements, places[of.owner[mine]]])


def _shares(samples: Sequence[Any]) -> Floats:
    """The root of each element's share, so that a few atoms count for something.  # (structures, KINDS)"""
    sizes = [len(each.numbers) for each in samples]
    place = np.repeat(np.arange(len(sizes)) * KINDS, sizes)
    place += np.concatenate([each.numbers for each in samples])
    found = np.bincount(place, minlength=KINDS * len(sizes)).reshape(-1, KINDS)
    return np.asarray(np.sqrt(found / found.sum(1, keepdims=True)))
