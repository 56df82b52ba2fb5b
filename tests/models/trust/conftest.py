"""Small models that have learned nothing, of every family, and rows to judge them by."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import torch

from models.card import Card, Target
from models.families import bond
from models.families.family import family
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
from models.training.dataset import Dataset, Labels, Rows
from models.training.split import Split
from models.trust import gauge
from models.trust.fitting import Fitted, fitted

ROWS = 90
CPU = torch.device("cpu")
IMAGE = ImageSettings(pixels=16)
INPUTS: dict[str, Any] = {
    "crystal": GraphSettings(), "site": GraphSettings(), "bond": SlabSettings(candidates=6), "image": IMAGE,
}  # fmt: skip
NETWORKS: dict[str, Any] = {
    "crystal": NetworkSettings(convolutions=1, width=16, hidden_width=16),
    "site": SiteNetworkSettings(convolutions=1, width=16, site_width=16),
    "bond": BondNetworkSettings(convolutions=1, width=16, hidden_width=16),
    "image": ImageNetworkSettings(image=IMAGE, reducing_layers=2, reducing_filters=8, hidden_width=16),
}  # fmt: skip


def rock_salt(number: int, chance: np.random.Generator, length: float = 5.0) -> Structure:
    """Of one of four metals, strained by a little."""
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    metal = [3, 11, 19, 12][number % 4]
    lengths = length * (1 + 0.03 * (number % 4)) * chance.uniform(0.99, 1.01, 3)
    numbers = np.array([metal] * 4 + [17] * 4, np.uint8)
    sites = np.concatenate([corners, (corners + 0.5) % 1]) + chance.normal(0, 0.002, (8, 3))
    return Structure(f"salt-{number}", np.diag(lengths), numbers, sites)


def slab(number: int, chance: np.random.Generator) -> Structure:
    """Three layers of a metal with N somewhere on them."""
    layers = [
        [x + z % 2 / 2, y + z % 2 / 2, z * 0.72] for z in range(3) for y in (0, 1) for x in (0, 1)
    ]
    sites = np.array([*layers, [*chance.uniform(0, 2, 2), 2.2]]) * 2.7
    sites += chance.uniform(-0.05, 0.05, sites.shape)
    cell = np.diag([5.4, 5.4, 25.0])
    numbers = np.array([[28, 29, 46, 47][number % 4]] * 12 + [7], np.uint8)
    return Structure(f"slab-{number}", cell, numbers, sites @ np.linalg.inv(cell))


def dimer(number: int, chance: np.random.Generator, length: float | None = None) -> Structure:
    """Two atoms, 1 to 2 Å apart."""
    apart = chance.uniform(1, 2) if length is None else length
    sites = np.array([[0.5, 0.5, 0.5], [0.5 + apart / 10, 0.5, 0.5]])
    return Structure(f"dimer-{number}", np.eye(3) * 10, np.array([1, 1], np.uint8), sites)


MAKE: dict[str, Callable[..., Structure]] = {
    "crystal": rock_salt, "site": rock_salt, "bond": slab, "image": dimer,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A model with its guide."""

    card: Card
    networks: list[torch.nn.Module]
    data: Dataset
    parts: Split
    trust: Fitted

    @property
    def resident(self) -> Resident:
        return Resident(self.card, self.networks, CPU, guide=self.trust.guide)

    def sample(self, structure: Structure) -> Any:
        return featurise(structure, self.card.input)


Build = Callable[..., Case]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """A model of a family; its gauge learns for a moment only."""
    monkeypatch.setattr(gauge, "STEPS", 40)

    def built(
        name: str,
        *,
        members: int = 1,
        targets: int = 1,
        rows: int = ROWS,
        val: bool = True,
        groups: Rows | None = None,
    ) -> Case:
        chance = np.random.default_rng(1)
        structures = [MAKE[name](number, chance) for number in range(rows)]
        samples = [featurise(each, INPUTS[name]) for each in structures]
        network = NETWORKS[name].model_copy(update={"outputs": targets})
        card = Card(
            name="test", version=1, family=name, title="A test", origin="trained", members=members,
            targets=tuple(Target(property=f"p{at}", unit="eV") for at in range(targets)),
            input=INPUTS[name], network=network, elements_sha256=table_sha256(), weights_sha256="",
            created_at=datetime.now(UTC),
        )  # fmt: skip
        networks = []
        for seed in range(members):
            torch.manual_seed(seed)
            networks.append(family(name).build(network).eval())
        data = Dataset(samples, _labels(name, samples, targets), family(name))
        if name == "bond":
            found = np.array([np.sort(each.initial[:4]) for each in samples], float)
            data = Dataset(samples, data.labels, family(name), distances=found)
        data = replace(data, groups=groups)
        third = np.arange(rows) % 3
        train, choose, test = (np.flatnonzero(third == part) for part in range(3))
        parts = Split(train, choose if val else choose[:0], test)
        names = [each.name for each in structures]
        trust = fitted(card, networks, data, parts, CPU, names=names, formulas=names)
        assert trust is not None
        card = card.model_copy(update=trust.told())
        return Case(card, networks, data, parts, trust)

    return built


def _labels(name: str, samples: list[Any], targets: int) -> Labels:
    chance = np.random.default_rng(2)
    if name == "bond":
        partners = [each.candidate[:4] for each in samples]
        return bond.labels(samples, partners, [each.initial[:4] ** 1.1 - 0.3 for each in samples])[
            0
        ]
    if name == "site":
        first = np.cumsum([0, *(each.n_sites for each in samples)])
        values = chance.normal(size=(first[-1], targets))
        values[::7] = np.nan
        return Labels(values, first)
    values = chance.normal(size=(len(samples), targets))
    values[::5, -1] = np.nan
    return Labels.one_a_row(values)
