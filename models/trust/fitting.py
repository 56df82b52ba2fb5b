"""A guide learned at the end of a training: from rows the networks learned from, and rows they did not."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from models.infer import Resident
from models.structures.composition import SYMBOLS
from models.training.dataset import Dataset, Rows
from models.training.split import Split
from models.trust import gauge, space
from models.trust.calibration import Difficulty, covered, factors, out_of_fold, votes_of
from models.trust.domain import Known, Limits, Terms
from models.trust.geometry import Floats, Geometry, Integers, geometry
from models.trust.guide import Guide, Seen
from models.trust.lines import Lines, columns, lines
from models.trust.ranks import rank_correlation
from models.trust.space import AROUND

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card
    from models.trust.told import Domain, Intervals, Reliability

FEWEST = 10  # structures with a label, to calibrate by
CHUNK = 256
TAUGHT = 20_000  # rows that a guide is learned from, of larger data sets some by chance
GAUGED = 4_000  # rows that the gauge learns from
BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Rows with what the networks say of them."""

    rows: Rows
    samples: Sequence[Any]
    features: Tensor  # (rows, width) of the first member
    values: list[tuple[float, ...]]
    stds: list[tuple[float, ...] | None]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The same, with all that a guide makes of it."""

    answered: Answered
    look: Geometry
    distance: Floats
    which: Integers
    terms: Terms


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What the card tells, and the guide itself."""

    guide: Guide
    domain: "Domain"
    intervals: "tuple[Intervals, ...] | None"
    reliability: "Reliability | None"

    def told(self) -> dict[str, Any]:
        """Fields of the card."""
        return {
            "domain": self.domain,
            "intervals": self.intervals,
            "reliability": self.reliability,
        }

    def result(self) -> dict[str, Any]:
        """For the training's result."""
        return {
            name: [one.model_dump(mode="json") for one in each]
            if isinstance(each, tuple)
            else each and each.model_dump(mode="json")
            for name, each in self.told().items()
        }


def fitted(
    card: "Card",
    networks: Sequence[nn.Module],
    data: Dataset,
    parts: Split,
    device: torch.device,
    *,
    names: Sequence[str] = (),
    formulas: Sequence[str] = (),
    seed: int = 0,
) -> Fitted | None:
    """The guide of these networks; none where there is nothing it could be learned from.

    `names` and `formulas` are those of the rows of `data`. Validation rows calibrate, test rows only measure.
    """
    # What is arranged for answering may be changed by that.
    resident = Resident(card, [deepcopy(each) for each in networks], device)
    chance = np.random.default_rng(seed)
    train = parts.train
    if len(train) > TAUGHT:
        train = np.sort(chance.choice(train, TAUGHT, replace=False))
    taught = answered(resident, data, train)
    if not len(taught):
        return None
    building = _Building(card, data, taught, chance, names, formulas)
    val, test = (answered(resident, data, rows) for rows in (parts.val, parts.test))
    guide = building.guide(val)
    judged = {
        name: _part(guide, each) for name, each in (("val", val), ("test", test)) if len(each)
    }
    intervals = _intervals(card, guide, data, judged)
    domain = _domain(guide, judged)
    reliability = _reliability(data, test if len(test) else val) if card.classifies else None
    return Fitted(guide, domain, intervals, reliability)


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
    return Answered(np.array(kept, np.int64), samples, vectors, values, stds)


