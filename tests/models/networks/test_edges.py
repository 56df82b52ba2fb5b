"""The compiled convolution against the same in torch, in double precision."""

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from models.graphs.collate import Batch, collate
from models.graphs.graph import Graph
from models.graphs.radial import Band, Kinds, band, expand
from models.networks import fused
from models.networks.convolution import GatedConvolution, ResidualConvolution
from models.networks.crystal import CrystalNetwork
from models.networks.together import doubled
from models.settings.network import NetworkSettings

needs_compiled = pytest.mark.skipif(
    fused.compiled is None, reason="built without a C compiler: all is done in torch"
)
GAUSSIAN, ONEHOT = NetworkSettings(), NetworkSettings(edge_features="onehot")
FEW = NetworkSettings(edge_start=1.0, edge_stop=3.0, edge_step=0.5)


def graphs(kind: str) -> list[Graph]:
    chance = np.random.default_rng(7)
    sites, crystals = (1, 9) if kind == "one site each" else (6, 12)
    found = []
    for _ in range(crystals):
        counts = chance.integers(0, 20, sites) if kind == "varying" else np.full(sites, 12)
        edges = int(counts.sum())
        found.append(
            Graph(
                chance.integers(1, 90, sites).astype(np.uint8),
                counts.astype(np.int32),
                chance.integers(0, sites, edges).astype(np.int32),
                chance.uniform(0.3, 9.5, edges).astype(np.float32),
                chance.random(edges).astype(np.float32) if kind == "weighted" else None,
            )
        )
    return found


def repeated() -> Batch:
    """Small cells: many edges to one neighbour over one distance, each with a weight of its own."""
    chance = np.random.default_rng(5)
    edges, sites = 40, 3
    return collate(
        [
            Graph(
                np.full(sites, 8, np.uint8),
                np.array([25, 0, 15], np.int32),
                chance.integers(0, sites, edges).astype(np.int32),
                chance.choice([1.5, 2.0, 3.25], edges).astype(np.float32),
                chance.random(edges).astype(np.float32),
            )
            for _ in range(4)
        ]
    )


def layer(width: int, features: int) -> GatedConvolution:
    torch.manual_seed(2)
    made = GatedConvolution(width, features)
    for norm in (made.gate_norm, made.sum_norm):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias)
        torch.nn.init.normal_(norm.running_mean)
    return made


def step(
    made: GatedConvolution,
    way: Callable[..., Tensor],
    sites: Tensor,
    edges: Tensor | Band,
    batch: Batch,
) -> dict[str, Tensor]:
    """New vectors, gradients and running figures."""
    sites = sites.clone().requires_grad_()
    new = way(sites, edges, batch)
    torch.manual_seed(3)
    (new * torch.randn(new.shape).to(new.dtype)).sum().backward()
    gradients = {name: each.grad for name, each in made.named_parameters()}
    return {"new": new.detach(), "sites": sites.grad, **gradients, **dict(made.named_buffers())}


@needs_compiled
@pytest.mark.parametrize("kind", ["constant", "varying", "weighted", "one site each"])
@pytest.mark.parametrize(("width", "features"), [*product((5, 64), ("band", "onehot", 6, 41))])
def test_results_gradients_and_running_figures_are_those_of_torch(
    kind: str, width: int, features: int | str
) -> None:
    batch = collate(graphs(kind))
    settings = ONEHOT if features == "onehot" else GAUSSIAN
    edges: Tensor = expand(batch.distance, settings)
    given: Tensor | Band = band(batch.distance, settings)
    if isinstance(features, int):
        edges = given = torch.rand(len(batch.centre), features)
    made = layer(width, edges.shape[1])
    exact = copy.deepcopy(made).double()
    sites = torch.randn(len(batch.numbers), width)
    assert fused.fits(made, sites, given)
    found = step(made, made, sites, given, batch)
    expected = step(exact, exact.in_torch, sites.double(), edges.double(), batch)
    for name, value in expected.items():
        near = 2e-5 * max(float(value.abs().max()), 1e-2)
        torch.testing.assert_close(
            found[name].double(), value.double(), rtol=0, atol=near, msg=name
        )


