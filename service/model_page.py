"""The page of a version of a model, from its card and its figures; what is not known is said."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from models.card import Card, Target
from models.families.kinds import KINDS
from models.figures.drawing import file_of
from models.figures.told import Elements, Figures, TargetFigures
from models.settings.image import ImageSettings
from models.trust.told import LEVELS, Intervals
from service.html import code, facts, link, listed, section, table
from service.model_errors import errors, number
from service.model_limits import limits
from service.model_origin import origin

ANSWERS = {
    "crystal": "one number for a structure",
    "sites": "one number for each site",
    "bonds": "the distances from the adsorbate to its nearest atoms after relaxation",
}
WORDS = {
    "parity": "Predicted against true values",
    "roc": "Receiver operating characteristic",
    "ranks": "Predicted against true bonds, the shortest first",
    "calibration": "Calibration: what was promised against what was measured",
    "width": "Error against the width of the interval",
    "errors": "Mean absolute error by element",
    "elements": "Mean of the sites' values by element",
    "a-site": "Mean of the sites' values by element on the A site of perovskites",
    "b-site": "Mean of the sites' values by element on the B site of perovskites",
    "curve": "Loss over the epochs of the training",
}
TABLES = ("errors", "elements", "a-site", "b-site")


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a page tells."""

    card: Card
    figures: Figures | None
    drawings: frozenset[str]  # names of files
    versions: Sequence[Card]
    aliases: dict[str, int]
    here: str  # the address of this service
    keys: bool = False  # whether calls need one
    trouble: str | None = None

    def address(self, drawing: str) -> str:
        """Where a drawing lies; another one whenever the figures are others."""
        digest = (self.card.figures_sha256 or "")[:16]
        return f"/models/{self.card.id}/figures/{digest}/{drawing}"


def body(shown: Shown) -> str:
    """The page under its title."""
    return "".join(
        [
            _head(shown),
            errors(shown.card),
            _answers_beside_truth(shown),
            _trust(shown),
            _by_element(shown),
            _contributions(shown),
            section("Limits", limits(shown.card)),
            _call(shown),
            origin(shown.card, _drawing(shown, "curve")),
            _versions(shown),
        ]
    )


def answers(card: Card) -> str:
    """What it answers with, in words."""
    if card.classifies:
        return f"the probability of {(card.classes or ('', 'the last class'))[-1]}"
    return ANSWERS[KINDS[card.family].answers]


def _head(shown: Shown) -> str:
    card = shown.card
    several = (
        f"{card.members} networks, which answer with their mean"
        if card.members > 1
        else "one network"
    )
    made = {"released": "comes with matprop", "imported": "imported", "trained": "trained here"}
    latest = max(one.version for one in shown.versions)
    older = "" if card.version == latest else f" – there is a newer one: {link(f'/models/{card.name}', f'{card.name}@{latest}')}"  # fmt: skip
    targets = "; ".join(_target(one, card) for one in card.targets)
    return f"<p>{escape(card.title)}</p>" + facts(
        [
            ("Model", f"{code(card.id)}{older}"),
            ("Predicts", targets),
            ("Answers with", escape(answers(card))),
            ("Family", f"{escape(KINDS[card.family].title)}; {several}"),
            ("Origin", f"{made[card.origin]}, {card.created_at:%Y-%m-%d}"),
        ]
    )  # fmt: skip


def _target(target: Target, card: Card) -> str:
    unit = "" if card.classifies or target.unit == "1" else f" in {escape(target.unit)}"
    return f"<strong>{escape(target.property)}</strong>{unit}"


def _drawing(shown: Shown, kind: str, target: int = 0) -> str:
    name = "curve.svg" if kind == "curve" else file_of(kind, target)
    if name not in shown.drawings:
        return ""
    address = escape(shown.address(name))
    what = WORDS[kind]
    if len(shown.card.targets) > 1 and kind != "curve":
        what = f"{what}: {shown.card.targets[target].property}"
    image = f'<img src="{address}" alt="{escape(what)}" loading="lazy">'
    kind = ' class="table"' if kind in TABLES else ""
    return f'<figure{kind}><a href="{address}">{image}</a></figure>'


