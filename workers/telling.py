"""One model's answer as predictions of a record; what does not depend on the structure is worked out once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.card import Card, Target
from models.families.kinds import KINDS
from models.properties import limits_of
from models.structures.composition import SYMBOLS
from workers.exchange import Fault, Found

Prediction = dict[str, Any]

HALF = 0.5  # probability from which on it is the last class


@dataclass(frozen=True, slots=True)
class Asked:
    """What the call wants to know beside the values."""

    level: float = 0.9
    sites: bool = False
    neighbours: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One target: what all its predictions have in common."""

    blank: Prediction
    key: str  # of a site's values and contributions
    factor: float | None  # half the interval's width over the difficulty; none: no intervals
    low: float
    high: float

    def interval(self, value: float, difficulty: float) -> list[float] | None:
        """Around the value, cut where the property ends; none where nothing is left of it."""
        half = self._half(difficulty)
        if half is None or self._beyond(value, half):
            return None
        return [max(value - half, self.low), min(value + half, self.high)]

    def beyond(self, values: Sequence[float], difficulties: Sequence[float]) -> int:
        """How many of the intervals lie wholly where the property cannot be."""
        if not values or (min(values) >= self.low and max(values) <= self.high):
            return 0
        halves = map(self._half, difficulties)
        pairs = zip(values, halves, strict=True)
        return sum(half is not None and self._beyond(value, half) for value, half in pairs)

    def _half(self, difficulty: float) -> float | None:
        half = math.inf if self.factor is None else self.factor * difficulty
        return half if math.isfinite(half) else None  # infinite: of a card from elsewhere

    def _beyond(self, value: float, half: float) -> bool:
        return value + half <= self.low != value or value - half >= self.high != value


@dataclass(frozen=True, slots=True)
class Teller:
    """How the answers of one model are told in this call."""

    card: Card
    asked: Asked
    answers: str
    columns: tuple[Column, ...]
    seen: frozenset[int] | None  # elements, where only these are known of what it learned from
    notes: tuple[str, ...]  # for every record that it answers

    def tell(self, found: Found, numbers: bytes) -> list[Prediction]:
        """One prediction a target."""
        head = self._domain(found, numbers)
        if found.features is not None:
            head["features"] = found.features
        told = SHAPES[self.answers](self, found, numbers)
        predictions = [
            column.blank | own | head for column, own in zip(self.columns, told, strict=True)
        ]
        if self.asked.neighbours and found.nearest is not None:
            for place, prediction in enumerate(predictions):
                prediction["neighbours"] = _neighbours(found, place)
        return predictions

    def beyond(self, found: Found) -> list[str]:
        """A sentence for each target with intervals that lie wholly where the property cannot be."""
        said, notes = found.said, []
        each = len(said.difficulty) // len(self.columns)
        for place, column in enumerate(self.columns):
            mine = slice(place * each, (place + 1) * each)
            count = column.beyond(said.values[mine], said.difficulty[mine])
            if count:
                notes.append(self._nowhere(column, count))
        return notes

    def _nowhere(self, column: Column, count: int) -> str:
        name, level = column.blank["property"], column.blank["level"]
        whose = "" if self.answers == "crystal" else f" for {counted(count, self.answers[:-1])}"
        return (
            f"{self.card.id} has no interval of {name}{whose} at level {level:g}: the answer and the whole "
            "interval around it lie beyond what the property can be."
        )

    def refuse(self, fault: Fault) -> list[Prediction]:
        """The same without an answer."""
        return [column.blank | {"reasons": [], "error": fault} for column in self.columns]

    def _domain(self, found: Found, numbers: bytes) -> Prediction:
        said = found.said
        if said.score is not None:
            inside = said.score <= 1 and not said.reasons
            score = _short(said.score)
            return {"in_domain": inside, "domain_score": score, "reasons": list(said.reasons)}
        strange = [] if self.seen is None else _strange(self.seen, numbers)
        return {"in_domain": False, "reasons": strange} if strange else {"reasons": []}