@needs_compiled
@pytest.mark.parametrize("kind", ["constant", "varying", "weighted", "one site each"])
@pytest.mark.parametrize("width", [5, 46, 64])
def test_residual_results_and_gradients_are_those_of_torch(kind: str, width: int) -> None:
    batch = collate(graphs(kind))
    torch.manual_seed(2)
    made = ResidualConvolution(width, 7)
    exact = copy.deepcopy(made).double()
    sites, edges = torch.randn(len(batch.numbers), width), torch.randn(len(batch.centre), 7)
    wide = replace(batch, weight=None if batch.weight is None else batch.weight.double())
    which = torch.randint(0, len(edges), (len(edges),), dtype=torch.int32)
    found = residual_step(made, sites, edges, batch, which)
    expected = residual_step(exact, sites.double(), edges.double(), wide, which)
    for name, value in expected.items():
        near = 2e-5 * max(float(value.abs().max()), 1e-2)
        torch.testing.assert_close(
            found[name].double(), value.double(), rtol=0, atol=near, msg=name
        )


def residual_step(
    made: ResidualConvolution, sites: Tensor, edges: Tensor, batch: Batch, which: Tensor
) -> dict[str, Tensor]:
    """New vectors and all gradients; compiled in single precision."""
    sites, edges = (each.clone().requires_grad_() for each in (sites, edges))
    compiled = edges.dtype == torch.float32
    new = made(sites, Kinds(edges, which) if compiled else edges[which], batch)
    torch.manual_seed(3)
    (new * torch.randn(new.shape).to(new.dtype)).sum().backward()
    gradients = {name: each.grad for name, each in made.named_parameters()}
    found = {"new": new.detach(), "sites": sites.grad, "edges": edges.grad, **gradients}
    assert all(each is not None for each in found.values())
    return found  # type: ignore[return-value]


@needs_compiled
def test_a_residual_network_reads_edges_that_are_alike_once() -> None:
    batch = repeated()
    network = CrystalNetwork(NetworkSettings(convolution="residual", width=16))
    lean = fused.lean(batch)
    assert len(lean.centre) <= 4 * 2 * 9 < len(batch.centre)
    torch.testing.assert_close(lean.weight.sum(), batch.weight.sum())  # type: ignore[union-attr]
    wide = doubled(batch)
    torch.testing.assert_close(
        network(batch).values.double(), copy.deepcopy(network).double()(wide).values, rtol=1e-5, atol=1e-5
    )  # fmt: skip


def test_a_residual_network_in_training_answers_each_crystal_as_if_it_were_alone() -> None:
    some = graphs("weighted")
    network = CrystalNetwork(NetworkSettings(convolution="residual", width=16)).train()
    together = network(collate(some)).values
    alone = torch.cat([network(collate([each])).values for each in some])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@needs_compiled
def test_indices_of_a_residual_convolution_out_of_range_are_refused() -> None:
    batch, made = collate(graphs("constant")), ResidualConvolution(8, 41)
    batch.neighbour[5] = len(batch.numbers)
    with pytest.raises(ValueError, match="that fit together"):
        made(torch.randn(len(batch.numbers), 8), each_its_own(batch), batch)


@needs_compiled
def test_kinds_of_edges_that_are_not_there_are_refused() -> None:
    batch, made = collate(graphs("constant")), ResidualConvolution(8, 41)
    edges = each_its_own(batch)
    edges.which[3] = len(edges.which)
    with pytest.raises(ValueError, match="that fit together"):
        made(torch.randn(len(batch.numbers), 8), edges, batch)


def each_its_own(batch: Batch) -> Kinds:
    """No edge is like another."""
    which = torch.arange(len(batch.distance), dtype=torch.int32)
    return Kinds(expand(batch.distance, GAUSSIAN), which)