def _each(shown: Shown, *kinds: str) -> str:
    found = [_drawing(shown, kind, at) for at in range(len(shown.card.targets)) for kind in kinds]
    found = [each for each in found if each]
    return f'<div class="pair">{"".join(found)}</div>' if len(found) > 1 else "".join(found)


def _answers_beside_truth(shown: Shown) -> str:
    if shown.trouble:
        return section("Figures", f"<p>{escape(shown.trouble)}</p>")
    if shown.figures is None:
        return section(
            "Figures",
            "<p>There are none: they are made at the end of a training here, and this model was "
            + ("imported from elsewhere" if shown.card.origin == "imported" else "made before they were")
            + ".</p>",
        )  # fmt: skip
    return section("Answers beside the truth", _each(shown, "parity", "roc", "ranks"))


def _grouped(card: Card) -> bool:
    """Whether groups of structures calibrated it, each as one witness."""
    return bool(card.training and card.training.division and card.training.division.grouped)


def _trust(shown: Shown) -> str:
    card = shown.card
    intervals = card.intervals or (None,) * len(card.targets)
    named = list(zip(card.targets, intervals, strict=True))
    rows = [_held(card, target, one) for target, one in named if one]
    heads = ("", "calibrated on", "judged by", "50 %", "80 %", "90 %", "95 %", "rank correlation")
    known = (
        "<p>Each answer comes with an interval. Share of the test rows' true values that lay within it, "
        "by the level that was asked for; and how well the width ranks the errors (1: perfectly, 0: not at all).</p>"
        + table(heads, rows, numeric=range(1, 8))
        if rows
        else ""
    )
    without = [escape(target.property) for target, one in named if one is None]
    if without and not card.classifies:
        of = f" of {', '.join(without)}" if rows else ""
        known += f"<p>Its answers have no intervals{of}: {_why_none(card)}.</p>"
    if card.reliability is not None:
        known += facts([
            ("Expected calibration error", number(card.reliability.error)),
            ("Brier score", number(card.reliability.brier)),
        ])  # fmt: skip
    plots = _each(shown, "calibration", "width") if shown.figures else ""
    return section("How far to trust an answer", known, plots)


def _held(card: Card, target: Target, one: Intervals) -> list[str]:
    """How often the intervals of a target held the truth."""
    return [
        escape(target.property),
        f"{one.rows:,}{' groups' if _grouped(card) else ''}",
        f"{one.judged:,}",
        *(f"{one.coverage[level]:.1%}" if level in one.coverage else "–" for level in LEVELS),
        "–" if one.rank_correlation is None else number(one.rank_correlation),
    ]


def _why_none(card: Card) -> str:
    rows = card.training.rows.get("val", 0) if card.training else 0
    if card.domain is None:
        return "nothing is known of rows to calibrate them by"
    known = "they are calibrated by ten labelled validation structures or more"
    if _grouped(card):
        return (
            f"{known}, and it had {rows}, of which those that the split keeps together count once"
        )
    return f"{known}, and it had {rows}, labelled or not"


def _by_element(shown: Shown) -> str:
    if shown.figures is None:
        return ""
    parts = []
    for at, (target, one) in enumerate(zip(shown.card.targets, shown.figures.targets, strict=True)):
        parts.append(_drawing(shown, "errors", at))
        parts.append(_element_rows(target, one, shown.card))
    return section("Error by element", *parts)


