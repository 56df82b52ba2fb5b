"""What a training leaves beside its weights for others to know how far to trust its model."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from models.infer import Resident
from models.training.dataset import Dataset
from models.training.split import Split
from models.trust import measuring
from models.trust.building import Building
from models.trust.geometry import Floats
from models.trust.guide import Guide
from models.trust.rows import Part, answered, beside, part

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card
    from models.trust.told import Domain, Intervals, Reliability

TAUGHT = 20_000  # rows that a guide is learned from, of larger data sets some by chance


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What the card tells, and the guide itself."""

    guide: Guide
    domain: "Domain"
    intervals: "tuple[Intervals | None, ...] | None"
    reliability: "Reliability | None"
    parts: Mapping[str, Part]  # validation and test rows

    def half_widths(self, part: str, levels: Sequence[float]) -> dict[float, Floats] | None:
        """By level, of each line of `judging.beside`; NaN of a target without them.  # (lines, targets)"""
        if self.intervals is None or part not in self.parts:
            return None
        of = self.parts[part]
        if of.answered.missed:
            return None
        factors = [[each and each.factor(level) for each in self.intervals] for level in levels]
        widths = beside(self.guide, of)
        return {
            level: widths * np.array(each, float)
            for level, each in zip(levels, factors, strict=True)
            if any(one is not None for one in each)
        }

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
            name: [one and one.model_dump(mode="json") for one in each]
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
    building = Building(card, data, parts.train, taught, chance, names, formulas)
    val, test = (answered(resident, data, rows) for rows in (parts.val, parts.test))
    guide = building.guide(val)
    judged = {name: part(guide, each) for name, each in (("val", val), ("test", test)) if len(each)}
    reliable = measuring.reliability(data, test if len(test) else val) if card.classifies else None
    return Fitted(
        guide,
        measuring.domain(guide, judged),
        measuring.intervals(guide, data, judged),
        reliable,
        judged,
    )