@needs_compiled
def test_edges_that_are_alike_count_as_often_as_they_are_there() -> None:
    batch = repeated()
    merged = fused.merged(batch)
    assert len(merged.distance) <= 4 * 2 * 9 < len(batch.distance)
    assert float(merged.times.sum()) == len(batch.distance)
    given = replace(band(merged.distance, GAUSSIAN), merged=merged)
    edges = expand(batch.distance, GAUSSIAN)
    torch.testing.assert_close(given.dense(edges.shape[1]), edges, rtol=1e-6, atol=1.2e-7)
    made = layer(64, edges.shape[1])
    exact, sites = copy.deepcopy(made).double(), torch.randn(len(batch.numbers), 64)
    found = step(made, made, sites, given, batch)
    expected = step(exact, exact.in_torch, sites.double(), edges.double(), batch)
    for name, value in expected.items():
        near = 2e-5 * max(float(value.abs().max()), 1e-2)
        torch.testing.assert_close(
            found[name].double(), value.double(), rtol=0, atol=near, msg=name
        )


@needs_compiled
def test_edges_out_of_order_are_not_merged() -> None:
    batch = repeated()
    batch.first_edge[1] = len(batch.distance) + 1
    with pytest.raises(ValueError, match="that fit together"):
        fused.merged(batch)


@needs_compiled
@pytest.mark.parametrize("kind", ["constant", "varying", "weighted"])
def test_in_evaluation_the_running_figures_count(kind: str) -> None:
    batch, made = collate(graphs(kind)), layer(8, 41).eval()
    sites, edges = torch.randn(len(batch.numbers), 8), band(batch.distance, GAUSSIAN)
    before = copy.deepcopy(made.state_dict())
    with torch.no_grad():
        assert fused.fits(made, sites, edges)
        torch.testing.assert_close(made(sites, edges, batch), made.in_torch(sites, edges, batch))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


@needs_compiled
def test_a_step_gives_the_same_bits_each_time() -> None:
    batch, made = collate(graphs("weighted")), layer(16, 41)
    sites, edges = torch.randn(len(batch.numbers), 16), band(batch.distance, GAUSSIAN)
    one, other = (
        step(again, again, sites, edges, batch) for again in map(copy.deepcopy, (made, made))
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@needs_compiled
def test_extreme_numbers_stay_finite_and_no_number_is_passed_on() -> None:
    batch, made = collate(graphs("constant")), layer(8, 41)
    sites, edges = torch.randn(len(batch.numbers), 8), band(batch.distance, GAUSSIAN)
    torch.nn.init.constant_(made.gate_norm.weight, 1e4)
    exact = made.in_torch(sites, edges, batch)
    torch.testing.assert_close(made(sites, edges, batch), exact, rtol=1e-3, atol=1e-3)
    sites[3, 3] = torch.nan
    assert not torch.isfinite(made(sites, edges, batch)).any()


@needs_compiled
def test_indices_out_of_range_are_refused() -> None:
    batch, made = collate(graphs("constant")), layer(8, 41)
    sites, edges = torch.randn(len(batch.numbers), 8), band(batch.distance, GAUSSIAN)
    batch.neighbour[5] = len(sites)
    with pytest.raises(ValueError, match="that fit together"):
        made(sites, edges, batch)


def test_weights_changed_before_the_gradient_was_asked_for_are_noticed() -> None:
    batch, made = collate(graphs("constant")), layer(8, 41)
    new = made(torch.randn(len(batch.numbers), 8), expand(batch.distance, GAUSSIAN), batch)
    with torch.no_grad():
        made.gate_norm.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        new.sum().backward()


@pytest.mark.parametrize("settings", [GAUSSIAN, ONEHOT, FEW])
def test_the_band_is_all_that_is_not_zero(settings: NetworkSettings) -> None:
    distance = torch.linspace(0, 13, 4001)
    features = expand(distance, settings)
    dense = band(distance, settings).dense(features.shape[1])
    torch.testing.assert_close(dense, features, rtol=1e-6, atol=1.2e-7)


def test_double_precision_is_left_to_torch() -> None:
    batch, made = collate(graphs("constant")), layer(8, 41).double()
    sites, edges = torch.randn(len(batch.numbers), 8).double(), expand(batch.distance, GAUSSIAN)
    assert not fused.fits(made, sites, edges.double())
    assert made(sites, edges.double(), batch).dtype == torch.float64


def test_a_batch_of_one_row_is_refused_as_torch_does() -> None:
    alone = Graph(
        *(np.ones(1, kind) for kind in (np.uint8, np.int32)),
        np.zeros(1, np.int32),
        np.ones(1, np.float32),
    )
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        CrystalNetwork(GAUSSIAN).train()(collate([alone]))