def _element_rows(target: Target, one: TargetFigures, card: Card) -> str:
    if not one.by_element:
        return ""
    counted = "sites" if card.family == "site" else "rows that hold it"
    rows = [
        [escape(each.element), number(each.mae), f"{each.n:,}"]
        for each in sorted(one.by_element, key=lambda each: -each.mae)
    ]
    head = f"{target.property}: all numbers, the largest errors first"
    unit = "" if target.unit == "1" else f" ({target.unit})"
    return f"<details><summary>{escape(head)}</summary>{table(('element', f'mean absolute error{unit}', counted), rows, numeric=(1, 2))}</details>"


def _contributions(shown: Shown) -> str:
    if shown.figures is None or shown.figures.elements is None:
        return ""
    found = shown.figures.elements
    drawings = "".join(
        _drawing(shown, kind, at)
        for at in range(len(shown.card.targets))
        for kind in ("a-site", "b-site", "elements")
    )
    more = link(f"/v1/models/{shown.card.id}/elements", f"GET /v1/models/{shown.card.id}/elements")
    return section(
        "What it says of the elements",
        f"<p>{escape(meaning(found))}</p>",
        drawings,
        f"<p>{more}</p>",
    )


def meaning(found: Elements) -> str:
    """What the numbers of the tables are."""
    count = f"{found.structures:,} training structures"
    if found.kind == "predictions":
        return f"The mean predicted value of the sites of each element, over {count}."
    text = (
        "The property is the mean of one scalar a site. The tables hold the mean of that scalar over the sites "
        f"of each element in {count}: a site's contribution times the number of sites, so that cells of different "
        "size compare."
    )
    if found.perovskites:
        text += f" The tables of the A and the B site are those of {found.perovskites:,} perovskites ABX3 among them."
    return text


def _call(shown: Shown) -> str:
    card = shown.card
    file = _file(card)
    key = ' -H "Authorization: Bearer $MATPROP_KEY"' if shown.keys else ""
    curl = f"curl{key} -F files=@{file} -F model={card.id} {shown.here}/v1/predictions"
    value = (
        "record.predictions[0]"
        if KINDS[card.family].answers != "crystal"
        else "record.value(), record.unit()"
    )
    python = (
        "from service.client import Client\n\n"
        f"with Client({json.dumps(shown.here)}) as client:\n"
        f'    for record in client.predict("{file}", model="{card.id}"):\n'
        f"        print(record.name, {value})\n"
    )
    latest = max(one.version for one in shown.versions)
    short = f" or {code(card.name)}, its newest version" if card.version == latest else ""
    names = [
        code(f"{card.name}@{alias}")
        for alias, version in sorted(shown.aliases.items())
        if version == card.version
    ]
    also = f" Also: {', '.join(names)}." if names else ""
    return section(
        "How to call it",
        f"<pre>{escape(curl)}</pre><pre>{escape(python)}</pre>",
        f"<p>Its name in calls is {code(card.id)}{short}.{also} {link('/docs', 'All of the API')}.</p>",
    )  # fmt: skip


def _file(card: Card) -> str:
    """A name of what it can read."""
    if isinstance(card.input, ImageSettings):
        return "molecule.cif" if card.input.box == "molecule" else "sheet.cif"
    return "slab.cif" if card.family == "bond" else "NaCl.cif"


def _versions(shown: Shown) -> str:
    card = shown.card
    at = f"/v1/models/{card.name}/versions/{card.version}"
    aliases = {version: alias for alias, version in sorted(shown.aliases.items(), reverse=True)}
    lines = []
    for one in shown.versions:
        named = f" ({code(aliases[one.version])})" if one.version in aliases else ""
        here = " – this one" if one.version == card.version else ""
        lines.append(f"{link(f'/models/{one.id}', one.id)}{named}, {one.created_at:%Y-%m-%d}{here}")
    figures = link(shown.address("figures.json"), "figures as numbers") if shown.figures else ""
    links = [link(f"{at}/file", "download it (zip)"), link(at, "its card as JSON"), figures]
    return section(
        "Versions and files", listed(lines), f"<p>{' · '.join(each for each in links if each)}</p>"
    )
