"""Folded networks as a few compiled steps, all members of an ensemble in each; several times quicker on a CPU.

What is shared by the members is done once: the places in the tables, their cubic shares, which edges are alike.
The formulation in torch (`folded.py`) is what it must agree with, to the rounding of single precision.
"""

from collections.abc import Callable, Sequence
from math import log, log2
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.graphs.collate import Batch
from models.graphs.radial import ONEHOT_START, ONEHOT_WIDTH
from models.networks.folded import (
    Folded,
    FoldedConvolution,
    FoldedResidual,
    FoldedTrunk,
    ReadOut,
    exact_end,
)
from models.networks.readout import LinearReadout, Output, Readout, side_by_side
from models.networks.site import SiteReadout
from models.networks.trunk import Trunk

try:
    from models.networks import _folded as steps
except ImportError:  # built without a compiler: the same by torch, several times slower
    steps = None  # type: ignore[assignment]

LANES, PANEL = 16, 32  # floats that rows are padded to; columns of a matrix that lie together
LOG2_E = log2(np.e)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def there() -> bool:
    """Whether the compiled steps are."""
    return steps is not None


class CompiledNetwork:
    """Answers as the members in evaluation do; gated or residual convolutions."""

    edges_at_once = (
        64_000  # it goes through these a few crystals a time; the tables it fetches once
    )

    def __init__(self, networks: Sequence[Trunk]) -> None:
        self._trunk = CompiledTrunk([FoldedTrunk(each) for each in networks])
        self._end = end([cast("ReadOut", each).readout for each in networks])
        self._ends = [exact_end(each) for each in networks]

    def __call__(self, batch: Batch) -> Output:
        """The answers of a batch, members first."""
        layers = self._trunk.layers(batch, every=self._end is None)
        if self._end:
            return self._end(layers[-1], batch)
        own = torch.from_numpy(layers)[..., : self._trunk.width].unbind(1)
        pairs = zip(self._ends, own, strict=True)
        return side_by_side([exact(each.unbind(0), batch) for exact, each in pairs])


