"""The network against the plain formulation, written out as in the paper."""

import dataclasses
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.graphs.collate import Batch, collate
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.graphs.radial import expand
from models.networks.convolution import (
    GatedConvolution,
    ResidualConvolution,
    SharedConvolution,
)
from models.networks.crystal import CrystalNetwork
from models.networks.folded import FoldedNetwork
from models.settings.graph import GraphSettings, Ties
from models.settings.network import NetworkSettings
from models.structures.structure import Structure

SMALL = NetworkSettings(convolutions=2, width=8, hidden_width=6)
OPTIONS = [
    NetworkSettings(
        convolution=convolution, readout=readout, edge_features=edges, site_layers=layers,
        hidden_layers=layers + 1, convolutions=2, width=8, hidden_width=6, outputs=2,
    )
    for convolution, readout, edges, layers in product(
        ("gated", "shared", "residual"), ("mean", "full", "linear"), ("gaussian", "onehot"), (0, 1)
    )
]  # fmt: skip


@pytest.fixture(params=[Ties.SHELL, Ties.RELEASED])
def graphs(request: pytest.FixtureRequest, crystals: list[Structure]) -> list[Graph]:
    return [featurise(each, GraphSettings(ties=request.param)) for each in crystals]


def lively(settings: NetworkSettings) -> CrystalNetwork:
    """A network whose BatchNorm does something, as after training."""
    torch.manual_seed(1)
    network = CrystalNetwork(settings)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            module.running_mean = torch.randn(module.num_features) * 0.3
            module.running_var = torch.rand(module.num_features) + 0.5
    return network.eval()


def plain_gated(layer: GatedConvolution, sites: Tensor, edges: Tensor, batch: Batch) -> Tensor:
    """Eq. 5 as it stands: one product over the concatenated vectors of each edge."""
    weight = torch.cat([layer.site.weight, layer.neighbour.weight, layer.edge.weight], 1)
    joined = torch.cat([sites[batch.centre], sites[batch.neighbour], edges], 1)
    gate, core = layer.gate_norm(F.linear(joined, weight, layer.site.bias)).chunk(2, 1)
    messages = torch.sigmoid(gate) * F.softplus(core)
    if batch.weight is not None:
        messages = messages * batch.weight[:, None]
    summed = torch.zeros_like(sites).index_add(0, batch.centre, messages)
    return F.softplus(sites + layer.sum_norm(summed))


def plain_shared(layer: SharedConvolution, sites: Tensor, edges: Tensor, batch: Batch) -> Tensor:
    """Eq. 4 as it stands."""
    weight = torch.cat([layer.neighbour.weight, layer.edge.weight], 1)
    joined = torch.cat([sites[batch.neighbour], edges], 1)
    if batch.weight is not None:
        joined = joined * batch.weight[:, None]
    empty = sites.new_zeros(len(sites), joined.shape[1])
    summed = empty.index_add(0, batch.centre, joined)
    return F.softplus(layer.sum_norm(F.linear(summed, weight) + layer.site(sites)))


def plain_residual(
    layer: ResidualConvolution, sites: Tensor, edges: Tensor, batch: Batch
) -> Tensor:
    """As its docstring has it."""
    weight = torch.cat([layer.site.weight, layer.neighbour.weight, layer.edge.weight], 1)
    normal = layer.site_norm(sites)
    joined = torch.cat([normal[batch.centre], normal[batch.neighbour], edges], 1)
    gate, core = F.linear(joined, weight, layer.site.bias).chunk(2, 1)
    messages = torch.sigmoid(gate) * core * torch.sigmoid(core)
    if batch.weight is not None:
        messages = messages * batch.weight[:, None]
    summed = torch.zeros_like(sites).index_add(0, batch.centre, messages)
    up = layer.up(layer.sum_norm(summed))
    return sites + layer.down(up * torch.sigmoid(up))


@pytest.mark.parametrize("training", [True, False])
def test_factorised_convolutions_are_the_plain_ones(graphs: list[Graph], training: bool) -> None:
    batch = collate(graphs)
    edges, sites = expand(batch.distance, SMALL), torch.randn(len(batch.numbers), 8)
    for plain, kind in (
        (plain_gated, GatedConvolution),
        (plain_shared, SharedConvolution),
        (plain_residual, ResidualConvolution),
    ):
        torch.manual_seed(3)
        layer = kind(8, edges.shape[1]).train(training)
        torch.testing.assert_close(
            layer(sites, edges, batch), plain(layer, sites, edges, batch), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("settings", OPTIONS)
def test_every_option_learns_from_every_weight(
    graphs: list[Graph], settings: NetworkSettings
) -> None:
    network = CrystalNetwork(settings)

    network(collate(graphs)).values.square().sum().backward()

    assert all(each.grad is not None for each in network.parameters())
    assert all(torch.isfinite(each.grad).all() for each in network.parameters())


@pytest.mark.parametrize("settings", [each for each in OPTIONS if each.convolution != "shared"])
def test_folded_is_unfolded(graphs: list[Graph], settings: NetworkSettings) -> None:
    network, batch = lively(settings), collate(graphs)
    exact = lively(settings).double()
    with torch.inference_mode():
        wide = dataclasses.replace(batch, distance=batch.distance.double())
        wanted, got = exact(wide), FoldedNetwork([network])(batch)

    torch.testing.assert_close(got.values[0], wanted.values, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(got.features[0], wanted.features, rtol=2e-5, atol=2e-5)


def test_dense_and_flat_sums_agree(crystals: list[Structure]) -> None:
    settings = GraphSettings(ties=Ties.RELEASED)
    batch = collate([featurise(each, settings) for each in crystals])
    network = lively(SMALL)

    flat = dataclasses.replace(batch, degree=0)

    assert batch.degree == 12
    torch.testing.assert_close(network(flat).values, network(batch).values)


def test_gaussians_are_the_published_ones() -> None:
    distance = torch.tensor([0.5, 2.83, 7.99, 9.0])
    centres = np.arange(0, 8.2, 0.2)

    got = expand(distance, SMALL)

    wanted = np.exp(-((distance.numpy()[:, None] - centres) ** 2) / 0.2**2)
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_a_site_scalar_is_its_share_of_the_linear_readout(graphs: list[Graph]) -> None:
    network = lively(SMALL.model_copy(update={"readout": "linear"}))

    output = network(collate(graphs[:1]))

    assert output.sites is not None
    torch.testing.assert_close(output.sites.mean(0, keepdim=True), output.values)
