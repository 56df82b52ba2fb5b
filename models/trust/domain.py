"""Whether a structure is like those that the model has learned from, and in plain words why not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.structures.composition import SYMBOLS
from models.trust.geometry import KINDS, Geometry, kept, radii
from models.trust.ranks import strangeness, told

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FEW = 5  # structures; an element that fewer hold is hardly known
KNOWN_PAIR = 3  # structures that tell what distance a pair of elements has
MEMORY = 512  # seen distances that are kept
POWER = 4  # of the sum of the terms: nearly their largest
ORDINARY = 0.97  # of the validation rows lie within, whatever the number of terms
UNSEEN, RARELY = 2.0, 1.05
OTHERWISE = 0.05  # of a logarithm: what distances of one element alone may differ by
# Where the domain ends at the earliest: computed and measured crystals differ by as much; and few rows tell less.
LEAST = {"apart": 0.02, "uneven": 0.01, "stretch": 0.01, "shake": 0.02, "between": 0.001}
SIGNS = {
    "apart": "how far nearest neighbours are",
    "uneven": "how unevenly far neighbours are",
    "stretch": "how stretched or squeezed it seems",
    "shake": "how far its sites seem to be off their places",
    "features": "how far the network sees it from all others",
    "between": "the shortest distance",
}

Terms = dict[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What the training structures have; pairs by atomic numbers, the smaller first."""

    rows: int
    elements: Integers  # (KINDS,) structures that hold each
    sites: Integers  # (2,)
    low: Floats  # (KINDS, KINDS) Å, shortest distance of nearest neighbours; 0 where hardly any were seen
    high: Floats  # (KINDS, KINDS) Å
    ratio: Floats  # (2,) of distance and sum of radii, where a pair is hardly known
    shortest: Floats  # (MEMORY,) Å, of the structures' shortest distances; between any two there are none or hardly apart
    kinds: Integers  # (2,) different elements
    # (KINDS, 2) Å, least and largest of the nearest distances in crystals of one element; 0 where there are none
    alone: Floats
    tall: bool  # some pictures do not show all

    @classmethod
    def learned(cls, seen: Geometry, numbers: Sequence[NDArray[Any]]) -> "Known":
        """Elements and sizes from those of all training structures, distances from as many as were looked at."""
        sizes = np.array([len(each) for each in numbers])
        place = np.repeat(np.arange(len(sizes)) * KINDS, sizes) + np.concatenate(numbers)
        owner = seen.owner
        near = np.isfinite(seen.nearest)
        first, second = (each[near] for each in seen.pairs())
        distance = seen.nearest[near]
        low, high = np.full((KINDS, KINDS), np.inf), np.zeros((KINDS, KINDS))
        np.minimum.at(low, (first, second), distance)
        np.maximum.at(high, (first, second), distance)
        held = np.unique((owner[near] * KINDS + first) * KINDS + second) % KINDS**2
        few = np.bincount(held, minlength=KINDS**2).reshape(KINDS, KINDS) < KNOWN_PAIR
        low, high = (kept(np.where(few, 0.0, each)) for each in (low, high))
        size = radii()
        ratio = distance / (size[first] + size[second])
        return cls(
            len(sizes),
            np.bincount(np.unique(place) % KINDS, minlength=KINDS),
            _ends(sizes),
            low,
            high,
            np.quantile(ratio, [0.005, 0.995]) if len(ratio) else np.ones(2),
            _thinned(_shortest(seen)),
            _ends(np.array([len(np.unique(each)) for each in numbers])),
            _alone(seen),
            bool(seen.tall.any()),
        )

    @property
    def few(self) -> int:
        """An element that fewer structures hold is hardly known; of few structures none can be rare."""
        return int(min(FEW, max(1, self.rows // 100)))

    def range(self, first: Integers, second: Integers) -> tuple[Floats, Floats]:
        """Between what the nearest distance of such pairs is expected."""
        size = radii()
        total, high = size[first] + size[second], self.high[first, second]
        return (
            np.where(high > 0, self.low[first, second], self.ratio[0] * total),
            np.where(high > 0, high, self.ratio[1] * total),
        )

    def terms(self, seen: Geometry, *, pictures: bool) -> Terms:
        """How far each structure is from these, in several ways; not yet on one scale."""
        if pictures:
            at = _shortest(seen)
            right = np.clip(np.searchsorted(self.shortest, at), 1, MEMORY - 1)
            gap = np.minimum(
                np.abs(at - self.shortest[right - 1]), np.abs(at - self.shortest[right])
            )
            # Of an atom alone no distance is strange.
            return {"between": np.where(at > 0, gap, 0.0)}
        return {"apart": seen.most(self.beyond(seen)), "uneven": seen.uneven}

    def beyond(self, seen: Geometry) -> Floats:
        """By how much each nearest distance lies beyond the expected, as a logarithm."""
        low, high = self.range(*seen.pairs())
        found = np.maximum(np.log(low / seen.nearest), np.log(seen.nearest / high))
        return np.where(np.isfinite(found), np.maximum(found, 0.0), 0.0)

    def hard(self, seen: Geometry, *, pictures: bool) -> Floats:
        """What is outside whatever the rest says; 0 where nothing is."""
        count = self.elements[seen.numbers]
        few = np.where(count < self.few, RARELY + 0.1 * (self.few - count) / self.few, 0.0)
        found = [
            seen.most(np.where(count == 0, UNSEEN, few)),
            _outside(self.sizes(seen, pictures=pictures), self.sites),
            _outside(seen.kinds, self.kinds),
        ]
        if pictures:
            found.append(np.where(seen.tall & (not self.tall), UNSEEN, 0.0))
        else:
            other = self.otherwise(seen)
            found.append(np.where(other > OTHERWISE, np.minimum(other / OTHERWISE, UNSEEN), 0.0))
        return np.asarray(np.maximum.reduce(found))

    def sizes(self, seen: Geometry, *, pictures: bool) -> Integers:
        """Sites of each structure. Crystals may be told by another cell: as one that is known, else by the smallest."""
        sizes, (least, most) = np.diff(seen.first), self.sites.tolist()
        if not pictures:
            for at in np.flatnonzero((sizes < least) | (sizes > most)).tolist():
                smallest = seen.unlike(at)
                several = most // smallest * smallest
                sizes[at] = several if several >= least else smallest
        return sizes

    def otherwise(self, seen: Geometry) -> Floats:
        """By how much crystals of one element alone differ from those known, as a logarithm; 0 of others."""
        low, high = self.alone[seen.numbers[seen.first[:-1]]].T
        nearest = seen.least(seen.nearest)
        with np.errstate(divide="ignore"):
            found = np.maximum(np.log(low / nearest), np.log(nearest / high))
        return np.where((seen.kinds == 1) & (high > 0), np.maximum(found, 0.0), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """What brings the terms to one scale, on which the domain ends at 1."""

    terms: dict[str, Floats]  # distributions, as `ranks.told` has them
    whole: float = 1.0  # what most rows' scores lie below

    @classmethod
    def learned(cls, ordinary: Terms, rows: Terms) -> "Limits":
        """From the terms of structures that are ordinary; `rows` of them tell how the terms add up."""
        found = cls(
            {name: told(values, LEAST.get(name, 1e-6)) for name, values in ordinary.items()}
        )
        total = found.score(found.scaled(rows))
        return cls(found.terms, max(1.0, float(np.quantile(total, ORDINARY))))

    def scaled(self, terms: Terms) -> Terms:
        """Each on its scale."""
        return {
            name: strangeness(values, self.terms[name]) / self.whole
            for name, values in terms.items()
            if name in self.terms
        }

    def score(self, scaled: Terms) -> Floats:
        """All of them as one."""
        total = np.sum([values**POWER for values in scaled.values()], axis=0)
        return np.asarray(total ** (1 / POWER))

    def end(self, name: str) -> float:
        """The value of a term at which the domain ends."""
        return float(self.terms[name][-1]) * self.whole


@dataclass(frozen=True, eq=False)
class Words:
    """Sentences for one structure of many; as lists, for of each only a few numbers are looked at."""

    known: Known
    limits: Limits
    seen: Geometry
    terms: Terms
    scaled: Terms
    kind: str  # what the structures are called: crystals, slabs, images

    @cached_property
    def _scaled(self) -> dict[str, list[float]]:
        return {name: values.tolist() for name, values in self.scaled.items()}

    @cached_property
    def _numbers(self) -> list[int]:
        return list(self.seen.numbers.tolist())

    @cached_property
    def _first(self) -> list[int]:
        return list(self.seen.first.tolist())

    @cached_property
    def _held(self) -> list[int]:
        return list(self.known.elements.tolist())

    @cached_property
    def _expected(self) -> tuple[list[float], Floats, Floats]:
        """By how much each site is beyond what is expected, and between what that is."""
        return self.known.beyond(self.seen).tolist(), *self.known.range(*self.seen.pairs())

    def _ends(self, at: int) -> tuple[int, int]:
        return self._first[at], self._first[at + 1]

    def of(self, at: int) -> tuple[str, ...]:
        """Why this one is outside."""
        found = [*self._elements(at), *self._sites(at), *self._kinds(at)]
        scaled = {name: values[at] for name, values in self._scaled.items()}
        order = sorted(scaled, key=lambda name: -scaled[name])
        found += [getattr(self, f"_{name}")(at) for name in order if scaled[name] > 1]
        if found:
            return tuple(found)
        most = " and ".join(SIGNS[name] for name in order[:2])
        return (
            f"No sign alone is beyond what is usual, but together they are, most of all {most}.",
        )

    def _elements(self, at: int) -> Iterator[str]:
        few, whole = self.known.few, f"{self.known.rows:,} training {self.kind}"
        for number, here in sorted(Counter(self._numbers[slice(*self._ends(at))]).items()):
            if (held := self._held[number]) >= few:
                continue
            sites = f"{here} site{'s' if here > 1 else ''} of {SYMBOLS[number]}, which"
            if held == 0:
                yield f"{sites} none of the {whole} holds."
            else:
                verb = "hold" if held > 1 else "holds"
                yield f"{sites} only {held} of {whole} {verb}."

    def _sites(self, at: int) -> Iterator[str]:
        one = self.seen.only(at)
        size = int(self.known.sizes(one, pictures=self.kind == "images")[0])
        least, most = self.known.sites.tolist()
        if not least <= size <= most:
            sites = _many(len(one.numbers), "site")
            yield f"It has {sites}; the training {self.kind} have {_between(least, most)}."

    def _kinds(self, at: int) -> Iterator[str]:
        one = self.seen.only(at)
        kinds, (least, most) = int(one.kinds[0]), self.known.kinds.tolist()
        if not least <= kinds <= most:
            hold = f"the training {self.kind} hold {_between(least, most)}"
            yield f"It holds {_many(kinds, 'element')}; {hold}."
        elif self.kind == "images":
            if one.tall[0] and not self.known.tall:
                yield "It is not flat, as all training images are: its heights are not seen."
        elif self.known.otherwise(one)[0] > OTHERWISE:
            yield self._alone(int(one.numbers[0]), float(one.nearest.min()))

    def _alone(self, number: int, nearest: float) -> str:
        low, high = self.known.alone[number].tolist()
        those = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
        return (
            f"Its nearest neighbours are {nearest:.2f} Å apart; in the training {self.kind} of {SYMBOLS[number]} alone "
            f"they are {those} Å apart."
        )

    def _apart(self, at: int) -> str:
        first, last = self._ends(at)
        beyond, low, high = self._expected
        place = max(range(first, last), key=beyond.__getitem__)
        mine, other = self._numbers[place], int(self.seen.partner[place])
        told = f"Site {place - first} ({SYMBOLS[mine]}) is {self.seen.nearest[place]:.2f} Å from its nearest neighbour, {SYMBOLS[other]}; "
        between = f"{low[place]:.2f} to {high[place]:.2f} Å"
        if self.known.high[min(mine, other), max(mine, other)] > 0:
            return f"{told}in the training {self.kind} such neighbours are {between} apart."
        return f"{told}{between} are expected from their radii, for such a pair is hardly known."

    def _uneven(self, at: int) -> str:
        seem, usual = _unlike(self.terms["uneven"][at], self.limits.end("uneven"), ".3f")
        return (
            f"Neighbours of one element are unevenly far, by {seem} Å in the mean; "
            f"in the training {self.kind}, most of which are symmetric, at most {usual} Å are usual."
        )

    def _stretch(self, at: int) -> str:
        value = self.terms["signed"][at]
        way = "long" if value > 0 else "short"
        seem, usual = _unlike(abs(value), self.limits.end("stretch"), ".1%")
        return (
            f"Its distances seem {seem} too {way} for its atoms and their surroundings; "
            f"of {self.kind} like those learned from, up to {usual} are usual."
        )

    def _shake(self, at: int) -> str:
        seem, usual = _unlike(self.terms["shake"][at], self.limits.end("shake"), ".2f")
        return (
            f"Its sites seem to be {seem} Å off the places they would relax to; "
            f"of {self.kind} like those learned from, up to {usual} Å are usual."
        )

    def _features(self, at: int) -> str:
        times, _ = _unlike(self.scaled["features"][at], 1.0, ".1f")
        return (
            f"To the network it is unlike all training {self.kind}: its vector lies {times} times as far from "
            "theirs as is usual."
        )

    def _between(self, at: int) -> str:
        value = _shortest(self.seen.only(at))[0]
        low, high = self.known.shortest[[0, -1]]
        seen = f"in the training images it is {low:.2f} to {high:.2f} Å"
        if low <= value <= high:
            seen += ", but none has about this one"
        return f"The shortest distance of two atoms is {value:.2f} Å; {seen}."


def _unlike(value: float, other: float, form: str) -> tuple[str, str]:
    """Both in words, with as many more digits as it takes to tell them apart, but at most three."""
    kind, digits = form[-1], int(form[1:-1])
    pairs = [
        (f"{value:.{more}{kind}}", f"{other:.{more}{kind}}") for more in range(digits, digits + 4)
    ]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"


def _between(least: int, most: int) -> str:
    return f"{least} to {most}" if least < most else str(least)


def _ends(values: Integers) -> Integers:
    return np.array([values.min(), values.max()])


def _outside(values: Integers, ends: Integers) -> Floats:
    """0 within, from 1 on by how many times beyond."""
    least, most = ends.tolist()
    beyond = np.maximum(values / most, least / values)
    return np.where(beyond > 1, 1 + np.log2(beyond), 0.0)


def _alone(seen: Geometry) -> Floats:
    """Least and largest of the nearest distances in crystals of each element alone.  # (KINDS, 2)"""
    one = seen.kinds == 1
    element, nearest = seen.numbers[seen.first[:-1]][one], seen.least(seen.nearest)[one]
    low, high = np.full(KINDS, np.inf), np.zeros(KINDS)
    np.minimum.at(low, element, nearest)
    np.maximum.at(high, element, nearest)
    return np.stack([np.where(high > 0, low, 0.0), high], 1)


def _thinned(values: Floats) -> Floats:
    """The first and the last in each of as many cells of one size; the next one where a cell is empty.  # (MEMORY,)"""
    ordered, ends = np.sort(values), np.linspace(values.min(), values.max(), MEMORY // 2 + 1)
    first = np.minimum(np.searchsorted(ordered, ends[:-1], "left"), len(ordered) - 1)
    last = np.maximum(np.searchsorted(ordered, ends[1:], "right") - 1, 0)
    return np.sort(ordered[np.concatenate([first, np.maximum(first, last)])])


def _shortest(seen: Geometry) -> Floats:
    """Of each structure, Å; 0 for an atom alone."""
    found = seen.least(seen.nearest)
    return np.where(np.isfinite(found), found, 0.0)