class CompiledTrunk:
    """The convolutions of all members."""

    @torch.inference_mode()
    def __init__(self, trunks: Sequence[FoldedTrunk]) -> None:
        one = trunks[0]
        self.width = one.start.shape[1]
        self._convolutions, self._members = len(one.convolutions), len(trunks)
        self._padded = -(-self.width // LANES) * LANES
        bins = (0.0, ONEHOT_START, ONEHOT_WIDTH)
        known = (one.rows_an_angstrom, 0.0, 0.0) if one.rows_an_angstrom else bins
        layers = [trunk.convolutions[at] for at in range(self._convolutions) for trunk in trunks]
        own = self.width if isinstance(layers[0], FoldedResidual) else 0
        self._shape = (self._members, self._convolutions, self._padded, own, *known)
        turned = [_Turned(each, self._padded) for each in layers]
        start = torch.stack([_padded(trunk.start, self._padded) for trunk in trunks])
        first = [
            (_padded(each.before(trunk.start), self._padded).double() @ to.weight.double() + to.bias.double()).float()
            for trunk, each, to in zip(trunks, layers, turned, strict=False)
        ]  # fmt: skip
        later = turned[self._members :]
        self._weights = (
            start.numpy(),
            _stacked(first),
            _stacked([each.table for each in turned]),
            _stacked([_panels(each.weight) for each in later]),
            _stacked([each.bias for each in later]),
            *(_residual(layers, trunks, self._padded) if own else _gated(layers, self._padded)),
        )

    def layers(self, batch: Batch, *, every: bool) -> Floats:
        """After the last convolution, or before the first and after each.  # (1 or all, members, sites, padded)"""
        kept = self._convolutions + 1 if every else 1
        out = np.empty((kept, self._members, len(batch.numbers), self._padded), np.float32)
        steps.convolved(
            self._shape, self._weights, batch.numbers.numpy(), batch.first_site.numpy(),
            batch.first_edge.numpy(), batch.neighbour.numpy(), batch.distance.numpy(),
            None if batch.weight is None else batch.weight.numpy(), out,
        )  # fmt: skip
        return out


class _Turned:
    """A convolution as the compiled step reads it: gates and cores as powers of two, padded."""

    def __init__(self, folded: Folded, width: int) -> None:
        core = -LOG2_E if isinstance(folded, FoldedResidual) else LOG2_E
        powers = folded.weight.new_tensor([-LOG2_E, core] * 2)[:, None]
        own = len(folded.weight)
        parts = folded.weight.view(own, 4, own) * powers
        self.weight = _padded(F.pad(parts, (0, 0, 0, 0, 0, width - own)), width).flatten(1)
        self.bias = _padded(folded.bias.view(4, own) * powers, width).flatten()
        self.table = _padded(folded.table.view(-1, 2, own) * powers[:2], width).flatten(1)


def _gated(layers: Sequence[Folded], width: int) -> tuple[Floats, ...]:
    """What the compiled step reads of gated ones alone."""
    after = [
        torch.stack([each.scale * (log(2) / 2), each.shift])
        for each in cast("Sequence[FoldedConvolution]", layers)
    ]
    return (_stacked([_padded(each, width) for each in after]),)


def _residual(
    folded: Sequence[Folded], trunks: Sequence[FoldedTrunk], width: int
) -> tuple[Floats, ...]:
    """What the compiled step reads of residual ones alone."""
    layers = [each.layer for each in cast("Sequence[FoldedResidual]", folded)]
    norms = [(each.site_norm, each.sum_norm) for each in layers]
    norms += [(last, last) for last in (cast("nn.LayerNorm", each.norm) for each in trunks)]
    rows = [torch.stack([one.weight, one.bias, two.weight, two.bias]) for one, two in norms]
    up, down = ([getattr(each, name) for each in layers] for name in ("up", "down"))
    return (
        _stacked([_padded(each, width) for each in rows]),
        *_layers_of(up, width),
        *_layers_of(down, width),
    )


def _layers_of(layers: Sequence[nn.Linear], rows: int) -> tuple[Floats, Floats]:
    """Weights in panels, of so many rows, and biases."""
    turned = [
        _padded(F.pad(each.weight.detach(), (0, rows - each.in_features)).t(), _panelled(each))
        for each in layers
    ]
    return _stacked([_panels(each) for each in turned]), _stacked(
        [_padded(each.bias, _panelled(each)) for each in layers]
    )


class Dense:
    """The same hidden layers, each of all members at once."""

    def __init__(self, members: Sequence[nn.ModuleList]) -> None:
        self._layers: list[tuple[Floats, Floats, int]] = []
        for layer in zip(*members, strict=True):
            wide = layer[0].in_features
            self._layers.append((*_layers_of(layer, wide), wide))

    def __call__(self, rows: Floats) -> Floats:
        """What leaves the last one; columns beyond its own mean nothing."""
        for weights, bias, width in self._layers:
            out = np.empty((*rows.shape[:2], bias.shape[1]), np.float32)
            steps.dense((len(rows), rows.shape[2], width), rows, weights, bias, out)
            rows = out
        return rows


class Told:
    """The last layer of all members, in double precision."""

    def __init__(self, members: Sequence[nn.Linear]) -> None:
        self._weight = np.stack([each.weight.detach().double().numpy() for each in members])
        self._bias = np.stack([each.bias.detach().double().numpy() for each in members])

    def __call__(self, rows: Floats) -> Doubles:
        """The numbers of each row.  # (members, rows, outputs)"""
        members, outputs, width = self._weight.shape
        out = np.empty((*rows.shape[:2], outputs))
        steps.told((members, rows.shape[2], width, outputs), rows, self._weight, self._bias, out)
        return out


class LinearEnd:
    """`LinearReadout` of all members."""

    def __init__(self, readouts: Sequence[LinearReadout]) -> None:
        self._sites, self._out = (
            Dense([each.site_layers for each in readouts]),
            Told([each.out for each in readouts]),
        )
        self._width = readouts[0].out.in_features

    def __call__(self, sites: Floats, batch: Batch) -> Output:
        """The answers, members first."""
        sites = self._sites(sites)
        scalars = self._out(sites)
        first, counts = batch.first_site.numpy(), batch.n_sites.double().numpy()
        with np.errstate(invalid="ignore"):  # whoever asks looks for what is not finite
            values = np.add.reduceat(scalars, first, 1) / counts[:, None]
        return _output(values, _mean(sites, self._width, batch), scalars)


class MeanEnd:
    """`Readout` of the last layer, of all members."""

    def __init__(self, readouts: Sequence[Readout]) -> None:
        self._sites = Dense([each.site_layers for each in readouts])
        self._hidden = Dense([each.hidden for each in readouts])
        self._out = Told([each.out for each in readouts])
        self._width = readouts[0].width

    def __call__(self, sites: Floats, batch: Batch) -> Output:
        """The answers, members first."""
        pooled = _mean(self._sites(sites), self._width, batch)
        crystals = F.softplus(torch.from_numpy(pooled)).float().numpy()
        return _output(self._out(self._hidden(crystals)), pooled)


class SiteEnd:
    """`SiteReadout` of all members."""

    def __init__(self, readouts: Sequence[SiteReadout]) -> None:
        self._sites = Dense([each.site_layers for each in readouts])
        self._out = Told([each.out for each in readouts])
        self._width = readouts[0].width

    def __call__(self, sites: Floats, batch: Batch) -> Output:
        """The answers, members first."""
        return _output(self._out(self._sites(sites)), _mean(sites, self._width, batch))


End = Callable[[Floats, Batch], Output]


def end(readouts: Sequence[nn.Module]) -> End | None:
    """The compiled read-out of these; none of those that read all layers."""
    one = readouts[0]
    if isinstance(one, LinearReadout):
        return LinearEnd(cast("Sequence[LinearReadout]", readouts))
    if isinstance(one, SiteReadout):
        return SiteEnd(cast("Sequence[SiteReadout]", readouts))
    if isinstance(one, Readout) and not one.full:
        return MeanEnd(cast("Sequence[Readout]", readouts))
    return None


def _mean(sites: Floats, width: int, batch: Batch) -> Doubles:
    """The mean over the sites of each crystal.  # (members, crystals, width)"""
    out = np.empty((len(sites), batch.n_crystals, width))
    steps.mean((len(sites), sites.shape[2], width), sites, batch.first_site.numpy(), out)
    return out


def _output(values: Doubles, features: Doubles, sites: Doubles | None = None) -> Output:
    told = None if sites is None else torch.from_numpy(sites)
    return Output(torch.from_numpy(values), torch.from_numpy(features), told)


def _padded(rows: Tensor, width: int) -> Tensor:
    """With zeros up to this width."""
    return F.pad(rows.detach(), (0, width - rows.shape[-1]))


def _panelled(layer: nn.Linear) -> int:
    return -(-layer.out_features // PANEL) * PANEL


def _panels(weight: Tensor) -> Tensor:
    """Columns that are needed together lie together.  # (panels, rows, PANEL)"""
    return weight.reshape(len(weight), -1, PANEL).transpose(0, 1)


def _stacked(tensors: Sequence[Tensor]) -> Floats:
    return torch.stack(list(tensors)).contiguous().numpy() if tensors else np.empty(0, np.float32)
