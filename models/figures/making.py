"""Figures of a trained model, from its answers to the rows that judge it."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.figures.elements import Sites, tables
from models.figures.rounding import column, rounded
from models.figures.told import (
    FEWEST_POINTS,
    LARGEST,
    POINTS,
    Bin,
    Calibration,
    Classified,
    ElementError,
    Figures,
    Parity,
    RankError,
    TargetFigures,
    WidthBin,
)
from models.structures.composition import SYMBOLS
from models.training import metrics
from models.training.judging import Judged

Part = Literal["train", "val", "test"]
Values = NDArray[np.float64]

LEVEL = 0.9  # of the intervals in the parity plot
BINS = 10
FEWEST_A_BIN = 5
CURVE_POINTS = 200


def made(
    judged: Judged,
    numbers: Sequence[NDArray[np.uint8]],
    *,
    part: Part,
    classifies: bool = False,
    of_sites: bool = False,
    half_widths: Mapping[float, Values] | None = None,
    sites: Sites | None = None,
) -> Figures:
    """All that can be told of these answers.

    `numbers`: the elements of each judged structure, in the order of its first line. `half_widths`: by level, of every
    answer, as `judged.answers` has them, NaN of targets without. `of_sites`: each line is a site. `sites`: see `models.figures.elements`.
    """
    targets = judged.labels.shape[1]
    held = _held(judged, numbers, of_sites=of_sites)
    points = max(FEWEST_POINTS, POINTS // targets)
    found = []
    for at in range(targets):
        halves = {
            level: each[:, at]
            for level, each in (half_widths or {}).items()
            if not np.isnan(each[:, at]).all()
        }
        found.append(_target(judged, at, held, halves, points, classifies=classifies))
    return Figures(
        part=part, targets=tuple(found), elements=None if sites is None else tables(sites)
    )


def _target(
    judged: Judged,
    at: int,
    held: NDArray[np.bool_],
    halves: Mapping[float, Values],
    points: int,
    *,
    classifies: bool,
) -> TargetFigures:
    answers, labels = judged.answers[:, at], judged.labels[:, at]
    known = np.isfinite(answers) & np.isfinite(labels)
    known &= (np.abs(answers) < LARGEST / 4) & (np.abs(labels) < LARGEST / 4)
    if classifies:
        return TargetFigures(
            n=int(known.sum()), classified=_classified(answers[known], labels[known])
        )
    answers, labels, held = answers[known], labels[known], held[known]
    halves = {level: each[known] for level, each in halves.items()}
    error = np.abs(answers - labels)
    ranks = None if judged.ranks is None else judged.ranks[known]
    return TargetFigures(
        n=len(error),
        mae=rounded(float(error.mean())) if len(error) else None,
        parity=_parity(answers, labels, halves.get(LEVEL), ranks, points),
        by_element=_by_element(error, held),
        calibration=_calibration(error, halves, judged.rows[known]),
        widths=_widths(error, halves.get(LEVEL)),
        ranks=() if ranks is None else _ranks(error, ranks),
    )


def _held(
    judged: Judged, numbers: Sequence[NDArray[np.uint8]], *, of_sites: bool
) -> NDArray[np.bool_]:
    """Which elements each line is about.  # (lines, 119)"""
    if of_sites:
        elements = np.concatenate([each.astype(int) for each in numbers] or [np.zeros(0, int)])
        own: NDArray[np.bool_] = np.eye(len(SYMBOLS), dtype=bool)[elements]
        return own
    table = np.zeros((len(numbers), len(SYMBOLS)), bool)
    for at, each in enumerate(numbers):
        table[at, each.astype(int)] = True
    _, first, place = np.unique(judged.rows, return_index=True, return_inverse=True)
    held: NDArray[np.bool_] = table[np.argsort(np.argsort(first))[place]]
    return held


