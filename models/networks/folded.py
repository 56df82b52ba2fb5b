"""The trained network rearranged for a CPU: nothing is computed twice, and little a second time an edge.

Evaluation BatchNorm is a scale and a shift, folded into the weights. What is left of an edge is a function of
its distance alone, W₃ u(d), whatever layers u has passed: it is tabulated and interpolated with polynomials of the fifth degree, to the accuracy
of single precision. Then the sum over its six table rows and the two rows of its sites is one gathering sum.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.graphs.collate import Batch
from models.graphs.radial import ONEHOT_BINS, ONEHOT_START, ONEHOT_WIDTH, bins, expand
from models.networks.convolution import GatedConvolution, ResidualConvolution
from models.networks.readout import Output, side_by_side
from models.networks.trunk import Trunk

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import TrunkSettings

ROWS_A_STEP = 12  # table rows between two Gaussians: the polynomial's error is then 2e-7
TAPS = 6  # rows around a distance
FEW_SITES = 16  # products of fewer rows are summed in another order by the library
BEYOND = 6  # steps past the last Gaussian, where all are zero

Places = tuple[Tensor, Tensor]


class ReadOut(Protocol):
    """A network that ends with a read-out of its sites' vectors."""

    readout: nn.Module


class FoldedNetwork:
    """Answers as the members in evaluation do, several times faster; gated or residual convolutions."""

    def __init__(self, networks: Sequence[Trunk]) -> None:
        self._trunks = [FoldedTrunk(each) for each in networks]
        self._ends = [exact_end(each) for each in networks]

    def __call__(self, batch: Batch) -> Output:
        """The answers of a batch, members first; not to be called from two threads at once."""
        places = self._trunks[0].places(batch)
        layers = [trunk.layers(batch, places) for trunk in self._trunks]
        return side_by_side(
            [end(member, batch) for end, member in zip(self._ends, layers, strict=True)]
        )


class ExactEnd:
    """A read-out in double precision: in which no answer depends on how many are pooled at once."""

    def __init__(self, readout: nn.Module) -> None:
        self._readout = deepcopy(readout).eval().requires_grad_(requires_grad=False).double()
        self.all_layers = bool(getattr(readout, "full", False))

    def __call__(self, layers: Sequence[Tensor], batch: Batch) -> Output:
        """The answer from the vectors after each convolution, or after the last one."""
        kept = layers if self.all_layers else layers[-1:]
        output: Output = self._readout([each.double() for each in kept], batch)
        return output


def exact_end(network: Trunk) -> ExactEnd:
    """The network's read-out, exactly."""
    return ExactEnd(cast("ReadOut", network).readout)


