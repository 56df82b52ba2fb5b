"""Plots of answers: parity, calibration, error against width, ranks, the course of a training, classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from models.figures import svg
from models.figures.axes import Axis, frame, number, robust, span
from models.figures.told import Calibration, Classified, Parity, TargetFigures, WidthBin

LEFT, RIGHT, TOP, BOTTOM = 70, 18, 74, 50
SIDE = 340  # of a square plot
WIDE, HIGH = 460, 260  # of one that is none
SMALL = 200  # of a rank's


@dataclass(frozen=True, slots=True)
class Shown:
    """What a drawing is about."""

    what: str  # the property
    unit: str
    part: str
    model: str
    lines: str = ""  # what is judged, where a row has several

    @property
    def measure(self) -> str:
        """The unit behind a quantity's name; a number of none has none."""
        return "" if self.unit == "1" else f" ({self.unit})"

    @property
    def rows(self) -> str:
        """By which it was judged."""
        rows = {"test": "test rows", "val": "validation rows", "train": "training rows"}[self.part]
        return f"{self.lines} of the {rows}" if self.lines else rows


def parity(shown: Shown, figures: TargetFigures) -> str:
    """Predicted against true; answers that lie outside of their interval stand out."""
    assert figures.parity is not None
    points = figures.parity
    low, high = _range(points)
    x = Axis(low, high, LEFT, LEFT + SIDE)
    y = Axis(low, high, TOP + SIDE, TOP)
    outside = _outside(points)
    beyond = _beyond(x, points)
    count = (
        f"{len(points.true):,} of {figures.n:,}"
        if len(points.true) < figures.n
        else f"{figures.n:,}"
    )
    told = [f"{count} {shown.rows}"]
    if figures.mae is not None:
        told[0] += f"; mean absolute error {number(figures.mae)} {_plain(shown.unit)}".rstrip()
    if points.half_width is not None and points.level is not None:
        share = sum(outside) / max(1, len(outside))
        told.append(f"red: outside of its {points.level:.0%} interval ({share:.0%})")
    if beyond:
        told.append(f"{beyond} beyond the frame")
    parts = [
        *_heads(LEFT + SIDE + RIGHT, shown.what, told[0], "; ".join(told[1:])),
        *frame(x, y, f"true{shown.measure}", f"predicted{shown.measure}"),
        svg.line(x.at(low), y.at(low), x.at(high), y.at(high), "even"),
        *_points(x, y, points, outside),
    ]
    return svg.drawing(
        (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM),
        f"{shown.model}: predicted against true {shown.what}",
        f"True value across, predicted value up: {'; '.join(told)}.",
        parts,
    )  # fmt: skip


