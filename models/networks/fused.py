"""The gated convolution as one compiled step, forwards and backwards; several times quicker on a CPU.

The formulation in torch (`convolution.py`) is what it must agree with, to the rounding of single precision.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.graphs.collate import Batch
from models.graphs.radial import Band, Kinds, Merged

try:
    from models.networks import _edges as compiled
except ImportError:  # built without a compiler: the same by torch, several times slower
    compiled = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from models.networks.convolution import GatedConvolution, ResidualConvolution

FEW_FEATURES = 16  # more than these a product of matrices does quicker


def at_home(values: Tensor) -> bool:
    """Whether the compiled step is there and made for these."""
    return compiled is not None and values.device.type == "cpu" and values.dtype == torch.float32


def fits(layer: "GatedConvolution", sites: Tensor, edges: Tensor | Band) -> bool:
    """Whether the compiled step can do this."""
    told = edges.share if isinstance(edges, Band) else edges
    return (
        at_home(sites)
        and at_home(told)
        and not told.requires_grad
        and layer.edge.weight.dtype == torch.float32
        and len(sites) > 1 < len(edges)  # norms of one row are refused by torch
        and (layer.training or not torch.is_grad_enabled())
        and layer.gate_norm.momentum is not None
        and type(layer.gate_norm) is nn.BatchNorm1d  # not one that asks other processes
    )


def merged(batch: Batch) -> Merged:
    """Edges of a site that lead to one neighbour over one distance, as one."""
    given = _arrays(batch.first_edge, batch.neighbour, batch.distance, batch.weight)
    first, near = torch.empty_like(batch.first_edge), torch.empty_like(batch.neighbour)
    distance, times, weight = torch.empty(3, len(near))
    row = torch.empty_like(near)
    count = compiled.merge(*given, *_arrays(first, near, distance, times, weight, row))
    return Merged(first, near[:count], distance[:count], times[:count], weight[:count], row)


def lean(batch: Batch) -> Batch:
    """The same with edges that are alike as one; their weight is the sum of theirs."""
    one = merged(batch)
    counts = torch.diff(one.first_edge, append=torch.tensor([len(one.neighbour)]))
    centre = torch.arange(len(counts)).repeat_interleave(counts)
    return replace(
        batch, first_edge=one.first_edge, centre=centre, neighbour=one.neighbour,
        distance=one.distance, weight=one.weight, degree=0,
    )  # fmt: skip


def summed(layer: "ResidualConvolution", sites: Tensor, edges: Kinds, batch: Batch) -> Tensor:
    """What a site's edges tell it.  # (sites, width)"""
    sums: Tensor = _Sum.apply(  # type: ignore[no-untyped-call]
        batch,
        edges.which,
        sites,
        layer.edge(edges.features),
        layer.site.weight,
        layer.neighbour.weight,
        layer.site.bias,
    )
    return sums


def convolved(
    layer: "GatedConvolution", sites: Tensor, edges: Tensor | Band, batch: Batch
) -> Tensor:
    """New vectors of the sites.  # (sites, width)"""
    if isinstance(edges, Band):
        band, table = edges, layer.edge.weight.t()
    elif edges.shape[1] <= FEW_FEATURES:
        band, table = Band.all_rows(edges), layer.edge.weight.t()
    else:
        band, table = Band.row_each(len(edges)), layer.edge(edges)
    gate, total = layer.gate_norm, layer.sum_norm
    new: Tensor = _Convolution.apply(  # type: ignore[no-untyped-call]
        layer, batch, band, torch.is_grad_enabled(), sites, table,
        layer.site.weight, layer.neighbour.weight, layer.site.bias,
        gate.weight, gate.bias, total.weight, total.bias,
    )  # fmt: skip
    return new


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, layer: "GatedConvolution", batch: Batch, band: Band, learns: bool, sites: Tensor,
        table: Tensor, site: Tensor, neighbour: Tensor, bias: Tensor, *norms: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(sites, table, site, neighbour, *norms)
        gate, total = layer.gate_norm, layer.sum_norm
        joined = band.merged
        first, near, times, weight = (
            (joined.first_edge, joined.neighbour, joined.times, joined.weight)
            if joined
            else (batch.first_edge, batch.neighbour, None, batch.weight)
        )
        given = _arrays(
            site, neighbour, bias, first, near, band.start, band.share, table, times, weight, sites, *norms,
            gate.running_mean, gate.running_var, total.running_mean, total.running_var,
        )  # fmt: skip
        count, width = sites.shape
        new, sums, terms = (
            torch.empty_like(sites),
            torch.empty_like(sites),
            sites.new_empty(count, 4 * width),
        )
        kept = (torch.empty_like(terms), terms.new_empty(table.shape)) if learns else (None, None)
        made = _arrays(sites.new_empty(6 * width), terms, sums, *kept)
        assert gate.momentum is not None
        compiled.forward(
            given, layer.training, gate.eps, gate.momentum, made[0], new.numpy(), *made[1:]
        )
        if layer.training:
            for norm in (gate, total):
                assert norm.num_batches_tracked is not None
                norm.num_batches_tracked.add_(1)
        ctx.given, ctx.made = given, made
        return new

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sites, table, site, *_ = ctx.saved_tensors  # and that none was changed in between
        width = sites.shape[1]
        rows = table.new_empty(table.shape)
        scale, shift = sites.new_empty(2, 2 * width), sites.new_empty(2, width)
        vectors, own, near = torch.empty_like(sites), torch.empty_like(site), torch.empty_like(site)
        out = _arrays(vectors, rows, scale, shift, own, near)
        compiled.backward(ctx.given, *ctx.made, *_arrays(gradient), *out)
        return (
            None, None, None, None, vectors, rows, own, near,
            torch.zeros_like(scale[0]),  # what all edges share, their norm takes away
            scale[0], scale[1], shift[0], shift[1],
        )  # fmt: skip


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, batch: Batch, which: Tensor, sites: Tensor, table: Tensor, site: Tensor, neighbour: Tensor,
        bias: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(sites, table, site, neighbour, bias)
        given = _arrays(
            site, neighbour, bias, batch.first_edge, batch.neighbour, which, table.new_ones(len(which)), table,
            None, batch.weight, sites,
        )  # fmt: skip
        count, width = sites.shape
        sums, terms = torch.empty_like(sites), sites.new_empty(count, 4 * width)
        made = _arrays(terms)
        compiled.summed(given, *made, sums.numpy())
        ctx.given, ctx.made = given, made
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        out = [torch.empty_like(each) for each in ctx.saved_tensors]
        compiled.back_from_sum(ctx.given, *ctx.made, *_arrays(gradient, *out))
        return None, None, *out


def _arrays(*tensors: Tensor | None) -> tuple[NDArray[Any] | None, ...]:
    return tuple(None if each is None else each.detach().contiguous().numpy() for each in tensors)
