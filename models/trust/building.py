"""A guide made from rows the networks have learned from, and rows they have not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.training.dataset import Dataset, Rows
from models.trust import gauge, space
from models.trust.calibration import Difficulty, votes_of
from models.trust.domain import Known, Limits, Terms
from models.trust.geometry import Geometry, Integers, geometry
from models.trust.guide import Guide, Seen
from models.trust.levels import Levels
from models.trust.rows import Answered, Part, errors, labelled, part
from models.trust.space import AROUND

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card

GAUGED = 4_000  # structures that the gauge learns from
FEW = 100  # rows; fewer do not tell what one in a hundred is
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
            Known.learned(look, [self.data.samples[row].numbers for row in self.train]),
            Limits({}),
            weights,
            np.zeros(2),
            Levels(np.zeros(0), np.zeros((0, 0))),
        )
        bare.levels = self._levels(bare)
        ordinary = val if len(val) else taught
        if weights is not None:
            at_rest = bare.strains(ordinary.samples)
            assert at_rest is not None
            bare.rest = np.median(at_rest, axis=0)
        bare.limits = self._limits(bare, look, order, val)
        if len(val) and not card.classifies:
            bare.difficulties = _difficulties(bare, self.data, part(bare, val))
        return bare

    def _levels(self, bare: Guide) -> Levels:
        taught, targets = self.taught, len(self.card.targets)
        of, labels = labelled(self.card.family, self.data, taught, targets)
        places = bare.space.places(taught.features).numpy()
        return Levels.learned(
            self.card.family, taught.samples, of, places=places, errors=of.value - labels
        )

    def _seen(self, order: Integers) -> Seen:
        rows = self.taught.rows[order]
        labels = np.zeros((len(rows), 0))
        if self.card.family in ("crystal", "image"):
            labels = self.data.labels.values[self.data.labels.places(rows)]
        return Seen(
            [self.names[row] for row in rows] if len(self.names) else [""] * len(rows),
            [self.formulas[row] for row in rows] if len(self.formulas) else [""] * len(rows),
            labels,
        )

    def _limits(self, bare: Guide, look: Geometry, order: Integers, val: Answered) -> Limits:
        """Terms that follow from the training rows themselves are judged by the validation rows alone."""
        own = np.empty(len(order), np.int64)
        own[order] = np.arange(len(order))
        places = bare.space.places(self.taught.features)
        distance, _ = bare.space.nearest(places, AROUND, own=own)
        of_train = bare.terms(look, distance, bare.strains(self.taught.samples))
        if not len(val):
            return Limits.learned(_unsigned(of_train), _unsigned(of_train))
        of_val = _unsigned(part(bare, val).looked.terms)
        both = {name: np.concatenate([values, of_train[name]]) for name, values in of_val.items()}
        alone = both if len(val) < FEW else of_val
        ordinary = {name: alone[name] if name in OWN else both[name] for name in of_val}
        return Limits.learned(ordinary, of_val)


def _unsigned(terms: Terms) -> Terms:
    return {name: values for name, values in terms.items() if name != "signed"}


def _difficulties(guide: Guide, data: Dataset, val: Part) -> tuple[Difficulty, ...]:
    """One a target; none where a target has too few labels."""
    found = []
    for target in range(len(guide.mean)):
        each = errors(guide, data, val, target)
        if not each.enough:
            return ()
        votes = votes_of(each.owners)
        found.append(Difficulty.fitted(each.table, each.kinds, each.errors, votes))
    return tuple(found)