class FoldedTrunk:
    """The sites' vectors as the trunk in evaluation gives them, several times faster."""

    def __init__(self, trunk: Trunk) -> None:
        trunk.eval()
        self._settings = trunk.trunk_settings
        with torch.inference_mode():
            self.start = trunk.embedding(trunk.elements)  # (101, width)
            told = expand(_distances(self._settings), self._settings)
            told = deepcopy(trunk.told).double()(told)
            self.convolutions = [_folded(each, told) for each in trunk.convolutions]
            self.norm = trunk.norm
        self._rows = len(told)

    @property
    def rows_an_angstrom(self) -> float:
        """Of the tables; 0 where they have one for each bin of distances."""
        onehot = self._settings.edge_features == "onehot"
        return 0.0 if onehot else ROWS_A_STEP / self._settings.edge_step

    def layers(self, batch: Batch, places: Places) -> list[Tensor]:
        """Before the first and after each convolution; not to be called from two threads at once."""
        layers = [self.start.index_select(0, batch.numbers)]
        for convolution in self.convolutions:
            layers.append(convolution(layers[-1], *places, batch))
        return [*layers[:-1], self.norm(layers[-1])]

    def places(self, batch: Batch) -> Places:
        """Rows that add up to each edge, and their weights; for all members.  # (edges, 8) or (edges, 3)"""
        sites = self._rows + 2 * torch.stack([batch.centre, batch.neighbour], 1)
        sites[:, 1] += 1
        ones = batch.distance.new_ones(len(sites), 2)
        if self._settings.edge_features == "onehot":
            return torch.cat([bins(batch.distance)[:, None], sites], 1), F.pad(
                ones, (1, 0), value=1.0
            )
        first, shares = self._around(batch.distance)
        near = first[:, None] + torch.arange(TAPS)
        return torch.cat([near, sites], 1), torch.cat([shares, ones], 1)

    def _around(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """The first of the table rows around a distance, and Lagrange's weights of all of them."""
        before = TAPS // 2 - 1
        last = self._rows - TAPS // 2 - 1
        scaled = (distance.double() * self.rows_an_angstrom).clamp_(before, last)
        first = scaled.floor()
        points = torch.arange(TAPS, dtype=torch.float64) - before
        away = (scaled - first)[:, None] - points  # (edges, TAPS)
        shares = [
            torch.cat([away[:, :at], away[:, at + 1 :]], 1).prod(1)
            / torch.cat([points[at] - points[:at], points[at] - points[at + 1 :]]).prod()
            for at in range(TAPS)
        ]
        return first.long() - before, torch.stack(shares, 1).float()


class Folded:
    """Of a convolution what its edges look up; the table and the rows of the sites lie in one buffer."""

    def __init__(
        self,
        layer: GatedConvolution | ResidualConvolution,
        told: Tensor,
        scale: Tensor | float = 1.0,
        shift: Tensor | float = 0.0,
    ) -> None:
        weights = (layer.site.weight * scale, layer.neighbour.weight * scale)
        self.weight = torch.cat(weights).t().contiguous()  # (width, 4 width)
        bias = (layer.site.bias[:, None] * scale)[:, 0] + shift
        self.bias = torch.cat([bias, torch.zeros_like(bias)])
        edge = (layer.edge.weight * scale).double()
        self.table = (told @ edge.t()).float()  # (rows, 2 width)
        self._buffer = self.table

    def before(self, sites: Tensor) -> Tensor:
        """Of the sites' vectors what the products are made of."""
        return sites

    def __call__(self, sites: Tensor, where: Tensor, share: Tensor, batch: Batch) -> Tensor:
        """New vectors of the sites."""
        raise NotImplementedError

    def mixed(self, sites: Tensor, where: Tensor, share: Tensor) -> tuple[Tensor, ...]:
        """Gate and core of each edge."""
        rows, wanted = len(self.table), len(self.table) + 2 * len(sites)
        if len(self._buffer) < wanted:
            self._buffer = self.table.new_empty(wanted, self.table.shape[1])
            self._buffer[:rows] = self.table
        # The table, then for every site its row as a centre and its row as a neighbour.
        self._buffer[rows:wanted].view(len(sites), -1)[:] = product(self.bias, sites, self.weight)
        terms = self._buffer[:wanted]
        return F.embedding_bag(where, terms, mode="sum", per_sample_weights=share).chunk(2, dim=1)


class FoldedConvolution(Folded):
    """One gated convolution."""

    def __init__(self, layer: GatedConvolution, told: Tensor) -> None:
        scale, shift = _scale_and_shift(layer.gate_norm)
        super().__init__(layer, told, scale[:, None], shift)
        self.scale, self.shift = _scale_and_shift(layer.sum_norm)

    def __call__(self, sites: Tensor, where: Tensor, share: Tensor, batch: Batch) -> Tensor:
        """New vectors of the sites."""
        gate, core = self.mixed(sites, where, share)
        messages = F.softplus(core).mul_(torch.sigmoid(gate))  # (edges, width)
        return F.softplus(sites + torch.addcmul(self.shift, _sums(messages, batch), self.scale))


class FoldedResidual(Folded):
    """One residual convolution."""

    def __init__(self, layer: ResidualConvolution, told: Tensor) -> None:
        super().__init__(layer, told)
        self.layer = layer

    def before(self, sites: Tensor) -> Tensor:
        """Of the sites' vectors what the products are made of."""
        return cast("Tensor", self.layer.site_norm(sites))

    def __call__(self, sites: Tensor, where: Tensor, share: Tensor, batch: Batch) -> Tensor:
        """New vectors of the sites."""
        layer = self.layer
        gate, core = self.mixed(self.before(sites), where, share)
        sums = layer.sum_norm(_sums(torch.sigmoid(gate) * F.silu(core), batch))
        up = F.silu(product(layer.up.bias, sums, layer.up.weight.t()))
        return sites + product(layer.down.bias, up, layer.down.weight.t())


def _folded(layer: nn.Module, told: Tensor) -> Folded:
    if isinstance(layer, ResidualConvolution):
        return FoldedResidual(layer, told)
    assert isinstance(layer, GatedConvolution)
    return FoldedConvolution(layer, told)


def product(bias: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """The bias + rows · weight, of which no row depends on how many there are."""
    few = len(rows)
    if few < FEW_SITES:
        rows = F.pad(rows, (0, 0, 0, FEW_SITES - few))
    return torch.addmm(bias, rows, weight)[:few]


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
