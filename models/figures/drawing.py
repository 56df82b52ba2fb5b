"""All drawings of a model, by the names of their files; drawn once, whoever made the figures."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalogue import FIGURES
from models.figures import periodic, plots
from models.figures.axes import number
from models.figures.plots import Shown
from models.figures.told import Elements, ElementTable, Figures, TargetFigures, figures_bytes

if TYPE_CHECKING:
    from models.card import Card

KINDS = ("parity", "roc", "ranks", "calibration", "width", "errors", "elements", "a-site", "b-site", "curve")  # fmt: skip
FEWEST_ELEMENTS = 3  # fewer make no table


def file_of(kind: str, target: int = 0) -> str:
    """`parity.svg`; of further targets `parity-2.svg` and so on."""
    return f"{kind}-{target + 1}.svg" if target else f"{kind}.svg"


def drawn(card: "Card", figures: Figures) -> dict[str, str]:
    """The text of each drawing that these figures allow."""
    found = {}
    for at, (target, one) in enumerate(zip(card.targets, figures.targets, strict=True)):
        trust = card.intervals[at] if card.intervals else None
        counted = (trust.judged, trust.rows) if trust and trust.judged else None
        lines = {"site": "sites", "bond": "bonds"}.get(card.family, "")
        shown = Shown(target.property, target.unit, figures.part, card.name, lines)
        for kind, text in _of_target(card, shown, one, counted):
            found[file_of(kind, at)] = text
        if figures.elements is not None:
            for kind, text in _of_elements(shown, figures.elements, figures.elements.targets[at]):
                found[file_of(kind, at)] = text
    found |= dict(_curve(card))
    return found


def write(folder: Path, card: "Card", figures: Figures) -> "Card":
    """`figures.json` and the drawings, into a model's folder; the card that is returned knows the hash."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    data = figures_bytes(figures)
    (folder / FIGURES).write_bytes(data)
    for name, text in drawn(card, figures).items():
        (folder / name).write_text(text, encoding="utf-8")
    return card.model_copy(update={"figures_sha256": hashlib.sha256(data).hexdigest()})


def _of_target(
    card: "Card", shown: Shown, one: TargetFigures, counted: tuple[int, int] | None
) -> Iterator[tuple[str, str]]:
    if one.classified is not None:
        classes = card.classes or ()
        if one.classified.true_positive:
            yield "roc", plots.roc(shown, one.classified, classes)
        if one.classified.bins:
            yield "calibration", plots.reliability(shown, one.classified, classes)
    if one.parity is not None and one.parity.true:
        yield "parity", plots.parity(shown, one)
        if one.parity.rank is not None and one.ranks:
            yield "ranks", plots.ranks(shown, one)
    if one.calibration is not None and one.calibration.levels:
        yield "calibration", plots.calibration(shown, one.calibration, counted)
    if one.widths:
        yield "width", plots.widths(shown, one.widths, one.parity.level if one.parity else None)
    if len(one.by_element) >= FEWEST_ELEMENTS:
        yield "errors", _errors(card, shown, one)


def _errors(card: "Card", shown: Shown, one: TargetFigures) -> str:
    cells = {each.element: (each.mae, each.n) for each in one.by_element}
    which = "by element" if card.family == "site" else "of structures that hold the element"
    worst = sorted(one.by_element, key=lambda each: -each.mae)[:5]
    return periodic.table(
        f"{shown.what}: mean absolute error by element",
        f"{shown.rows.capitalize()}, {which}. The largest errors: "
        + ", ".join(f"{each.element} {number(each.mae)} (n = {each.n:,})" for each in worst) + ".",
        cells,
        diverging=False,
        lines=(f"{shown.rows} {which}{shown.measure}",),
    )  # fmt: skip


def _of_elements(
    shown: Shown, elements: Elements, tables: tuple[ElementTable, ...]
) -> Iterator[tuple[str, str]]:
    for table in tables:
        if len(table.elements) < FEWEST_ELEMENTS and table.site == "any":
            continue
        if table.elements:
            kind = {"any": "elements", "A": "a-site", "B": "b-site"}[table.site]
            yield kind, _means(shown, elements, table)


def _means(shown: Shown, elements: Elements, table: ElementTable) -> str:
    if elements.kind == "contributions":
        what = "mean contribution of a site by its element"
    else:
        what = "mean predicted value of a site by its element"
    where = "" if table.site == "any" else f", {table.site} site of perovskites"
    count = elements.structures if table.site == "any" else elements.perovskites
    lines = (
        f"{count:,} training structures{shown.measure}",
        "the mean over a structure's sites is what is predicted of it"
        if elements.kind == "contributions"
        else "",
    )
    ordered = sorted(table.elements, key=lambda each: each.mean)
    ends = ordered if len(ordered) <= 8 else ordered[:4] + ordered[-4:]
    return periodic.table(
        f"{shown.what}: {what}{where}",
        "The lowest and the highest: "
        + ", ".join(f"{each.element} {number(each.mean)}" for each in ends) + ".",
        {each.element: (each.mean, each.n) for each in table.elements},
        diverging=True,
        lines=tuple(each for each in lines if each),
        counted="sites",
    )  # fmt: skip


def _curve(card: "Card") -> Iterator[tuple[str, str]]:
    record = card.training
    if record is None or len(record.curve) < 2:
        return
    shown = Shown(card.targets[0].property, card.targets[0].unit, "val", card.name)
    learned = [(point.epoch, point.loss) for point in record.curve]
    judged = [(point.epoch, point.val["loss"]) for point in record.curve if "loss" in point.val]
    yield "curve.svg", plots.curve(shown, learned, judged, record.best_epoch)