def ranks(shown: Shown, figures: TargetFigures) -> str:
    """A parity plot for each rank of the bonds."""
    assert figures.parity is not None
    assert figures.parity.rank is not None
    points = figures.parity
    low, high = _range(points)
    outside, rank_of = _outside(points), points.rank or ()
    each = figures.ranks[:8]
    pitch_x, pitch_y = SMALL + LEFT + RIGHT, SMALL + 90
    parts = []
    for at, one in enumerate(each):
        left, top = (at % 2) * pitch_x + LEFT, (at // 2) * pitch_y + 34
        x, y = Axis(low, high, left, left + SMALL), Axis(low, high, top + SMALL, top)
        some = [place for place, rank in enumerate(rank_of) if rank == one.rank]
        parts += [
            svg.text(left, top - 12, f"bond {one.rank}: {number(one.mae)} {_plain(shown.unit)}, n = {one.n:,}"),
            *frame(x, y, f"true{shown.measure}", f"predicted{shown.measure}"),
            svg.line(x.at(low), y.at(low), x.at(high), y.at(high), "even"),
            *_points(x, y, points, outside, some),
        ]  # fmt: skip
    told = ", ".join(f"bond {one.rank} {number(one.mae)}" for one in each)
    return svg.drawing(
        ((1 if len(each) == 1 else 2) * pitch_x, -(-len(each) // 2) * pitch_y),
        f"{shown.model}: predicted against true bonds, by rank",
        f"A plot for each bond, the shortest first; mean absolute errors: {told} {_plain(shown.unit)}.",
        parts,
    )  # fmt: skip


def calibration(shown: Shown, found: Calibration, counted: tuple[int, int] | None = None) -> str:
    """Measured coverage against the level that was wanted, with the room that chance leaves.

    `counted`: of how many structures the rows that judge are, and those by which the intervals were made.
    """
    x, y = Axis(0, 1, LEFT, LEFT + SIDE), Axis(0, 1, TOP + SIDE, TOP)
    at_90 = next((told for level, told in zip(found.levels, found.coverage, strict=True) if abs(level - 0.9) < 1e-6), None)  # fmt: skip
    told = (
        f"intervals of 90 % hold {at_90:.1%} of {found.n:,}"
        if at_90 is not None
        else f"n = {found.n:,}"
    )
    edge = [place / 40 for place in range(41)]
    parts_of_one = sum(1 / max(1, each) for each in counted or (found.n,))
    room = [2 * sqrt(each * (1 - each) * parts_of_one) for each in edge]
    upper = [(x.at(each), y.at(each + more)) for each, more in zip(edge, room, strict=True)]
    lower = [(x.at(each), y.at(each - more)) for each, more in zip(edge, room, strict=True)]
    places = [(x.at(a), y.at(b)) for a, b in zip(found.levels, found.coverage, strict=True)]
    parts = [
        *_heads(
            LEFT + SIDE + RIGHT,
            "Do the intervals keep their word?",
            shown.what,
            f"{shown.rows}: {told}",
        ),
        *frame(x, y, "level that was asked for", "share of true values within"),
        svg.path([*upper, *lower[::-1]], "band", closed=True),
        svg.line(x.at(0), y.at(0), x.at(1), y.at(1), "even"),
        svg.path(places, "line"),
        *(svg.element("circle", cx=a, cy=b, r=3.5, class_="dot") for a, b in places),
        svg.text(x.last - 8, y.first - 10, "band: what chance alone would do", "small soft end"),
    ]
    return svg.drawing(
        (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM),
        f"{shown.model}: calibration of {shown.what}",
        f"Share of the {shown.rows} within their interval against the interval's level: "
        + ", ".join(f"{b:.0%} at {a:.0%}" for a, b in zip(found.levels, found.coverage, strict=True)) + ".",
        parts,
    )  # fmt: skip


def widths(shown: Shown, bins: Sequence[WidthBin], level: float | None) -> str:
    """Error against the interval's half width, in bins of as many lines each."""
    across, up = [one.half_width for one in bins], [max(one.mae, one.within) for one in bins]
    x = Axis(*span(across, zero=True), LEFT, LEFT + SIDE)
    y = Axis(*span([*up, *across], zero=True), TOP + SIDE, TOP)
    at = "" if level is None else f" of {level:.0%}"
    most = min(x.high, y.high)
    low = max(x.low, y.low)
    parts = [
        *_heads(LEFT + SIDE + RIGHT, "Are errors smaller where intervals are narrower?",
                f"{shown.what}, {shown.rows}, in bins of as many each",
                f"blue: mean; green: {level or 0.9:.0%} are below; dashed: half the width"),
        *frame(x, y, f"half the width of the interval{at}{shown.measure}", f"absolute error{shown.measure}"),
        svg.line(x.at(low), y.at(low), x.at(most), y.at(most), "even"),
        svg.path([(x.at(one.half_width), y.at(one.mae)) for one in bins], "line"),
        *(svg.element("circle", cx=x.at(one.half_width), cy=y.at(one.mae), r=4.0, class_="dot") for one in bins),
        *(svg.element("circle", cx=x.at(one.half_width), cy=y.at(one.within), r=4.0, class_="dot3") for one in bins),
    ]  # fmt: skip
    return svg.drawing(
        (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM),
        f"{shown.model}: error against width of the interval, {shown.what}",
        f"Mean absolute error of bins by half width{at}: "
        + ", ".join(f"{number(one.mae)} at {number(one.half_width)}" for one in bins) + ".",
        parts,
    )  # fmt: skip


def roc(shown: Shown, found: Classified, classes: Sequence[str]) -> str:
    """True against false positives of a classifier, at every threshold."""
    x, y = Axis(0, 1, LEFT, LEFT + SIDE), Axis(0, 1, TOP + SIDE, TOP)
    area = "" if found.auc is None else f"area under the curve {found.auc:.3f}"
    places = [
        (x.at(a), y.at(b)) for a, b in zip(found.false_positive, found.true_positive, strict=True)
    ]
    last = classes[-1] if classes else "the class"
    parts = [
        *_heads(LEFT + SIDE + RIGHT, shown.what, f"{last[:24]} told from the others, {shown.rows}", area),
        *frame(x, y, f"share of the others called {last[:24]}", f"share of {last[:24]} found"),
        svg.line(x.at(0), y.at(0), x.at(1), y.at(1), "even"),
        svg.path([*places, (x.last, y.first)], "band", closed=True) if places else "",
        svg.path(places, "line"),
    ]  # fmt: skip
    return svg.drawing(
        (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM),
        f"{shown.model}: receiver operating characteristic",
        f"True positives against false positives of the {shown.rows}; {area}.",
        parts,
    )  # fmt: skip


def reliability(shown: Shown, found: Classified, classes: Sequence[str]) -> str:
    """How many are of the class, against the probability that was told."""
    x, y = Axis(0, 1, LEFT, LEFT + SIDE), Axis(0, 1, TOP + SIDE, TOP)
    last = classes[-1] if classes else "the class"
    total = sum(one.n for one in found.bins)
    most = max((one.n for one in found.bins), default=1) or 1
    parts = [
        *_heads(LEFT + SIDE + RIGHT, "Are the probabilities right?", shown.what,
                f"{total:,} {shown.rows}; bars: how many answers"),
        *frame(x, y, f"probability of {last[:24]} that was told", f"share that is {last[:24]}"),
        *(svg.element("rect", x=x.at(one.probability) - 8, y=y.first - 70 * one.n / most,
                      width=16, height=70 * one.n / most, class_="band") for one in found.bins),
        svg.line(x.at(0), y.at(0), x.at(1), y.at(1), "even"),
        svg.path([(x.at(one.probability), y.at(one.share)) for one in found.bins], "line"),
        *(svg.element("circle", cx=x.at(one.probability), cy=y.at(one.share), r=4.0, class_="dot") for one in found.bins),
    ]  # fmt: skip
    return svg.drawing(
        (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM),
        f"{shown.model}: reliability of its probabilities",
        f"Share of {last} among the {shown.rows} against the probability that was told: "
        + ", ".join(f"{one.share:.0%} at {one.probability:.0%} (n = {one.n:,})" for one in found.bins) + ".",
        parts,
    )  # fmt: skip


def curve(
    shown: Shown, learned: Sequence[tuple[int, float]], judged: Sequence[tuple[int, float]], best: int | None
) -> str:  # fmt: skip
    """The loss over the epochs: of the rows that were learned, and of those that chose the epoch."""
    learned, judged = _positive(learned), _positive(judged)
    losses = [loss for _, loss in (*learned, *judged)]
    low, high = robust(losses) if losses else (0.1, 1.0)
    low, high = max(low / 1.15, 1e-99), max(high * 1.15, 1e-98)
    last = max(epoch for epoch, _ in (*learned, *judged)) if losses else 1
    x = Axis(0, max(1, last), LEFT, LEFT + WIDE)
    y = Axis(low, high, TOP + HIGH, TOP, logarithmic=True)
    parts = [
        *_heads(LEFT + WIDE + RIGHT, "How it learned", "loss after each epoch, on a logarithmic scale",
                "blue: training rows" + "; red: validation rows" * bool(judged)),
        *frame(x, y, "epoch", "loss"),
        svg.path([(x.at(a), y.at(b)) for a, b in learned], "line"),
        svg.path([(x.at(a), y.at(b)) for a, b in judged], "line2"),
    ]  # fmt: skip
    if best:
        words = f"kept: epoch {best}"
        right = x.at(best) > LEFT + WIDE / 2
        parts.append(svg.line(x.at(best), y.first, x.at(best), y.last, "even"))
        parts.append(svg.text(x.at(best) + (-6 if right else 6), y.last + 16, words, "small soft" + " end" * right))  # fmt: skip
    return svg.drawing(
        (LEFT + WIDE + RIGHT, TOP + HIGH + BOTTOM),
        f"{shown.model}: course of the training",
        f"Loss over {last} epochs, on a logarithmic scale.",
        parts,
    )  # fmt: skip


def _heads(width: int, *lines: str) -> list[str]:
    """Cut where the paper ends; the description has all of it."""
    return [
        svg.text(14, 22 + 18 * at, _cut(words, int(width / (6.4 if at else 8))), "soft" if at else "head")
        for at, words in enumerate(lines)
        if words
    ]  # fmt: skip


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _plain(unit: str) -> str:
    return "" if unit == "1" else unit


def _range(points: Parity) -> tuple[float, float]:
    """Of the true values, and of all but a few of the answers."""
    if not points.true:
        return 0.0, 1.0
    return span(points.true, robust(points.predicted))


def _outside(points: Parity) -> list[bool]:
    halves = points.half_width or (float("inf"),) * len(points.true)
    three = zip(points.true, points.predicted, halves, strict=True)
    return [abs(answer - label) > half for label, answer, half in three]


def _beyond(axis: Axis, points: Parity) -> int:
    return sum(not axis.holds(answer) for answer in points.predicted)


def _points(
    x: Axis, y: Axis, points: Parity, outside: Sequence[bool], some: Sequence[int] | None = None
) -> list[str]:
    chosen = range(len(points.true)) if some is None else some
    places = [(x.at(points.true[at]), y.at(points.predicted[at]), outside[at]) for at in chosen]
    layers = 10 if len(places) > 300 else 25
    return [
        svg.dots([(a, b) for a, b, out in places if out is colour], class_, layers)
        for colour, class_ in ((False, "dots"), (True, "dots2"))
    ]


def _positive(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """What a logarithm can show."""
    return [(epoch, loss) for epoch, loss in points if 0 < loss < 1e90]
