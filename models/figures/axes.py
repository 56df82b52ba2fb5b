"""From values to places on paper: round ticks, and numbers as short as they can be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.figures import svg

STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Axis:
    """Values `low` to `high` on a line from `first` to `last`."""

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Where a value lies; beyond the ends, at the ends."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.first + (value - low) / (high - low) * (self.last - self.first)

    def holds(self, value: float) -> bool:
        """Whether it lies between the ends."""
        return self.low <= value <= self.high

    def ticks(self) -> list[float]:
        """Round values within."""
        if self.logarithmic and self.high > 8 * self.low:
            return decades(self.low, self.high)
        return round_ticks(self.low, self.high)


def round_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((each * power for each in STEPS if each * power >= rough), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + 2 * most) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten; with their doubles and fivefolds where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, (last - first) // 6)
    found = [10.0**power for power in range(first, last + 1, step)]
    if last - first <= 2:
        found = [each * times for each in found for times in (1, 2, 5)]
    return [each for each in found if low * (1 - 1e-9) <= each <= high * (1 + 1e-9)]


def span(*columns: Sequence[float], zero: bool = False) -> tuple[float, float]:
    """The least and the largest value with a little room; never of no extent."""
    values = [value for column in columns for value in column] or [0.0, 1.0]
    low, high = min(values), max(values)
    low = min(low, 0.0) if zero else low
    room = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    room = max(room, 1e-9 * max(abs(low), abs(high)))
    return (low if zero and low == 0 else low - room), high + room


def robust(values: Sequence[float], share: float = 0.004) -> tuple[float, float]:
    """Between which all but a few lie."""
    ordered = sorted(values)
    few = int(share * len(ordered))
    return ordered[few], ordered[-1 - few]


def number(value: float, digits: int = 3) -> str:
    """A number for people, with a true minus sign."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        written = f"{value:.{digits}g}"
        if "e" in written:
            written = f"{value:.0f}"
    else:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        written = f"{mantissa}e{int(power)}"
    return written.replace("-", "\N{MINUS SIGN}")


def tick(value: float, values: Sequence[float]) -> str:
    """A tick's label, with as many decimals as tell the ticks apart."""
    largest = max(map(abs, values), default=0.0)
    step = min((abs(b - a) for a, b in pairwise(values)), default=0.0)
    if abs(value) < 1e-9 * largest:
        return "0"
    if not step or not 1e-4 <= largest < 1e6:
        return number(value)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step * 10**decimals, 6) % 1:
        decimals += 1  # steps of 2.5
    return f"{value:.{min(decimals, 8)}f}".replace("-", "\N{MINUS SIGN}")


def frame(x: Axis, y: Axis, across: str, up: str) -> list[str]:
    """Grid, ticks and the axes' names; what is drawn later lies on it."""
    parts = []
    at_x, at_y = x.ticks(), y.ticks()
    for value in at_x:
        place = x.at(value)
        parts.append(svg.line(place, y.first, place, y.last, "grid"))
        label = number(value) if x.logarithmic else tick(value, at_x)
        parts.append(svg.text(place, y.first + 16, label, "mid soft"))
    for value in at_y:
        place = y.at(value)
        parts.append(svg.line(x.first, place, x.last, place, "grid"))
        label = number(value) if y.logarithmic else tick(value, at_y)
        parts.append(svg.text(x.first - 6, place + 4, label, "end soft"))
    width, height = x.last - x.first, y.first - y.last
    parts.append(
        svg.element("rect", x=x.first, y=y.last, width=width, height=height, class_="frame")
    )
    parts.append(svg.text((x.first + x.last) / 2, y.first + 36, across, "mid"))
    parts.append(svg.text(x.first - 48, (y.first + y.last) / 2, up, "mid", turn=-90))
    return parts
