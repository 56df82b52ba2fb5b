"""Members of an ensemble together against each of them alone."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from models.families.family import family
from models.graphs.collate import Batch, collate
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.networks import compiled
from models.networks.compiled import CompiledNetwork
from models.networks.crystal import CrystalNetwork
from models.networks.folded import FoldedNetwork, FoldedTrunk
from models.networks.readout import Output
from models.networks.site import SiteNetwork
from models.networks.together import arranged, doubled, stacked
from models.networks.trunk import Trunk
from models.settings.graph import GraphSettings, Ties
from models.settings.network import NetworkSettings, SiteNetworkSettings
from models.structures.structure import Structure

CPU = torch.device("cpu")
needs_compiled = pytest.mark.skipif(
    not compiled.there(), reason="built without a C compiler: all is done in torch"
)
WAYS = [pytest.param(CompiledNetwork, marks=needs_compiled), FoldedNetwork]
SETTINGS = [
    NetworkSettings(width=20, hidden_width=40, outputs=2),
    NetworkSettings(width=16, convolutions=1, hidden_layers=0),
    NetworkSettings(width=33, readout="linear", site_layers=2, outputs=3),
    NetworkSettings(width=24, readout="full", site_layers=1),
    NetworkSettings(width=64, readout="linear", edge_features="onehot"),
    NetworkSettings(width=8, edge_start=1.0, edge_stop=4.0, edge_step=0.5),
    NetworkSettings(width=20, elements="numbers"),
    NetworkSettings(convolution="residual", width=20, hidden_width=40, outputs=2),
    NetworkSettings(convolution="residual", width=64, convolutions=1, readout="linear"),
    NetworkSettings(convolution="residual", width=33, readout="full", edge_features="onehot"),
    SiteNetworkSettings(width=20, site_width=12, outputs=2),
    SiteNetworkSettings(convolution="residual", width=48, elements="numbers"),
    SiteNetworkSettings(width=7, site_layers=0),
]


@pytest.fixture(params=[Ties.SHELL, Ties.RELEASED])
def graphs(request: pytest.FixtureRequest, crystals: list[Structure]) -> list[Graph]:
    return [featurise(each, GraphSettings(ties=request.param)) for each in crystals]


def members(count: int, settings: Any) -> list[Trunk]:
    """Unlike networks whose BatchNorm does something, as after training."""
    torch.manual_seed(3)
    kind = SiteNetwork if isinstance(settings, SiteNetworkSettings) else CrystalNetwork
    found: list[Trunk] = [kind(settings).eval() for _ in range(count)]
    for module in (each for network in found for each in network.modules()):
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            module.running_mean = torch.randn(module.num_features) * 0.3
            module.running_var = torch.rand(module.num_features) + 0.5
        if isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
    return found


def exactly(networks: Sequence[Trunk], batch: Batch) -> list[Output]:
    wide = doubled(batch)
    found = [network.double()(wide) for network in networks]
    for network in networks:
        network.float()
    return found


def agree(got: Output, wanted: Sequence[Output], tolerance: float = 2e-5) -> None:
    for name in ("values", "features", "sites"):
        one, others = getattr(got, name), [getattr(each, name) for each in wanted]
        assert (one is None) == (others[0] is None)
        if one is not None:
            expected = torch.stack(others).to(one.dtype)
            torch.testing.assert_close(one, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("settings", SETTINGS)
def test_members_together_are_the_members_alone(
    graphs: list[Graph], settings: Any, count: int, way: Callable[[Any], Any]
) -> None:
    networks, batch = members(count, settings), collate(graphs)

    with torch.inference_mode():
        agree(way(networks)(batch), exactly(networks, batch))


@pytest.mark.parametrize("convolution", ["gated", "shared", "residual"])
@pytest.mark.parametrize("readout", ["mean", "full", "linear"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_members_stacked_are_the_members_alone(
    graphs: list[Graph], convolution: str, readout: str, count: int
) -> None:
    """As on a GPU."""
    settings = NetworkSettings(width=8, hidden_width=6, convolution=convolution, readout=readout)  # type: ignore[arg-type]
    networks, batch = members(count, settings), collate(graphs)

    with torch.inference_mode():
        wanted = exactly(networks, batch)
        got = stacked([each.double() for each in networks], CPU)(doubled(batch))

    agree(got, wanted, 1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_a_member_answers_the_same_whatever_the_others_are(
    graphs: list[Graph], way: Callable[[Any], Any]
) -> None:
    networks, batch = members(5, SETTINGS[0]), collate(graphs)

    with torch.inference_mode():
        together = way(networks)(batch).values
        alone = torch.cat([way([network])(batch).values for network in networks])

    assert torch.equal(together, alone)
    assert len({float(each) for each in together[:, 0, 0]}) == 5


@needs_compiled
@pytest.mark.parametrize("settings", SETTINGS)
def test_no_bit_of_a_compiled_answer_depends_on_its_company(
    crystals: list[Structure], settings: Any
) -> None:
    graphs = [featurise(each, GraphSettings()) for each in crystals * 8]
    network = CompiledNetwork(members(2, settings))
    with torch.inference_mode():
        together = network(collate(graphs)).values
        alone = torch.cat([network(collate([graph])).values for graph in graphs], 1)

    if settings.__class__ is NetworkSettings and settings.readout == "full":
        torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    else:
        assert torch.equal(together, alone)


def test_places_in_the_tables_are_computed_once(
    graphs: list[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    places = FoldedTrunk.places

    def counting(trunk: FoldedTrunk, batch: Batch) -> Any:
        counted.append(1)
        return places(trunk, batch)

    monkeypatch.setattr(FoldedTrunk, "places", counting)
    network = FoldedNetwork(members(5, SETTINGS[0]))
    with torch.inference_mode():
        network(collate(graphs))

    assert len(counted) == 1


@needs_compiled
def test_the_compiled_steps_are_taken_where_they_are(graphs: list[Graph]) -> None:
    assert isinstance(arranged(members(2, SETTINGS[0]), CPU), CompiledNetwork)


@needs_compiled
@pytest.mark.parametrize("settings", SETTINGS[::2])
def test_a_network_that_overflows_has_no_finite_answer(graphs: list[Graph], settings: Any) -> None:
    networks = members(2, settings)
    with torch.no_grad():
        networks[1].convolutions[-1].site.weight.fill_(3e38)  # type: ignore[union-attr, operator]

    with torch.inference_mode():
        values = CompiledNetwork(networks)(collate(graphs)).values

    assert torch.isfinite(values[0]).all()
    assert not torch.isfinite(values[1]).any()


@needs_compiled
@pytest.mark.parametrize(
    "changed", [{"neighbour": 10_000}, {"neighbour": -1}, {"numbers": 101}, {"first_edge": 10_000}]
)
def test_indices_that_lead_nowhere_are_refused(
    graphs: list[Graph], changed: dict[str, int]
) -> None:
    batch = collate(graphs)
    ((name, wrong),) = changed.items()
    values = getattr(batch, name).clone()
    values[-1] = wrong

    with pytest.raises(ValueError, match="fit together"):
        CompiledNetwork(members(1, SETTINGS[0]))(dataclasses.replace(batch, **{name: values}))


@needs_compiled
@pytest.mark.parametrize("step", ["dense", "told", "mean"])
def test_sizes_whose_product_is_no_number_are_refused(step: str) -> None:
    shape = (1 << 62, 1, 1, 1) if step == "told" else (1 << 62, 1, 1)
    buffers = [np.empty(0, np.float32)] * (3 if step == "mean" else 4)

    with pytest.raises(ValueError, match="fit together"):
        getattr(compiled.steps, step)(shape, *buffers)


@needs_compiled
def test_an_edge_into_another_crystal_is_refused(crystals: list[Structure]) -> None:
    graphs = [featurise(each, GraphSettings()) for each in crystals * 20]
    batch = collate(graphs)
    batch.neighbour[0] = len(batch.numbers) - 1

    with pytest.raises(ValueError, match="fit together"):
        CompiledNetwork(members(1, SETTINGS[0]))(batch)


@needs_compiled
def test_a_crystal_larger_than_any_group_is_one(supercell: Any, crystals: list[Structure]) -> None:
    large = supercell(crystals[0], (6, 5, 4))
    graphs = [featurise(each, GraphSettings()) for each in (crystals[0], large, crystals[1])]
    networks, batch = members(2, SETTINGS[0]), collate(graphs)

    with torch.inference_mode():
        got = CompiledNetwork(networks)(batch)
        agree(got, exactly(networks, batch))

    np.testing.assert_allclose(got.values[:, 0], got.values[:, 1], rtol=2e-5, atol=2e-5)


def test_one_image_is_drawn_for_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.networks.drawing import Drawing
    from models.samples import featurise as drawn
    from models.settings.image import ImageSettings
    from models.settings.network import ImageNetworkSettings

    image = ImageSettings(pixels=16)
    images = family("image")
    settings = ImageNetworkSettings(image=image, reducing_layers=2)
    networks = [images.build(settings).eval() for _ in range(3)]
    molecule = Structure(
        "m", np.eye(3) * 10, np.array([8, 1], np.uint8), np.array([[0.5] * 3, [0.6, 0.5, 0.5]])
    )
    batch = images.collate([drawn(molecule, image)] * 2)
    counted: list[int] = []
    forward = Drawing.forward

    def counting(drawing: Drawing, given: Any) -> Any:
        counted.append(1)
        return forward(drawing, given)

    with torch.inference_mode():
        wanted = [network(batch) for network in networks]
        monkeypatch.setattr(Drawing, "forward", counting)
        got = images.ready(networks, CPU)(batch)

    assert len(counted) == 1
    agree(got, wanted, 1e-6)
