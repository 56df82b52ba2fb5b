"""Graph convolutions, factorised: what depends on a site alone is computed once a site, not once an edge."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.graphs.collate import Batch
from models.graphs.radial import Band, Kinds
from models.networks import fused


class GatedConvolution(nn.Module):
    """Eq. 5: v_i + Σ_j σ(z W_f + b_f) ⊙ g(z W_s + b_s), z = v_i ⊕ v_j ⊕ u_ij.

    W z is the sum of three products, W₁ v_i + W₂ v_j + W₃ u_ij, of which the first two are made once a
    site. First half of the rows: the gate; second half: the core.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.site = nn.Linear(width, 2 * width)
        self.neighbour = nn.Linear(width, 2 * width, bias=False)
        self.edge = nn.Linear(edge_width, 2 * width, bias=False)
        self.gate_norm = nn.BatchNorm1d(2 * width)
        self.sum_norm = nn.BatchNorm1d(width)
        _as_one_layer(self.site, self.neighbour, self.edge)

    def forward(self, sites: Tensor, edges: Tensor | Band, batch: Batch) -> Tensor:
        """New vectors of the sites.  # (sites, width)"""
        if fused.fits(self, sites, edges):
            return fused.convolved(self, sites, edges, batch)
        return self.in_torch(sites, edges, batch)

    def in_torch(self, sites: Tensor, edges: Tensor | Band, batch: Batch) -> Tensor:
        """The same, on any device, in any precision."""
        mixed = self.edge(dense(edges, self.edge))  # (edges, 2 width)
        mixed = mixed + self.neighbour(sites).index_select(0, batch.neighbour)
        mixed = mixed + spread(self.site(sites), batch)
        gate, core = self.gate_norm(mixed).chunk(2, dim=1)
        messages = torch.sigmoid(gate) * F.softplus(core)
        return F.softplus(sites + self.sum_norm(gather(messages, batch)))


class SharedConvolution(nn.Module):
    """Eq. 4: g((Σ_j v_j ⊕ u_ij) W_c + v_i W_s + b), one weight for all neighbours.

    The sum is taken before the product; normalised as Eq. 5 is, without which it does not train well.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.site = nn.Linear(width, width)
        self.neighbour = nn.Linear(width, width, bias=False)
        self.edge = nn.Linear(edge_width, width, bias=False)
        self.sum_norm = nn.BatchNorm1d(width)
        _as_one_layer(self.site, self.neighbour, self.edge)

    def forward(self, sites: Tensor, edges: Tensor | Band, batch: Batch) -> Tensor:
        """New vectors of the sites.  # (sites, width)"""
        edges = dense(edges, self.edge)
        near = gather(sites.index_select(0, batch.neighbour), batch)
        mixed = self.neighbour(near) + self.edge(gather(edges, batch)) + self.site(sites)
        return F.softplus(self.sum_norm(mixed))


class ResidualConvolution(nn.Module):
    """v_i + W_b s(W_a |Σ_j σ(z W_f + b_f) ⊙ s(z W_s + b_s)|), z = |v_i| ⊕ |v_j| ⊕ u_ij: Eq. 5, whose sum passes two layers.

    s(x) = x σ(x), and |…| is LayerNorm: no crystal's answer depends on its batch, in training neither.
    """

    def __init__(self, width: int, edge_width: int) -> None:
        super().__init__()
        self.site_norm = nn.LayerNorm(width)
        self.site = nn.Linear(width, 2 * width)
        self.neighbour = nn.Linear(width, 2 * width, bias=False)
        self.edge = nn.Linear(edge_width, 2 * width, bias=False)
        self.sum_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(self, sites: Tensor, edges: Tensor | Kinds, batch: Batch) -> Tensor:
        """New vectors of the sites.  # (sites, width)"""
        normal = self.site_norm(sites)
        if isinstance(edges, Kinds):
            summed = fused.summed(self, normal, edges, batch)
        else:
            summed = self.summed(normal, edges, batch)
        sums = self.sum_norm(summed)
        new: Tensor = sites + self.down(F.silu(self.up(sums)))
        return new

    def summed(self, sites: Tensor, edges: Tensor, batch: Batch) -> Tensor:
        """What a site's edges tell it, on any device, in any precision.  # (sites, width)"""
        mixed = self.edge(edges) + self.neighbour(sites).index_select(0, batch.neighbour)
        gate, core = (mixed + spread(self.site(sites), batch)).chunk(2, dim=1)
        return gather(torch.sigmoid(gate) * F.silu(core), batch)


def dense(edges: Tensor | Band, taken: nn.Linear) -> Tensor:
    """All features of the edges.  # (edges, …)"""
    return edges if isinstance(edges, Tensor) else edges.dense(taken.in_features)


def spread(sites: Tensor, batch: Batch) -> Tensor:
    """A site's row for each of its edges.  # (edges, …)"""
    if batch.degree:
        return sites.repeat_interleave(batch.degree, dim=0, output_size=len(batch.centre))
    return sites.index_select(0, batch.centre)


def gather(edges: Tensor, batch: Batch) -> Tensor:
    """The weighted sum over the edges of each site.  # (sites, …)"""
    if batch.weight is not None:
        edges = edges * batch.weight[:, None].to(edges.dtype)
    if batch.degree:
        return edges.view(len(batch.numbers), batch.degree, -1).sum(1)
    empty = edges.new_zeros(len(batch.numbers), edges.shape[1])
    return empty.index_add_(0, batch.centre, edges)


def _as_one_layer(*parts: nn.Linear) -> None:
    """Start as one layer over all inputs would."""
    bound = sum(part.in_features for part in parts) ** -0.5
    for part in parts:
        for values in part.parameters():
            nn.init.uniform_(values, -bound, bound)
