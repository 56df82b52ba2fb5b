"""What goes with a model's answers: how hard each is, whether it is in the domain, what is nearest to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from models.trust import gauge
from models.trust.calibration import Difficulty
from models.trust.domain import Known, Limits, Terms, Words
from models.trust.geometry import Floats, Geometry, Integers, geometry
from models.trust.lines import Around, Lines, columns, lines
from models.trust.ranks import strangeness
from models.trust.space import AROUND, Space
from models.trust.trust import Near, Trust

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card

CALLED = {"crystal": "crystals", "site": "crystals", "bond": "slabs", "image": "images"}
NEIGHBOURS = 5  # that are told


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Some of the training structures, in the order of the space; columns are targets."""

    names: Sequence[str]
    formulas: Sequence[str]
    labels: Floats  # (structures, targets) NaN for none; of sites and bonds no columns
    errors: Floats  # (structures, targets) of the networks, which have learned from them


@dataclass(eq=False)
class Guide:
    """For one thread, as the network is."""

    family: str
    mean: Floats  # (targets,)
    std: Floats  # (targets,)
    space: Space
    seen: Seen
    known: Known
    limits: Limits
    gauge: gauge.State | None
    rest: Floats  # (2,) what the gauge says of structures at rest
    difficulties: tuple[Difficulty, ...] = ()  # one a target, or none at all

    def judge(
        self,
        samples: Sequence[Any],
        features: Tensor,
        values: Sequence[Sequence[float]],
        stds: Sequence[Sequence[float] | None],
        *,
        neighbours: bool = False,
        batch: Any = None,
    ) -> list[Trust]:
        """Of answers and the first member's vectors; `batch` are the samples collated, if they are already."""
        places = self.space.places(features)
        distance, which = self.space.nearest(places, AROUND)
        look = geometry(samples)
        terms = self.terms(look, distance, self.strain(samples, batch))
        scaled = self.limits.scaled(terms)
        hard = self.known.hard(look, pictures=self.family == "image")
        score = np.maximum(self.limits.score(scaled), hard)
        words = Words(self.known, self.limits, look, terms, scaled, CALLED[self.family])
        near = self._near(places) if neighbours else [None] * len(samples)
        parts = self._difficulties(
            lines(self.family, samples, values, stds, len(self.mean)),
            self.around(distance, which, terms),
        )
        return [
            Trust(parts[at], float(score[at]), words.of(at) if score[at] > 1 else (), near[at])
            for at in range(len(samples))
        ]

    def terms(self, look: Geometry, distance: Floats, strain: Floats | None) -> Terms:
        """How far structures are from the training structures, in several ways."""
        found = self.known.terms(look, pictures=self.family == "image")
        found["features"] = distance.mean(1)
        if strain is not None:
            found["signed"] = strain[:, 0]
            found["stretch"], found["shake"] = np.abs(strain[:, 0]), np.maximum(strain[:, 1], 0.0)
        return found

    def strain(self, samples: Sequence[Any], batch: Any = None) -> Floats | None:
        """Stretch (a logarithm) and shake (Å) of each, beyond what is usual.  # (structures, 2)"""
        if self.gauge is None:
            return None
        if batch is None:
            batch = gauge.collated(samples)
        with torch.inference_mode():
            return np.asarray(self._gauge(batch).double().numpy() - self.rest)

    def around(self, distance: Floats, which: Integers, terms: Terms) -> Around:
        """What is known of the places of structures."""
        count, targets = len(distance), len(self.mean)
        spread = error = np.zeros((count, targets))
        if self.seen.labels.shape[1]:
            with np.errstate(all="ignore"):
                known = np.isfinite(self.seen.labels[which])
                spread = _deviation(self.seen.labels[which], known)
                error = _mean(self.seen.errors[which], known)
        unit = self.limits.end("features") if "features" in self.limits.terms else 1.0
        stretch = np.zeros(count)
        if "stretch" in self.limits.terms:
            stretch = np.minimum(2.0, strangeness(terms["stretch"], self.limits.terms["stretch"]))
        return Around(distance.mean(1) / unit, spread, error, stretch)

    def difficulty(self, of: Lines, around: Around) -> Floats:
        """Of each line."""
        found, table = np.empty(len(of.owner)), columns(of, around, self.mean, self.std)
        for target, each in enumerate(self.difficulties):
            mine = of.target == target
            found[mine] = each.of(table[mine], of.kind[mine])
        return found

    def _difficulties(self, of: Lines, around: Around) -> list[tuple[float, ...]]:
        ends = of.ends.tolist()
        if not self.difficulties:
            return [()] * len(ends)
        found = self.difficulty(of, around).tolist()
        return [tuple(found[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def _near(self, places: Tensor) -> list[tuple[Near, ...]]:
        unit = self.limits.end("features") if "features" in self.limits.terms else 1.0
        distance, which = self.space.nearest(places, NEIGHBOURS, all_of_them=True)
        return [
            tuple(self._one(row, apart / unit) for row, apart in zip(rows, apart_of, strict=True))
            for rows, apart_of in zip(which.tolist(), distance.tolist(), strict=True)
        ]

    def _one(self, row: int, distance: float) -> Near:
        labels = self.seen.labels[row].tolist()
        told = tuple(value if np.isfinite(value) else None for value in labels)
        return Near(self.seen.names[row], self.seen.formulas[row], distance, told)

    @cached_property
    def _gauge(self) -> Callable[[Any], Tensor]:
        assert self.gauge is not None
        return gauge.ready(self.gauge, torch.device("cpu"))

    @staticmethod
    def load(folder: Any, card: "Card") -> "Guide | None":
        """The guide of the model in this folder; none where its card knows of none. Raises: DamagedModel."""
        from models.trust.files import load

        return load(folder, card)


def _mean(values: Floats, known: Any) -> Floats:
    """Over the neighbours, of those with a label.  # (n, targets)"""
    return np.asarray(np.where(known, values, 0).sum(1) / np.maximum(1, known.sum(1)))


def _deviation(values: Floats, known: Any) -> Floats:
    apart = np.where(known, values - _mean(values, known)[:, None], 0)
    return np.sqrt(_mean(apart**2, known))
