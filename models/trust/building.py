"""A guide made from rows the networks have learned from, and rows they have not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.training.dataset import Dataset, Rows
from models.trust import gauge, space
from models.trust.calibration import Difficulty, votes_of
from models.trust.domain import Known, Limits, Terms
from models.trust.geometry import KINDS, Floats, Geometry, Integers, geometry, kept
from models.trust.guide import Guide, Seen
from models.trust.levels import Levels
from models.trust.rows import Answered, Errors, Part, errors, labelled, part
from models.trust.space import AROUND

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card

GAUGED = 4_000  # structures that the gauge learns from
FEW = 100  # rows; fewer do not tell what one in a hundred is
HELD = 4  # one in so many training rows is then left out of what judges it
WORST = 1e3  # error, of the mean of all
# Terms that are small for whatever was learned from.
OWN = ("features", "apart", "between", "stretch", "shake")


@dataclass(slots=True, eq=False)
class Building:
    """Step by step."""

    card: "Card"
    data: Dataset
    train: Rows
    taught: Answered  # as many of them as are looked at
    chance: np.random.Generator
    names: Sequence[str]
    formulas: Sequence[str]

    def guide(self, val: Answered) -> Guide:
        """With all that it needs."""
        card, taught = self.card, self.taught
        order = self.chance.permutation(len(taught))
        look = geometry(taught.samples)
        held = order[len(order) - len(order) // HELD :] if len(val) < FEW else order[:0]
        of, labels = labelled(card.family, self.data, taught, len(card.targets))
        errors = of.value - labels
        images = card.family == "image"
        weights = None
        if not images:
            some = order[: min(GAUGED, len(order) - len(held))]
            graphs = [getattr(taught.samples[at], "graph", taught.samples[at]) for at in some]
            weights = gauge.trained(graphs)
        bare = Guide(
            card.family,
            np.array([each.mean for each in card.targets]),
            np.array([each.std for each in card.targets]),
            space.fitted(taught.features, order, whole=images),
            self._seen(
                order, _relative(errors.reshape(len(taught), -1))[order] if images else None
            ),
            Known.learned(look, [self.data.samples[row].numbers for row in self.train]),
            Limits({}),
            weights,
            np.zeros(2),
            Levels(np.zeros(0), np.zeros((0, 0))),
        )
        places = bare.space.places(taught.features).numpy()
        bare.levels = Levels.learned(card.family, taught.samples, of, places=places, errors=errors)
        if weights is not None:
            ordinary = [*val.samples, *self._samples(held)] or taught.samples
            at_rest = bare.strains(ordinary)
            assert at_rest is not None
            bare.rest = np.median(at_rest, axis=0)
        bare.limits = self._limits(bare, look, order, held, val)
        if len(val) and not card.classifies:
            bare.difficulties = _difficulties(bare, self.data, part(bare, val))
        return bare

    def _seen(self, order: Integers, errors: Floats | None) -> Seen:
        rows = self.taught.rows[order]
        labels = np.zeros((len(rows), 0))
        if self.card.family in ("crystal", "image"):
            labels = self.data.labels.values[self.data.labels.places(rows)]
        return Seen(
            [self.names[row] for row in rows] if len(self.names) else [""] * len(rows),
            [self.formulas[row] for row in rows] if len(self.formulas) else [""] * len(rows),
            labels,
            None if errors is None else kept(errors),
        )

    def _limits(
        self, bare: Guide, look: Geometry, order: Integers, held: Integers, val: Answered
    ) -> Limits:
        """Terms that follow from the training rows themselves are judged by rows that the guide does not know."""
        own = np.empty(len(order), np.int64)
        own[order] = np.arange(len(order))
        places = bare.space.places(self.taught.features)
        distance, _ = bare.space.nearest(places, AROUND, own=own)
        of_train = bare.terms(look, distance.mean(1), bare.strains(self.taught.samples))
        parts = [part(bare, val).looked.terms] if len(val) else []
        if len(held):
            parts.append({name: values[held] for name, values in of_train.items()})
            parts[-1] |= self._by_others(held)
        new = _joined(parts or [of_train])
        both = _joined([new, of_train])
        return Limits.learned({name: new[name] if name in OWN else both[name] for name in new}, new)

    def _by_others(self, held: Integers) -> Terms:
        """Terms of some rows by what all others have; the gauge has not learned from them anyway."""
        others = self._samples(np.setdiff1d(np.arange(len(self.taught)), held))
        known = Known.learned(geometry(others), [each.numbers for each in others])
        some = geometry(self._samples(held))
        return known.terms(some, pictures=self.card.family == "image")

    def _samples(self, rows: Integers) -> list[Any]:
        return [self.taught.samples[at] for at in rows.tolist()]


def _relative(errors: Floats) -> Floats:
    """To the mean of all; 1 where none is known.  # (structures, targets)"""
    size, known = np.abs(errors), np.isfinite(errors)
    mean = np.where(known, size, 0).sum(0) / np.maximum(1, known.sum(0))
    relative = size / np.where(mean > 0, mean, 1)
    return np.where(known, np.minimum(relative, WORST), 1.0)


def _joined(parts: Sequence[Terms]) -> Terms:
    return {
        name: np.concatenate([each[name] for each in parts])
        for name in parts[0]
        if name != "signed"
    }


def _difficulties(guide: Guide, data: Dataset, val: Part) -> tuple[Difficulty, ...]:
    """One a target; none where all have too few labels."""
    each = [errors(guide, data, val, target) for target in range(len(guide.mean))]
    return tuple(map(_difficulty, each)) if any(one.enough for one in each) else ()


def _difficulty(of: Errors) -> Difficulty:
    if not of.enough:
        return Difficulty.unknown(of.table.shape[1], KINDS)
    return Difficulty.fitted(of.table, of.kinds, of.errors, votes_of(of.witnesses))
