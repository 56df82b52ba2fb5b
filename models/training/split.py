"""Which rows teach, which choose, which judge."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from models.training.dataset import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows of each part."""

    train: Rows
    val: Rows
    test: Rows


def split(groups: Sequence[Hashable], val: float, test: float, seed: int) -> Split:
    """Shares of the rows by chance; rows of one group stay together.

    Give each row a group of its own for a plain random split.
    """
    names = list(dict.fromkeys(groups))
    place = {name: at for at, name in enumerate(names)}
    group = np.array([place[each] for each in groups])
    order = np.random.default_rng(seed).permutation(len(names))
    size = np.bincount(group, minlength=len(names))[order]
    before = np.cumsum(size) - size  # rows in groups drawn earlier
    part = np.full(len(names), 2)  # 0 test, 1 val, 2 train
    part[order[before < (test + val) * len(group)]] = 1
    part[order[before < test * len(group)]] = 0
    return Split(*(np.flatnonzero(part[group] == which) for which in (2, 1, 0)))