@dataclass(slots=True, eq=False)
class _Building:
    """Step by step."""

    card: "Card"
    data: Dataset
    taught: Answered
    chance: np.random.Generator
    names: Sequence[str]
    formulas: Sequence[str]

    def guide(self, val: Answered) -> Guide:
        """With all that it needs."""
        card, taught = self.card, self.taught
        order = self.chance.permutation(len(taught))
        look = geometry(taught.samples)
        weights = None
        if card.family != "image":
            some = order[:GAUGED]
            graphs = [getattr(taught.samples[at], "graph", taught.samples[at]) for at in some]
            weights = gauge.trained(graphs)
        bare = Guide(
            card.family,
            np.array([each.mean for each in card.targets]),
            np.array([each.std for each in card.targets]),
            space.fitted(taught.features, order),
            self._seen(order),
            Known.learned(look),
            Limits({}),
            weights,
            np.zeros(2),
        )
        ordinary = val if len(val) else taught
        if weights is not None:
            at_rest = [
                strain
                for strain in map(bare.strain, _chunks(ordinary.samples))
                if strain is not None
            ]
            bare.rest = np.median(np.concatenate(at_rest), axis=0)
        bare.limits = self._limits(bare, look, order, val)
        if len(val) and not card.classifies:
            bare.difficulties = _difficulties(bare, self.data, _part(bare, val))
        return bare

    def _seen(self, order: Integers) -> Seen:
        taught, rows = self.taught, self.taught.rows[order]
        targets = len(self.card.targets)
        empty = np.zeros((len(rows), 0))
        labels = errors = empty
        if self.card.family in ("crystal", "image"):
            labels = self.data.labels.values[self.data.labels.places(rows)]
            values = np.array([taught.values[at] for at in order]).reshape(-1, targets)
            errors = np.abs(np.nan_to_num(labels) - values) * np.isfinite(labels)
        return Seen(
            [self.names[row] for row in rows] if len(self.names) else [""] * len(rows),
            [self.formulas[row] for row in rows] if len(self.formulas) else [""] * len(rows),
            labels,
            errors,
        )

    def _limits(self, bare: Guide, look: Geometry, order: Integers, val: Answered) -> Limits:
        """Terms that follow from the training rows themselves are judged by the validation rows alone."""
        own = np.empty(len(order), np.int64)
        own[order] = np.arange(len(order))
        places = bare.space.places(self.taught.features)
        distance, _ = bare.space.nearest(places, AROUND, own=own)
        of_train = bare.terms(look, distance, _strain(bare, self.taught))
        if not len(val):
            return Limits.learned(_unsigned(of_train), _unsigned(of_train))
        of_val = _unsigned(_part(bare, val).terms)
        both = {name: np.concatenate([values, of_train[name]]) for name, values in of_val.items()}
        few = len(val) < 100  # too few to tell what one in a hundred is
        alone = both if few else of_val
        ordinary = {
            name: alone[name] if name in ("features", "apart", "between") else both[name]
            for name in of_val
        }
        return Limits.learned(ordinary, of_val)


def _part(guide: Guide, of: Answered) -> Part:
    distance, which = guide.space.nearest(guide.space.places(of.features), AROUND)
    look = geometry(of.samples)
    return Part(of, look, distance, which, guide.terms(look, distance, _strain(guide, of)))


def _strain(guide: Guide, of: Answered) -> Floats | None:
    if guide.gauge is None:
        return None
    found = [guide.strain(some) for some in _chunks(of.samples)]
    return np.concatenate([each for each in found if each is not None])


def _chunks(samples: Sequence[Any]) -> list[Sequence[Any]]:
    return [samples[at : at + CHUNK] for at in range(0, len(samples), CHUNK)]


def _unsigned(terms: Terms) -> Terms:
    return {name: values for name, values in terms.items() if name != "signed"}


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
class _Errors:
    """Of one target, line by line."""

    table: Floats
    kinds: Integers
    errors: Floats
    owners: Integers

    @property
    def enough(self) -> bool:
        """Whether intervals can be told from so many."""
        return len(np.unique(self.owners)) >= FEWEST


def _errors(guide: Guide, data: Dataset, part: Part, target: int) -> _Errors:
    of, labels = labelled(guide.family, data, part.answered, len(guide.mean))
    around = guide.around(part.distance, part.which, part.terms)
    table = columns(of, around, guide.mean, guide.std)
    mine = (of.target == target) & np.isfinite(labels)
    return _Errors(table[mine], of.kind[mine], (of.value - labels)[mine], of.owner[mine])


