"""The nearest neighbours of each site, by two rules for what happens when the last is one of several equals."""

from dataclasses import dataclass

import numpy as np

from models.settings.graph import GraphSettings
from models.structures.cells import Floats
from models.structures.neighbours import Ints, Pairs, Surroundings, Wanted

FADE = 0.15  # beyond its last neighbour × (1 + FADE), a site sees nothing
RIM = 1.0  # Å before the radius over which neighbours fade out
TIE = 1e-3  # Å; what a structure file's rounding may make of equal distances


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Edges sorted by centre."""

    counts: Ints  # (N,)
    index: Ints  # (E,) the neighbour's site
    distance: Floats  # (E,), Å
    weight: Floats | None = None  # (E,)
    ambiguous: bool = False  # another order of equals would give another graph


def shell(around: Surroundings, settings: GraphSettings) -> Edges:
    """Neighbours fade out beyond the last one, so that nothing hangs on a choice among equals.

    The distance of the last neighbour is continuous in all positions and the same in every supercell,
    and so are these weights.
    """
    radius = settings.radius
    pairs = around.near(Wanted(settings.max_neighbours, radius, stretch=1 + FADE))
    last = np.minimum(pairs.last, radius)[pairs.centre]
    weight = fade((pairs.distance - last) / (FADE * last))
    if len(weight) and pairs.distance.max() > radius - RIM:
        weight = weight * fade((pairs.distance - (radius - RIM)) / RIM)
    seen = weight > 1e-9
    centre, point = pairs.centre[seen], pairs.point[seen]
    counts = np.bincount(centre, minlength=len(pairs.last))
    return Edges(counts, pairs.points.site[point], pairs.distance[seen], weight[seen])


def released(around: Surroundings, numbers: Ints, settings: GraphSettings) -> Edges:
    """The published code's choice: a stable sort of pymatgen's list; missing ones are site 0, far away."""
    count, radius = settings.max_neighbours, settings.radius
    pairs = around.near(Wanted(count, radius, beyond=TIE))
    sites = len(pairs.last)
    counts = np.bincount(pairs.centre, minlength=sites)
    index = np.zeros((sites, count), np.int64)
    distance = np.full((sites, count), radius + 1.0)
    order = _pymatgen_order(around, pairs, radius)
    centre = pairs.centre[order]
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[centre]
    kept = rank < count
    index[centre[kept], rank[kept]] = pairs.points.site[pairs.point[order[kept]]]
    distance[centre[kept], rank[kept]] = pairs.distance[order[kept]]
    unclear = _unclear(pairs, numbers, counts, count)
    return Edges(np.where(counts, count, 0), index.ravel(), distance.ravel(), ambiguous=unclear)


def fade(x: Floats) -> Floats:
    """1 up to 0, 0 from 1 on, smooth."""
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip(x, 0, 1)))


def _pymatgen_order(around: Surroundings, pairs: Pairs, radius: float) -> Ints:
    """Centre and distance; equals as the search meets them: cube by cube, each from its end.

    Its cubes are as wide as the search radius and start at the outermost sites less that radius.
    """
    start = around.centres.min(1)[:, None] - radius - 1e-8
    cube = np.floor((pairs.points.position[:, pairs.point] - start + 1e-8) / radius)
    keys = (-pairs.point, cube[2], cube[1], cube[0], pairs.distance, pairs.centre)
    return np.lexsort(keys)


def _unclear(pairs: Pairs, numbers: Ints, counts: Ints, count: int) -> bool:
    """Whether some site's cut falls between neighbours that are equally far but not alike."""
    cut = counts > count
    if not cut.any():
        return False
    tied = cut[pairs.centre] & (np.abs(pairs.distance - pairs.last[pairs.centre]) <= TIE)
    centre, site = pairs.centre[tied], pairs.points.site[pairs.point[tied]]
    first = np.flatnonzero(np.diff(centre, prepend=-1))
    portrait = _portraits(pairs, numbers)[:, site]
    spread = np.maximum.reduceat(portrait, first, axis=1) - np.minimum.reduceat(
        portrait, first, axis=1
    )
    return bool((spread > 1e-2).any())


def _portraits(pairs: Pairs, numbers: Ints) -> Floats:
    """Figures that are alike for sites that symmetry makes alike.  # (6, N)"""
    sites = len(numbers)
    element = numbers[pairs.points.site[pairs.point]].astype(float)
    sums = [
        np.bincount(pairs.centre, weights, sites)
        for weights in (
            np.ones_like(element),
            pairs.distance,
            element,
            element**2,
            element * pairs.distance,
        )
    ]
    return np.stack([numbers.astype(float), *sums])