def _parity(
    answers: Values,
    labels: Values,
    half: Values | None,
    ranks: NDArray[np.int64] | None,
    most: int,
) -> Parity:
    some = np.arange(len(answers))
    if len(some) > most:
        some = np.sort(np.random.default_rng(0).choice(some, most, replace=False))
    extent = float(np.ptp(labels)) if len(labels) else 0.0
    if half is not None:
        widest = 10 * (extent + np.abs(answers - labels).max(initial=1.0))
        half = np.minimum(half, widest)  # of a difficulty without bounds
    return Parity(
        true=column(labels[some].tolist(), extent),
        predicted=column(answers[some].tolist(), extent),
        half_width=None if half is None else column(half[some].tolist(), extent),
        level=None if half is None else LEVEL,
        rank=None if ranks is None else tuple((ranks[some] + 1).tolist()),
    )


def _by_element(error: Values, held: NDArray[np.bool_]) -> tuple[ElementError, ...]:
    return tuple(
        ElementError(
            element=SYMBOLS[number],
            mae=rounded(float(error[held[:, number]].mean())),
            n=int(held[:, number].sum()),
        )
        for number in np.flatnonzero(held.any(0)).tolist()
        if number
    )


def _calibration(
    error: Values, halves: Mapping[float, Values], rows: NDArray[np.int64]
) -> Calibration | None:
    """Each structure has one vote, however many sites or bonds it has."""
    if not halves or not len(error):
        return None
    _, place, sizes = np.unique(rows, return_inverse=True, return_counts=True)
    votes = 1 / sizes[place]
    levels = sorted(halves)
    return Calibration(
        levels=tuple(levels),
        coverage=tuple(
            rounded(float(np.average(error <= halves[level], weights=votes))) for level in levels
        ),
        n=len(error),
    )


def _widths(error: Values, half: Values | None) -> tuple[WidthBin, ...]:
    """Bins of as many lines each, from narrow to wide."""
    if half is None or len(error) < 2 * FEWEST_A_BIN or np.ptp(half) <= 1e-9 * np.abs(half).max():
        return ()
    order = np.argsort(half, kind="stable")
    bins = np.array_split(order, min(BINS, len(order) // FEWEST_A_BIN))
    return tuple(
        WidthBin(
            half_width=rounded(float(np.minimum(half[some], LARGEST).mean())),
            mae=rounded(float(error[some].mean())),
            within=rounded(float(np.quantile(error[some], LEVEL))),
            n=len(some),
        )
        for some in bins
    )


def _ranks(error: Values, ranks: NDArray[np.int64]) -> tuple[RankError, ...]:
    return tuple(
        RankError(
            rank=rank + 1,
            mae=rounded(float(error[ranks == rank].mean())),
            n=int((ranks == rank).sum()),
        )
        for rank in np.unique(ranks).tolist()
    )


def _classified(answers: Values, labels: Values) -> Classified:
    """The curve at every threshold, thinned, and how often probabilities come true."""
    if not len(labels):
        return Classified()
    yes = labels > 0.5
    auc = metrics.classification(answers, labels).get("auc")
    order = np.argsort(-answers, kind="stable")
    last = np.flatnonzero(np.append(np.diff(answers[order]) != 0, True))  # among equals the last
    last = last[np.unique(np.linspace(0, len(last) - 1, CURVE_POINTS).round().astype(int))]
    false = np.cumsum(~yes[order])[last] / max(1, int((~yes).sum()))
    true = np.cumsum(yes[order])[last] / max(1, int(yes.sum()))
    bins = np.minimum((answers * BINS).astype(int), BINS - 1)
    return Classified(
        auc=None if auc is None else rounded(float(auc)),
        false_positive=column([0.0, *false.tolist()], 1.0),
        true_positive=column([0.0, *true.tolist()], 1.0),
        bins=tuple(
            Bin(
                probability=rounded(float(answers[bins == at].mean())),
                share=rounded(float(yes[bins == at].mean())),
                n=int((bins == at).sum()),
            )
            for at in np.unique(bins).tolist()
        ),
    )
