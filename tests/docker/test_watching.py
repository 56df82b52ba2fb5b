"""The dashboard and the alerts ask for figures that there are, by labels that they have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from workers.figures import FIGURES

DOCKER = Path(__file__).parents[2] / "docker"
LABELS = {figure.full: set(figure.labels) for figure in FIGURES if figure.kind != "histogram"} | {
    f"{figure.full}_{part}": set(figure.labels) | ({"le"} if part == "bucket" else set())
    for figure in FIGURES
    if figure.kind == "histogram"
    for part in ("bucket", "sum", "count")
}
DASHBOARD = json.loads((DOCKER / "grafana/matprop.json").read_text("utf-8"))
RULES = yaml.safe_load((DOCKER / "prometheus/rules.yml").read_text("utf-8"))


def asked() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("expression", sorted(set(asked())))
def test_every_figure_that_is_asked_for_exists_and_has_these_labels(expression: str) -> None:
    found = re.findall(r"(matprop_\w+)(?:\{([^}]*)\})?", expression)
    assert found
    known: set[str] = {"instance"}
    for name, marks in found:
        assert name in LABELS, name
        assert set(re.findall(r"(\w+)=", marks)) <= LABELS[name], expression
        known |= LABELS[name]
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in grouped.split(",")} <= known, expression
    assert all(expression.count(a) == expression.count(b) for a, b in ("()", "[]", "{}"))


def test_every_figure_is_on_the_dashboard() -> None:
    text = " ".join(target["expr"] for p in DASHBOARD["panels"] for target in p.get("targets", ()))
    assert [figure.full for figure in FIGURES if figure.full not in text] == []


def test_panels_have_places_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    cells: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        mine = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert max(x for x, _ in mine) < 24
        assert not mine & cells
        cells |= mine


def test_every_alert_says_what_is_wrong_and_the_guide_what_to_do() -> None:
    guide = (DOCKER.parent / "docs/how-to/operate.md").read_text("utf-8")
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert {"page", "ticket"} == {rule["labels"]["severity"] for rule in rules}
    for rule in rules:
        assert rule["annotations"]["summary"].endswith(".")
        assert f"`{rule['alert']}`" in guide, rule["alert"]
    names = re.findall(r"`(Matprop\w+)`", guide)
    assert {rule["alert"] for rule in rules} == set(names)
