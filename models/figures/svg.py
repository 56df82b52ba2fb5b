"""Words of SVG: elements with everything escaped, and one look for all drawings, by day and by night."""

import re
from collections.abc import Iterable
from html import escape

# What XML cannot hold at all, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

STYLE = """
:root{--paper:#fff;--ink:#1b2330;--soft:#5d6878;--grid:#e4e8ee;--mark:#1f6fc4;--other:#c8402f;--fine:#2f8a57;--band:#1f6fc42b;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--paper:#15191f;--ink:#e6eaf0;--soft:#9aa5b4;--grid:#2c333d;--mark:#62aef5;--other:#ff8371;--fine:#63c98f;--band:#62aef533}}
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;font-size:12px;fill:var(--ink)}
.head{font-size:14px;font-weight:600}.soft{fill:var(--soft)}.small{font-size:11px}.mid{text-anchor:middle}.end{text-anchor:end}
.paper{fill:var(--paper)}.grid{stroke:var(--grid);fill:none}.frame{stroke:var(--soft);fill:none}
.line{fill:none;stroke:var(--mark);stroke-width:2;stroke-linejoin:round}.line2{fill:none;stroke:var(--other);stroke-width:2;stroke-linejoin:round}
.even{stroke:var(--soft);stroke-dasharray:5 4;fill:none}.band{fill:var(--band)}
.dots{stroke:var(--mark);stroke-width:4.4;stroke-linecap:round;stroke-opacity:.45;fill:none}
.dots2{stroke:var(--other);stroke-width:4.4;stroke-linecap:round;stroke-opacity:.55;fill:none}
.dot{fill:var(--mark)}.dot2{fill:var(--other)}.dot3{fill:var(--fine)}.bar{fill:var(--mark);fill-opacity:.75}
"""


def clean(text: object) -> str:
    """As it may stand in XML, between tags and in attributes."""
    return escape(_ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", str(text)), quote=True)


def place(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, inside: str = "", **attributes: object) -> str:
    """One element; `class_` is the attribute `class`, and other underscores are hyphens."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def _value(value: object) -> str:
    return place(value) if isinstance(value, float) else clean(value)


def text(x: float, y: float, words: object, class_: str | None = None, turn: int = 0) -> str:
    """Words at a place."""
    turned = f"rotate({turn} {place(x)} {place(y)})" if turn else None
    return element("text", clean(words), x=float(x), y=float(y), class_=class_, transform=turned)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    """A line through these points."""
    steps = "L".join(f"{place(x)} {place(y)}" for x, y in points)
    return element("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_) if steps else ""


def dots(points: Iterable[tuple[float, float]], class_: str, layers: int = 10) -> str:
    """Many points: few elements, of several layers so that crowds look denser than single ones."""
    piles: list[list[str]] = [[] for _ in range(layers)]
    for at, (x, y) in enumerate(points):
        piles[at % layers].append(f"M{place(x)} {place(y)}h0")
    return "".join(element("path", d="".join(pile), class_=class_) for pile in piles if pile)


def drawing(
    size: tuple[int, int], title: str, told: str, parts: Iterable[str], style: str = ""
) -> str:
    """A whole file; `told` is what a screen reader says of it."""
    width, height = size
    sheet = element("style", STYLE + style)
    inside = "".join(
        [
            element("title", clean(title), id="title"),
            element("desc", clean(told), id="desc"),
            sheet,
            element("rect", width="100%", height="100%", class_="paper"),
            *parts,
        ]
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title desc">{inside}</svg>\n'
    )
