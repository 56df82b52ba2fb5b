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
from models.trust.levels import Levels
from models.trust.lines import Around, Lines, columns, lines
from models.trust.ranks import strangeness
from models.trust.space import AROUND, FARTHEST, Space
from models.trust.trust import Near, Trust

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card

CALLED = {"crystal": "crystals", "site": "crystals", "bond": "slabs", "image": "images"}
NEIGHBOURS = 5  # that are told
CHUNK = 64  # structures in a batch of the gauge
HARDER = 10.0  # at most, answers outside of the domain
ANOTHER = 2.0  # a structure at 1 / ANOTHER of the domain's reach is no other than the one there


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Some of the training structures, in the order of the space; columns are targets."""

    names: Sequence[str]
    formulas: Sequence[str]
    labels: Floats  # (structures, targets) NaN for none; of sites and bonds no columns
    errors: Floats | None = None  # (structures, targets) relative to the mean of all; of images


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Structures as a guide sees them."""

    samples: Sequence[Any]
    places: Tensor  # (structures, axes)
    geometry: Geometry
    distance: Floats  # (structures, neighbours) to the nearest that were learned from
    which: Integers  # (structures, neighbours)
    terms: Terms

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(eq=False)
class Guide:
    """For one thread, as the network is."""

    family: str
    mean: Floats  # (targets,) of the labels learned from
    std: Floats  # (targets,)
    space: Space
    seen: Seen
    known: Known
    limits: Limits
    gauge: gauge.State | None
    rest: Floats  # (2,) what the gauge says of structures at rest
    levels: Levels
    difficulties: tuple[Difficulty, ...] = ()  # one a target, or none at all

    def judge(
        self,
        samples: Sequence[Any],
        features: Tensor,
        values: Sequence[Sequence[float]],
        stds: Sequence[Sequence[float] | None],
        strain: Floats | None,
        *,
        neighbours: bool = False,
    ) -> list[Trust]:
        """Of answers, the first member's vectors, and what `strain` says."""
        seen = self.look(samples, features, strain)
        scaled, score = self.scores(seen)
        words = Words(
            self.known, self.limits, seen.geometry, seen.terms, scaled, CALLED[self.family]
        )
        near = self._near(seen.places) if neighbours else [None] * len(samples)
        parts: list[tuple[float, ...]] = [()] * len(samples)
        if self.difficulties:
            of = lines(self.family, samples, values, stds, len(self.mean))
            parts = _split(self.difficulty(of, self.table(of, seen), score), of.ends)
        return [
            Trust(parts[at], float(score[at]), words.of(at) if score[at] > 1 else (), near[at])
            for at in range(len(samples))
        ]

    def look(self, samples: Sequence[Any], features: Tensor, strain: Floats | None) -> Looked:
        """All that is needed to judge them."""
        places = self.space.places(features)
        distance, which = self.space.nearest(places, AROUND)
        look = geometry(samples)
        terms = self.terms(look, self._apart(places, distance), strain)
        return Looked(samples, places, look, distance, which, terms)

    def scores(self, seen: Looked) -> tuple[Terms, Floats]:
        """In how far they are outside, term by term and altogether."""
        scaled = self.limits.scaled(seen.terms)
        hard = self.known.hard(seen.geometry, pictures=self.family == "image")
        total = np.maximum(self.limits.score(scaled), hard)
        return scaled, np.nan_to_num(total, nan=FARTHEST).clip(0, FARTHEST)

    def _apart(self, places: Tensor, distance: Floats) -> Floats:
        """How far the nearest are in the mean; none is called too far before all that are kept were searched.

        One that is hardly another than a training structure is known, however lonely both are.
        """
        apart = distance.mean(1)
        far = np.flatnonzero(apart > self._unit)
        if len(far) and "features" in self.limits.terms:
            found, _ = self.space.nearest(places[far], AROUND, all_of_them=True)
            apart[far] = np.minimum(found.mean(1), ANOTHER * found[:, 0])
        return np.asarray(apart)

    def terms(self, look: Geometry, apart: Floats, strain: Floats | None) -> Terms:
        """How far structures are from the training structures, in several ways."""
        found = self.known.terms(look, pictures=self.family == "image")
        found["features"] = apart
        if strain is not None:
            found["signed"] = strain[:, 0]
            found["stretch"], found["shake"] = np.abs(strain[:, 0]), np.maximum(strain[:, 1], 0.0)
        return found

    def strain(self, batch: Any) -> Floats | None:
        """Stretch (a logarithm) and shake (Å) of each structure, beyond what is usual.  # (structures, 2)"""
        if self.gauge is None:
            return None
        with torch.inference_mode():
            return np.asarray(self._gauge(batch).double().numpy() - self.rest)

    def strains(self, samples: Sequence[Any]) -> Floats | None:
        """The same of samples."""
        if self.gauge is None:
            return None
        parts = [samples[at : at + CHUNK] for at in range(0, len(samples), CHUNK)]
        found = [self.strain(gauge.collated(some)) for some in parts]
        return np.concatenate([each for each in found if each is not None])

    def table(self, of: Lines, seen: Looked) -> Floats:
        """What the difficulty of each line follows from."""
        level = self.levels.of(self.family, seen.samples, of, seen.places.numpy())
        return columns(of, self._around(seen), level, self.std)

    def difficulty(self, of: Lines, table: Floats, score: Floats) -> Floats:
        """Of each line."""
        found = np.empty(len(of.owner))
        for target, each in enumerate(self.difficulties):
            mine = of.target == target
            found[mine] = each.of(table[mine], of.kind[mine])
        return found * beyond(score)[of.owner]

    def _around(self, seen: Looked) -> Around:
        count, targets = len(seen), len(self.mean)
        middle, spread = np.full((count, targets), np.nan), np.zeros((count, targets))
        if self.seen.labels.shape[1]:
            middle, spread = _mean_and_deviation(self.seen.labels[seen.which])
        stretch = np.zeros(count)
        if "stretch" in self.limits.terms:
            told = strangeness(seen.terms["stretch"], self.limits.terms["stretch"])
            stretch = np.minimum(2.0, told)
        look = seen.geometry
        rarest = look.least(self.known.elements[look.numbers].astype(float))
        distance = seen.distance.mean(1) / self._unit
        errors = None if self.seen.errors is None else self.seen.errors[seen.which].mean(1)
        return Around(distance, middle, spread, -np.log1p(rarest), stretch, errors)

    @property
    def _unit(self) -> float:
        """The distance at which the domain ends."""
        return self.limits.end("features") if "features" in self.limits.terms else 1.0

    def _near(self, places: Tensor) -> list[tuple[Near, ...]]:
        unit = self._unit
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


def beyond(score: Floats) -> Floats:
    """How many times harder answers are outside of the domain."""
    return np.clip(score, 1.0, HARDER)


def _mean_and_deviation(labels: Floats) -> tuple[Floats, Floats]:
    """Over neighbours, of those with a label.  # labels: (n, neighbours, targets)"""
    known = np.isfinite(labels)
    count = known.sum(1)
    mean = np.where(known, labels, 0).sum(1) / np.maximum(1, count)
    apart = np.where(known, labels - mean[:, None], 0)
    deviation = np.sqrt((apart**2).sum(1) / np.maximum(1, count))
    return np.where(count > 0, mean, np.nan), deviation


def _split(values: Floats, ends: Integers) -> list[tuple[float, ...]]:
    found, last = values.tolist(), ends.tolist()
    return [tuple(found[start:end]) for start, end in zip([0, *last[:-1]], last, strict=True)]