def teller(card: Card, asked: Asked) -> Teller:
    """Prepared for all structures of a call."""
    columns, notes = [], []
    for place, target in enumerate(card.targets):
        intervals = None if card.intervals is None else card.intervals[place]
        factor = None if intervals is None else intervals.factor(asked.level)
        if card.intervals is not None and intervals is None:
            notes.append(
                f"{card.id} has no intervals of {target.property}: too few of the rows that calibrate have its label."
            )
        elif intervals is not None and factor is None:
            notes.append(
                f"{card.id} has no interval of {target.property} at level {asked.level:g}: what it was "
                f"calibrated on tells of levels up to {_floor(intervals.highest):g}."
            )
        columns.append(_column(card, target, asked.level, factor))
    seen = None if card.elements_seen is None else frozenset(card.elements_seen)
    answers = KINDS[card.family].answers
    return Teller(card, asked, answers, tuple(columns), seen, tuple(notes))


def _column(card: Card, target: Target, level: float, factor: float | None) -> Column:
    blank: Prediction = {
        "model": card.id,
        "property": target.property,
        "value": None,
        "unit": target.unit,
        "interval": None,
        "level": level,
        "std": None,
        "in_domain": None,
        "domain_score": None,
    }
    low, high = limits_of(target.property, target.unit)
    if card.classes is not None:
        blank["of_class"] = card.classes[-1]
    return Column(blank, f"{card.id}/{target.property}", factor, low, high)


def _crystal(teller: Teller, found: Found, _: bytes) -> list[Prediction]:
    said, told = found.said, []
    for place, column in enumerate(teller.columns):
        value = said.values[place]
        own: Prediction = {"value": value}
        if said.std:
            own["std"] = _short(said.std[place])
        if teller.card.classes is not None:
            own["label"] = label_of(teller.card.classes, value)
        if said.difficulty:
            own["interval"] = column.interval(value, said.difficulty[place])
        told.append(own)
    return told


def _sites(teller: Teller, found: Found, numbers: bytes) -> list[Prediction]:
    """Target by target, a number a site."""
    said, size, told = found.said, len(numbers), []
    for place, column in enumerate(teller.columns):
        mine = slice(place * size, (place + 1) * size)
        values = said.values[mine]
        own: Prediction = {"values": values}
        if said.difficulty and column.factor is not None:
            pairs = zip(values, said.difficulty[mine], strict=True)
            own["intervals"] = [column.interval(value, one) for value, one in pairs]
        if said.std:
            own["stds"] = list(map(_short, said.std[mine]))
        told.append(own)
    return told


def _bonds(teller: Teller, found: Found, numbers: bytes) -> list[Prediction]:
    """The distances, as many sites they lead to, and the adsorbate's site."""
    said, (column,) = found.said, teller.columns
    *both, adsorbate = said.values
    count = len(both) // 2
    bonds = []
    for rank, (distance, site) in enumerate(zip(both[:count], both[count:], strict=True)):
        bond: Prediction = {
            "rank": rank + 1,
            "site": int(site),
            "element": SYMBOLS[numbers[int(site)]],
            "distance": distance,
            "interval": None,
            "std": _short(said.std[rank]) if said.std else None,
        }
        if said.difficulty:
            bond["interval"] = column.interval(distance, said.difficulty[rank])
        bonds.append(bond)
    return [{"adsorbate": int(adsorbate), "bonds": bonds}]


SHAPES: dict[str, Callable[[Teller, Found, bytes], list[Prediction]]] = {
    "crystal": _crystal,
    "sites": _sites,
    "bonds": _bonds,
}


def _neighbours(found: Found, place: int) -> list[Prediction]:
    return [
        {
            "name": near.name,
            "formula": near.formula,
            "distance": _short(near.distance),
            "value": _label(near.labels, place),
        }
        for near in found.nearest or ()
    ]


def _label(labels: Sequence[float | None], place: int) -> float | None:
    known = labels[place] if place < len(labels) else None
    return None if known is None else _short(known, 7)


def _strange(seen: frozenset[int], numbers: bytes) -> list[str]:
    """A sentence for each element that it never saw."""
    return [
        f"{counted(numbers.count(number), 'site')} of {SYMBOLS[number]}, which none of the training structures holds."
        for number in sorted(set(numbers) - seen)
    ]


def label_of(classes: Sequence[str], probability: float) -> str:
    """The more probable class."""
    return classes[probability >= HALF]


def counted(count: int, noun: str) -> str:
    """`1 site`, `2 sites`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _short(number: float, digits: int = 6) -> float:
    """Without digits that single precision does not have."""
    return float(f"{number:.{digits}g}")


def _floor(level: float) -> float:
    return math.floor(level * 1e4) / 1e4
