"""The trained network rearranged for a CPU: nothing is computed twice, and little a second time an edge.

Evaluation BatchNorm is a scale and a shift, folded into the weights. What is left of an edge is a function of
its distance alone, W₃ u(d): it is tabulated finely and interpolated with cubic polynomials, to the accuracy of
single precision. Then the sum over its four table rows and the two rows of its sites is one gathering sum.
"""

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.graphs.collate import Batch
from models.graphs.radial import ONEHOT_BINS, ONEHOT_START, ONEHOT_WIDTH, bins, expand
from models.networks.convolution import GatedConvolution
from models.networks.readout import Output
from models.networks.trunk import Trunk

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from collections.abc import Callable

    from models.settings.network import TrunkSettings

ROWS_A_STEP = 32  # table rows between two Gaussians: the cubic's error is then below 3e-7
FEW_SITES = 16  # products of fewer rows are summed in another order by the library
BEYOND = 6  # steps past the last Gaussian, where all are zero


class ReadOut(Protocol):
    """A network that ends with a read-out of its sites' vectors."""

    readout: nn.Module


def arranged(network: Trunk, device: torch.device) -> "Callable[[Batch], Output]":
    """A network of convolutions and `readout`, ready to answer on this device."""
    network = network.eval().requires_grad_(requires_grad=False)
    if device.type != "cpu":
        return network.to(device)
    if all(isinstance(each, GatedConvolution) for each in network.convolutions):
        return FoldedNetwork(network)
    # So little is left to compute in Eq. 4 that double precision, in which no answer depends on its
    # company, costs next to nothing.
    network = network.double()

    def in_double(batch: Batch) -> Output:
        output: Output = network(replace(batch, distance=batch.distance.double()))
        return output

    return in_double


class FoldedNetwork:
    """Answers as the network in evaluation does, several times faster; gated convolutions only."""

    def __init__(self, network: Trunk) -> None:
        self._trunk = FoldedTrunk(network)
        # Little work, and in double precision no answer depends on how many are pooled at once.
        self._readout = deepcopy(cast("ReadOut", network).readout).double()
        self._all = getattr(self._readout, "full", False)

    def __call__(self, batch: Batch) -> Output:
        """The answers of a batch; not to be called from two threads at once."""
        layers = self._trunk.layers(batch)
        kept = layers if self._all else layers[-1:]
        output: Output = self._readout([each.double() for each in kept], batch)
        return output


class FoldedTrunk:
    """The sites' vectors as the trunk in evaluation gives them, several times faster."""

    def __init__(self, trunk: Trunk) -> None:
        trunk.eval()
        self._settings = trunk.trunk_settings
        with torch.inference_mode():
            self._start = trunk.embedding(trunk.elements)  # (101, width)
            distances = _distances(self._settings)
            self._convolutions = [
                _Folded(each, distances, self._settings)
                for each in trunk.convolutions
                if isinstance(each, GatedConvolution)
            ]
        self._rows = len(distances)

    def layers(self, batch: Batch) -> list[Tensor]:
        """Before the first and after each convolution; not to be called from two threads at once."""
        where, share = self._places(batch)
        layers = [self._start.index_select(0, batch.numbers)]
        for convolution in self._convolutions:
            layers.append(convolution(layers[-1], where, share, batch))
        return layers

    def _places(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Rows that add up to each edge, and their weights.  # (edges, 6) or (edges, 3)"""
        sites = self._rows + 2 * torch.stack([batch.centre, batch.neighbour], 1)
        sites[:, 1] += 1
        ones = batch.distance.new_ones(len(sites), 2)
        if self._settings.edge_features == "onehot":
            return torch.cat([bins(batch.distance)[:, None], sites], 1), F.pad(
                ones, (1, 0), value=1.0
            )
        first, shares = self._cubic(batch.distance)
        near = first[:, None] + torch.arange(4)
        return torch.cat([near, sites], 1), torch.cat([shares, ones], 1)

    def _cubic(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """The first of four table rows around a distance, and Lagrange's weights of the four."""
        scaled = distance.double() * (ROWS_A_STEP / self._settings.edge_step)
        scaled = scaled.clamp_(1, self._rows - 3)
        first = scaled.floor().clamp_max_(self._rows - 3)
        x = (scaled - first).float()
        before, after, beyond = x + 1, x - 1, x - 2
        shares = [
            x * after * beyond / -6,
            before * after * beyond / 2,
            before * x * beyond / -2,
            before * x * after / 6,
        ]
        return first.long() - 1, torch.stack(shares, 1)


class _Folded:
    """One gated convolution; its table and the rows of the sites lie in one buffer."""

    def __init__(
        self, layer: GatedConvolution, distances: Tensor, settings: "TrunkSettings"
    ) -> None:
        scale, shift = _scale_and_shift(layer.gate_norm)
        weights = (layer.site.weight * scale[:, None], layer.neighbour.weight * scale[:, None])
        self._weight = torch.cat(weights).t().contiguous()  # (width, 4 width)
        bias = layer.site.bias * scale + shift
        self._bias = torch.cat([bias, torch.zeros_like(bias)])
        edge = (layer.edge.weight * scale[:, None]).double()
        self._table = (expand(distances, settings) @ edge.t()).float()  # (rows, 2 width)
        self._scale, self._shift = _scale_and_shift(layer.sum_norm)
        self._buffer = self._table

    def __call__(self, sites: Tensor, where: Tensor, share: Tensor, batch: Batch) -> Tensor:
        terms = self._terms(sites)
        mixed = F.embedding_bag(where, terms, mode="sum", per_sample_weights=share)
        gate, core = mixed.chunk(2, dim=1)
        messages = F.softplus(core).mul_(torch.sigmoid(gate))  # (edges, width)
        return F.softplus(sites + torch.addcmul(self._shift, _sums(messages, batch), self._scale))

    def _terms(self, sites: Tensor) -> Tensor:
        """The table, then for every site its row as a centre and its row as a neighbour."""
        if len(sites) < FEW_SITES:
            sites = F.pad(sites, (0, 0, 0, FEW_SITES - len(sites)))
        rows, wanted = len(self._table), len(self._table) + 2 * len(sites)
        if len(self._buffer) < wanted:
            self._buffer = self._table.new_empty(wanted, self._table.shape[1])
            self._buffer[:rows] = self._table
        out = self._buffer[rows:wanted].view(len(sites), -1)
        torch.addmm(self._bias, sites, self._weight, out=out)
        return self._buffer[:wanted]


def _sums(messages: Tensor, batch: Batch) -> Tensor:
    if batch.degree and batch.weight is None:
        return messages.view(len(batch.numbers), batch.degree, -1).sum(1)
    return F.embedding_bag(
        torch.arange(len(messages)),
        messages,
        batch.first_edge,
        mode="sum",
        per_sample_weights=batch.weight,
    )


def _distances(settings: "TrunkSettings") -> Tensor:
    """Where the table has rows, in Å."""
    if settings.edge_features == "onehot":
        return ONEHOT_START + ONEHOT_WIDTH * (torch.arange(ONEHOT_BINS, dtype=torch.float64) + 0.5)
    steps = settings.edge_stop / settings.edge_step + BEYOND
    rows = torch.arange(int(steps * ROWS_A_STEP) + 4, dtype=torch.float64)
    return rows * (settings.edge_step / ROWS_A_STEP)


def _scale_and_shift(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale
