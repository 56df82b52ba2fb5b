"""Periodic tables as drawings: a colour and a number for each element."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.figures import svg
from models.figures.axes import number
from models.structures.composition import SYMBOLS

CELL, GAP = 46, 2
LEFT, TOP = 14, 84
COLUMNS = 18
NOBLE = (2, 10, 18, 36, 54, 86, 118)  # where the periods end
STEPS = 6  # colours on either side of the middle

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """From low over the middle to high, and the ink on them."""

    low: Colour
    middle: Colour
    high: Colour
    pale_ink: str  # near the middle
    deep_ink: str  # at the ends


DAY = Palette((33, 87, 166), (244, 245, 247), (178, 44, 34), "#1b2330", "#fff")
NIGHT = Palette((86, 164, 245), (44, 51, 61), (248, 122, 100), "#e6eaf0", "#0c1016")


def position(atomic: int) -> tuple[int, int]:
    """Row and column, both from 0; lanthanides and actinides stand below."""
    if 57 <= atomic <= 71:
        return 8, atomic - 57 + 2
    if 89 <= atomic <= 103:
        return 9, atomic - 89 + 2
    row = next(at for at, noble in enumerate(NOBLE) if atomic <= noble)
    place, left = atomic - (NOBLE[row - 1] if row else 0), NOBLE[row] - atomic
    if place <= (2 if row else 1):
        return row, place - 1
    return row, 17 - left


@dataclass(frozen=True, slots=True)
class Scale:
    """Which colour a value has: `-STEPS` to `STEPS`, or from 0 where there is one side only."""

    low: float
    high: float
    diverging: bool

    @staticmethod
    def of(values: Sequence[float], *, diverging: bool) -> "Scale":
        """Around zero where there are values on both sides; the few most extreme do not stretch it."""
        ordered = sorted(values)
        few = len(ordered) // 40
        low, high = ordered[few], ordered[-1 - few]
        if diverging and low < 0 < high:
            most = max(-low, high)
            low, high = -most, most
        elif not diverging:
            low = min(0.0, low)
        if high - low <= 1e-12 * max(abs(low), abs(high), 1e-80):
            room = abs(high) * 0.1 or 1.0
            low, high = low - room, high + room
        return Scale(low, high, diverging)

    def step(self, value: float) -> int:
        """The number of its colour."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round((2 * share - 1) * STEPS) if self.diverging else round(share * STEPS)

    def steps(self) -> range:
        """All colours."""
        return range(-STEPS if self.diverging else 0, STEPS + 1)

    def value(self, step: int) -> float:
        """In the middle of a colour."""
        share = (step / STEPS + 1) / 2 if self.diverging else step / STEPS
        return self.low + share * (self.high - self.low)


def table(
    title: str,
    told: str,
    cells: Mapping[str, tuple[float, int]],
    *,
    diverging: bool,
    lines: Sequence[str] = (),
    counted: str = "n",
) -> str:
    """A value and a count for each element by its symbol."""
    values = [value for value, _ in cells.values()]
    places = _decimals(values)
    scale = Scale.of(values or [0.0, 1.0], diverging=diverging)
    width = 2 * LEFT + COLUMNS * (CELL + GAP)
    parts = [svg.text(14, 22, title, "head")]
    parts += [svg.text(14, 42 + 18 * at, each, "soft") for at, each in enumerate(lines[:2])]
    for atomic in range(1, len(SYMBOLS)):
        parts.append(_cell(atomic, cells.get(SYMBOLS[atomic]), scale, counted, places))
    parts += _legend(scale, LEFT + 3 * (CELL + GAP), TOP + 4)
    for row, words in ((8, "57–71"), (9, "89–103")):
        y = TOP + row * (CELL + GAP) + (CELL + GAP) / 4
        parts.append(svg.text(LEFT + 2 * (CELL + GAP) - 8, y + 6, words, "small soft end"))
    height = TOP + 10 * (CELL + GAP) + 8
    return svg.drawing((width, height), title, told, parts, _colours(scale))


def _cell(
    atomic: int, known: tuple[float, int] | None, scale: Scale, counted: str, places: int | None
) -> str:
    row, column = position(atomic)
    x = LEFT + column * (CELL + GAP)
    y = TOP + row * (CELL + GAP) - ((CELL + GAP) // 2 if row > 6 else 0)
    symbol = SYMBOLS[atomic]
    if known is None:
        box = svg.element("rect", x=x, y=y, width=CELL, height=CELL, rx=4, class_="none")
        return box + svg.text(x + CELL / 2, y + CELL / 2 + 4, symbol, "mid absent")
    value, count = known
    step = scale.step(value)
    inside = [
        svg.element("title", svg.clean(f"{symbol}: {number(value, 4)} ({counted} = {count:,})")),
        svg.element("rect", x=x, y=y, width=CELL, height=CELL, rx=4, class_=f"k{_name(step)}"),
        svg.text(x + CELL / 2, y + 20, symbol, f"mid sign t{_name(step)}"),
        svg.text(x + CELL / 2, y + 36, _short(value, places), f"mid num t{_name(step)}"),
    ]
    return svg.element("g", "".join(inside))


def _decimals(values: Sequence[float]) -> int | None:
    """The same in all cells; none where some numbers would be too long for theirs."""
    largest = max(map(abs, values), default=0.0)
    if not 0.02 <= largest < 1e5:
        return None
    return max(0, min(3, 2 - math.floor(math.log10(largest))))


def _short(value: float, places: int | None) -> str:
    if places is None:
        return number(value, 2)
    return f"{value:.{places}f}".replace("-", "\N{MINUS SIGN}")


def _legend(scale: Scale, x: float, y: float) -> list[str]:
    wide, steps = 24, scale.steps()
    parts = [
        svg.element("rect", x=x + at * wide, y=y + 18, width=wide, height=14, class_=f"k{_name(step)}")
        for at, step in enumerate(steps)
    ]  # fmt: skip
    ends = [steps[0], 0, steps[-1]] if scale.diverging else [0, STEPS // 2, STEPS]
    for step in ends:
        place = x + (step - steps[0] + 0.5) * wide
        parts.append(svg.text(place, y + 46, number(scale.value(step), 2), "small mid soft"))
    return parts


def _name(step: int) -> str:
    return f"m{-step}" if step < 0 else str(step)


def _colours(scale: Scale) -> str:
    day = "".join(_rules(scale, DAY))
    night = "".join(_rules(scale, NIGHT))
    plain = (
        ".sign{font-weight:600;font-size:14px}.num{font-size:11px}"
        ".none{fill:none;stroke:var(--grid)}.absent{fill:var(--soft);font-size:12px;opacity:.7}"
    )
    return f"{plain}{day}@media(prefers-color-scheme:dark){{{night}}}"


def _rules(scale: Scale, palette: Palette) -> list[str]:
    found = []
    for step in scale.steps():
        colour = _mixed(palette, step / STEPS)
        ink = palette.deep_ink if _contrast(colour, palette) else palette.pale_ink
        found.append(f".k{_name(step)}{{fill:rgb{colour}}}.t{_name(step)}{{fill:{ink}}}")
    return [each.replace(" ", "") for each in found]


def _mixed(palette: Palette, share: float) -> Colour:
    end = palette.high if share > 0 else palette.low
    mixed = [round(a + (b - a) * abs(share)) for a, b in zip(palette.middle, end, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _contrast(colour: Colour, palette: Palette) -> bool:
    """Whether the ink for the ends is the better one on this colour."""
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return light < 150 if palette is DAY else light > 120
