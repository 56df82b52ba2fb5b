"""Drawings are well-formed, quiet and right."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from models.figures import periodic
from models.figures.axes import Axis, number, round_ticks, span, tick
from models.figures.drawing import drawn, write
from models.figures.told import Figures, Parity, TargetFigures
from models.structures.composition import SYMBOLS

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {"svg", "title", "desc", "style", "rect", "text", "line", "path", "circle", "g"}


def test_every_drawing_is_well_formed_and_tells_what_it_shows(
    a_card: Any, figures: Figures
) -> None:
    made = drawn(a_card(classes=("no", "yes")), figures)
    assert "curve.svg" in made
    for text in made.values():
        root = ET.fromstring(text)
        assert {each.tag.removeprefix(SVG) for each in root.iter()} <= ALLOWED
        assert root.findtext(f"{SVG}title")
        assert root.findtext(f"{SVG}desc")
        assert "prefers-color-scheme:dark" in text


def test_nothing_in_a_drawing_runs_or_loads(a_card: Any, figures: Figures, hostile: str) -> None:
    card = a_card(name=hostile, classes=(hostile, hostile))
    target = card.targets[0].model_copy(update={"property": hostile, "unit": hostile})
    for text in drawn(card.model_copy(update={"targets": (target,)}), figures).values():
        root = ET.fromstring(text)
        assert {each.tag.removeprefix(SVG) for each in root.iter()} <= ALLOWED
        names = {name for each in root.iter() for name in each.attrib}
        assert not [name for name in names if name.startswith("on") or "href" in name]
        assert "url(" not in text
        assert "@import" not in text


def test_what_there_is_is_drawn_and_nothing_else(a_card: Any, full_figures: Figures) -> None:
    made = drawn(a_card(training=None), full_figures)
    assert sorted(made) == [
        "a-site.svg", "b-site.svg", "calibration.svg", "elements.svg", "errors.svg", "parity.svg",
        "width.svg",
    ]  # fmt: skip
    empty = Figures(part="test", targets=(TargetFigures(n=0),))
    assert drawn(a_card(training=None), empty) == {}


def test_further_targets_have_files_of_their_own(a_card: Any, full_figures: Figures) -> None:
    card = a_card()
    two = full_figures.model_copy(update={"targets": full_figures.targets * 2, "elements": None})
    made = drawn(card.model_copy(update={"targets": card.targets * 2}), two)
    assert {"parity.svg", "parity-2.svg"} <= set(made)


def test_a_cell_holds_its_number(a_card: Any, full_figures: Figures) -> None:
    text = drawn(a_card(), full_figures)["b-site.svg"]
    for words in (
        "−2.50",
        "0.50",
        "1.25",
        "O: −2.5 (sites = 3)",
        "B site of perovskites",
        "60 training",
    ):
        assert words in text
    assert 'class="mid absent">He<' in text


def test_an_answer_outside_of_its_interval_stands_out(a_card: Any, full_figures: Figures) -> None:
    text = drawn(a_card(), full_figures)["parity.svg"]
    assert text.count('class="dots2"') == 1
    assert "red: outside of its 90% interval (33%)" in text
    assert "3 of 5,000 test rows; mean absolute error 0.0625 eV/atom" in text


def test_one_wild_answer_does_not_hide_the_others(a_card: Any) -> None:
    true = tuple(at / 100 for at in range(1_000))
    parity = Parity(true=true, predicted=(*true[:-1], 1e90))
    figures = Figures(part="test", targets=(TargetFigures(n=1_000, parity=parity),))
    assert "1 beyond the frame" in drawn(a_card(), figures)["parity.svg"]


@pytest.mark.parametrize("value", [0.0, 5.0, -1e100, 1e-300, 1e100])
def test_points_at_one_place_are_drawn(a_card: Any, value: float) -> None:
    parity = Parity(true=(value,) * 3, predicted=(value,) * 3)
    figures = Figures(part="test", targets=(TargetFigures(n=3, parity=parity),))
    text = drawn(a_card(), figures)["parity.svg"]
    ET.fromstring(text)
    assert not re.search(r"\b(nan|inf)\b", text)


def test_every_element_has_a_place_of_its_own() -> None:
    places = [periodic.position(atomic) for atomic in range(1, len(SYMBOLS))]
    assert len(set(places)) == len(places)
    for symbol, place in (
        ("H", (0, 0)), ("He", (0, 17)), ("B", (1, 12)), ("Ti", (3, 3)), ("La", (8, 2)), ("Hf", (5, 3)),
        ("Og", (6, 17)), ("U", (9, 5)), ("Ba", (5, 1)), ("Rf", (6, 3)),
    ):  # fmt: skip
        assert periodic.position(SYMBOLS.index(symbol)) == place


def test_colours_are_symmetric_around_zero_where_there_are_both_signs() -> None:
    scale = periodic.Scale.of([-1.0, 0.5, 3.0], diverging=True)
    assert (scale.step(-3.0), scale.step(0.0), scale.step(3.0)) == (-6, 0, 6)
    one_sided = periodic.Scale.of([1.0, 2.0, 3.0], diverging=True)
    assert (one_sided.step(1.0), one_sided.step(2.0), one_sided.step(3.0)) == (-6, 0, 6)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]), (-3.2, 1.1, ["−3", "−2", "−1", "0", "1"]),
     (0, 0.011, ["0", "0.002", "0.004", "0.006", "0.008", "0.010"])],
)  # fmt: skip
def test_ticks_are_round(low: float, high: float, ticks: list[str]) -> None:
    values = round_ticks(low, high)
    assert [tick(value, values) for value in values] == ticks


def test_numbers_are_short() -> None:
    values = (0.0, 1234.5, -0.5, 1e-9, 123456.0, 1.5e20)
    assert [number(value) for value in values] == ["0", "1234", "−0.5", "1e−9", "123456", "1.5e20"]


def test_a_span_has_always_some_extent() -> None:
    for values in ([], [3.0], [0.0, 0.0], [1e9, 1e9], [-1.0, 1.0]):
        low, high = span(values)
        assert low < high
        assert Axis(low, high, 0, 100).at(high) == 100


def test_figures_lie_beside_their_drawings(
    a_card: Any, full_figures: Figures, tmp_path: Any
) -> None:
    write(tmp_path, a_card(), full_figures)
    assert Figures.model_validate_json((tmp_path / "figures.json").read_bytes()) == full_figures
    assert (tmp_path / "parity.svg").read_text().startswith("<svg xmlns=")
