from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from models.card import Card, Target
from models.settings.graph import GraphSettings
from models.settings.image import ImageSettings
from models.settings.network import ImageNetworkSettings, NetworkSettings

TARGET = Target(property="band-gap", unit="eV")


def card(**changes: Any) -> Card:
    parts: dict[str, Any] = {
        "name": "test", "version": 1, "title": "A test", "origin": "trained", "targets": (TARGET,),
        "graph": GraphSettings(), "network": NetworkSettings(), "elements_sha256": "",
        "weights_sha256": "", "created_at": datetime.now(UTC),
    }  # fmt: skip
    return Card(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"targets": (TARGET, TARGET)}, "not as many as the network answers"),
        ({"network": NetworkSettings(outputs=2)}, "not as many as the network answers"),
        ({"classes": ("no", "yes")}, "other models none"),
        (
            {
                "network": NetworkSettings(task="classification", outputs=2),
                "classes": ("a", "b", "c"),
            },
            "two classes",
        ),
    ],
)
def test_a_card_that_contradicts_itself_is_none(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        card(**changes)


def test_elements_that_are_none_were_not_seen() -> None:
    with pytest.raises(ValidationError, match="elements_seen"):
        card(elements_seen=(8, 300))


def test_a_network_of_other_images_is_none() -> None:
    small, large = ImageSettings(pixels=32), ImageSettings(pixels=64)

    with pytest.raises(ValidationError, match="other images"):
        card(family="image", graph=large, network=ImageNetworkSettings(image=small))


@pytest.mark.parametrize("figures", [{"mean": float("nan")}, {"std": float("inf")}, {"std": 0}])
def test_a_normaliser_is_made_of_numbers(figures: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Target(property="band-gap", unit="eV", **figures)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"task": "classification"}, "2 outputs"),
        ({"edge_start": 8.0, "edge_stop": 4.0}, "beyond edge_start"),
        ({"width": 0}, "width"),
        ({"depth": 3}, "depth"),
    ],
)
def test_settings_of_no_network_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        NetworkSettings(**settings)


def test_graphs_are_kept_apart_by_their_settings() -> None:
    keys = {GraphSettings(**each).key() for each in ({}, {"radius": 7}, {"neighbours": "voronoi"})}

    assert len(keys) == 3