def _difficulties(guide: Guide, data: Dataset, val: Part) -> tuple[Difficulty, ...]:
    """One a target; none where a target has too few labels."""
    found = []
    for target in range(len(guide.mean)):
        each = _errors(guide, data, val, target)
        if not each.enough:
            return ()
        votes = votes_of(each.owners)
        found.append(Difficulty.fitted(each.table, each.kinds, each.errors, votes))
    return tuple(found)


def _intervals(
    card: "Card", guide: Guide, data: Dataset, parts: dict[str, Part]
) -> "tuple[Intervals, ...] | None":
    if not guide.difficulties:
        return None
    return tuple(
        _interval(
            _errors(guide, data, parts["val"], target),
            _errors(guide, data, parts["test"], target) if "test" in parts else None,
            guide.difficulties[target],
        )
        for target in range(len(card.targets))
    )


def _interval(val: _Errors, test: _Errors | None, difficulty: Difficulty) -> "Intervals":
    from models.trust.told import Intervals

    scores = out_of_fold(val.table, val.kinds, val.errors, val.owners)
    levels, found = factors(scores, val.owners)
    made = Intervals(rows=len(np.unique(val.owners)), levels=levels, factors=found)
    if test is None or not len(test.errors):
        return made
    measured = measure(made, difficulty.of(test.table, test.kinds), test.errors, test.owners)
    return made.model_copy(update=measured)


def measure(
    intervals: "Intervals", difficulty: Floats, errors: Floats, owners: Integers
) -> dict[str, Any]:
    """How intervals do on lines that they were not made from."""
    from models.trust.told import LEVELS

    votes, coverage = votes_of(owners), {}
    for level in LEVELS:
        factor = intervals.factor(float(level))
        if factor is not None:
            coverage[level] = round(covered(errors, factor * difficulty, votes), 4)
    correlation = rank_correlation(difficulty, np.abs(errors))
    return {
        "judged": len(np.unique(owners)),
        "coverage": coverage,
        "rank_correlation": None if correlation is None else round(correlation, 4),
    }


def _domain(guide: Guide, parts: dict[str, Part]) -> "Domain":
    from models.trust.told import Domain

    known = guide.known
    flagged = {
        name: round(float((scores(guide, part) > 1).mean()), 4) for name, part in parts.items()
    }
    held = np.flatnonzero(known.elements)
    return Domain(
        rows=known.rows,
        elements={SYMBOLS[number]: int(known.elements[number]) for number in held.tolist()},
        sites=(int(known.sites[0]), int(known.sites[1])),
        nearest=(round(float(known.shortest[0]), 3), round(float(known.shortest[-1]), 3)),
        flagged=flagged,
    )


def scores(guide: Guide, part: Part) -> Floats:
    """The domain score of each structure."""
    hard = guide.known.hard(part.look, pictures=guide.family == "image")
    return np.maximum(guide.limits.score(guide.limits.scaled(part.terms)), hard)


def _reliability(data: Dataset, of: Answered) -> "Reliability | None":
    """Answers in as many bins of equally many."""
    from models.trust.told import Bin, Reliability

    if not len(of):
        return None
    told = np.array([value[0] for value in of.values])
    found = data.labels.values[data.labels.places(of.rows)][:, 0]
    known = np.isfinite(found)
    told, found = told[known], found[known]
    if not len(told):
        return None
    groups = [some for some in np.array_split(np.argsort(told, kind="stable"), BINS) if len(some)]
    bins = tuple(
        Bin(
            count=len(some),
            told=round(float(told[some].mean()), 4),
            found=round(float(found[some].mean()), 4),
        )
        for some in groups
    )
    error = sum(each.count * abs(each.told - each.found) for each in bins) / len(told)
    return Reliability(
        bins=bins, error=round(error, 4), brier=round(float(((told - found) ** 2).mean()), 4)
    )
