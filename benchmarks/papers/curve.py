"""A learning curve as SVG: both axes logarithmic, one line a column."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 20, 50
COLOURS = ("#1f5fa8", "#b5442e", "#3c7d3c")
GREY = "#666"
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """Values to places."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def marks(self) -> list[float]:
        """1, 2 and 5 times powers of ten."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return [each for each in every if self.low <= each <= self.high * 1.0001]


def curve(lines: Mapping[str, Sequence[Point]], across: str, up: str) -> str:
    """The picture; of each line its points, from the left."""
    points = [point for line in lines.values() for point in line]
    x = Axis(*_around([each for each, _ in points]), LEFT, WIDTH - RIGHT)
    y = Axis(*_around([each for _, each in points]), HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value in x.marks():
        place = x.at(value)
        parts += [_line(place, TOP, place, HEIGHT - BOTTOM), _text(place, HEIGHT - BOTTOM + 16, f"{value:,.0f}")]  # fmt: skip
    for value in y.marks():
        place = y.at(value)
        parts += [_line(LEFT, place, WIDTH - RIGHT, place), _text(LEFT - 8, place + 4, f"{value:g}", "end")]  # fmt: skip
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, across))
    parts.append(f'<g transform="translate(16 {middle}) rotate(-90)">{_text(0, 0, up)}</g>')
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        places = [(x.at(across), y.at(up)) for across, up in line]
        joined = " ".join(f"{a},{b}" for a, b in places)
        parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts += [f'<circle cx="{a}" cy="{b}" r="3.5" fill="{colour}"/>' for a, b in places]
        parts.append(_text(places[-1][0] + 10, places[-1][1] + 4, name, "start", colour))
    return "\n".join([*parts, "</svg>", ""])


def _around(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 1.15, max(values) * 1.15


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = GREY) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
