"""What the conformance suite needs to know of each family: ten structures, small settings, labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import torch

from models.card import Card, Target
from models.families import bond
from models.families.family import Family, family
from models.families.kinds import KINDS, Kind
from models.graphs.elements import table_sha256
from models.infer import Resident
from models.samples import featurise
from models.settings.graph import GraphSettings
from models.settings.image import ImageSettings
from models.settings.network import (
    BondNetworkSettings,
    ImageNetworkSettings,
    NetworkSettings,
    SiteNetworkSettings,
)
from models.settings.slab import SlabSettings
from models.structures.structure import Structure
from models.training.dataset import Labels

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Subject:
    """A family under test."""

    kind: Kind
    structures: list[Structure]
    input: Any
    network: Any
    labels: Callable[[Sequence[Any]], Labels]

    @property
    def family(self) -> Family:
        return family(self.kind.name)

    def samples(self, structures: Sequence[Structure] | None = None) -> list[Any]:
        return [featurise(each, self.input) for each in structures or self.structures]

    def new(self) -> torch.nn.Module:
        torch.manual_seed(0)
        return self.family.build(self.network)

    def card(self, **others: Any) -> Card:
        return Card(
            name="test", version=1, family=self.kind.name, title="A test", origin="trained",
            targets=(Target(property="p", unit="eV", mean=2.5, std=1.5),), input=self.input,
            network=self.network, elements_sha256=table_sha256(), weights_sha256="",
            created_at=datetime.now(UTC), **others,
        )  # fmt: skip

    def answers(self, structures: Sequence[Structure]) -> list[tuple[float, ...]]:
        model = Resident(self.card(), [self.new()], CPU)
        return [answer.values for answer in model.answer(self.samples(structures))]


def crystals() -> list[Structure]:
    chance = np.random.default_rng(3)
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    return [
        Structure(
            f"crystal {a}", np.diag(chance.uniform(3.8, 4.4, 3)),
            np.array([38 + a, 22, 8, 8, 9], np.uint8), sites + chance.uniform(0, 0.06, sites.shape),
        )
        for a in range(10)
    ]  # fmt: skip


def slabs() -> list[Structure]:
    """Three layers of a metal with CO, or N alone, somewhere on them; nothing exactly even."""
    chance = np.random.default_rng(4)
    layers = [
        [x + z % 2 / 2, y + z % 2 / 2, z * 0.72] for z in range(3) for y in (0, 1) for x in (0, 1)
    ]
    found = []
    for number, metal in enumerate([28, 29, 46, 47, 78, 79, 45, 44, 77, 27]):
        x, y = chance.uniform(0, 2, 2)
        molecule = [[x, y, 2.2], [x, y, 2.65]][: 2 - number % 2]
        sites = np.array(layers + molecule) * 2.7
        sites += chance.uniform(-0.05, 0.05, sites.shape)
        cell = np.diag([5.4, 5.4, 25.0])
        numbers = np.array([metal] * 12 + ([6, 8] if len(molecule) == 2 else [7]), np.uint8)
        found.append(Structure(f"slab {number}", cell, numbers, sites @ np.linalg.inv(cell)))
    return found


def molecules() -> list[Structure]:
    chance = np.random.default_rng(5)
    sites = np.array([[0.5, 0.5, 0.5], [0.62, 0.5, 0.5], [0.45, 0.6, 0.5]])
    return [
        Structure(
            f"molecule {number}", np.eye(3) * 10, np.array([8, 1, 1], np.uint8),
            sites + chance.uniform(-0.05, 0.05, (3, 3)),
        )
        for number in range(10)
    ]  # fmt: skip


def spread(samples: Sequence[Any]) -> Labels:
    """Unlike labels that nothing but memory can know."""
    return Labels.one_a_row(np.linspace(-1, 1, len(samples))[:, None] ** 3)


def of_sites(samples: Sequence[Any]) -> Labels:
    first = np.cumsum([0, *(each.n_sites for each in samples)])
    values = np.random.default_rng(0).normal(size=(first[-1], 1))
    values[::7] = np.nan
    return Labels(values, first)


def of_bonds(samples: Sequence[Any]) -> Labels:
    partners = [each.candidate[:4] for each in samples]
    return bond.labels(samples, partners, [each.initial[:4] ** 1.1 - 0.3 for each in samples])[0]


IMAGE = ImageSettings(pixels=16)
SUBJECTS: dict[str, Callable[[], Subject]] = {
    "crystal": lambda: Subject(
        KINDS["crystal"], crystals(), GraphSettings(),
        NetworkSettings(convolutions=2, width=16, hidden_width=16), spread,
    ),
    "site": lambda: Subject(
        KINDS["site"], crystals(), GraphSettings(),
        SiteNetworkSettings(convolutions=2, width=16, site_width=16), of_sites,
    ),
    "bond": lambda: Subject(
        KINDS["bond"], slabs(), SlabSettings(candidates=6),
        BondNetworkSettings(convolutions=2, width=16, hidden_width=16), of_bonds,
    ),
    "image": lambda: Subject(
        KINDS["image"], molecules(), IMAGE,
        ImageNetworkSettings(image=IMAGE, reducing_layers=2, reducing_filters=8, hidden_width=16), spread,
    ),
}  # fmt: skip


@pytest.fixture(params=[*KINDS, *(f"{name}, residual" for name in KINDS if name != "image")])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each family in turn; one that is not in SUBJECTS fails here."""
    name, _, convolution = request.param.partition(", ")
    made = SUBJECTS[name]()
    if not convolution:
        return made
    return replace(made, network=made.network.model_copy(update={"convolution": convolution}))
