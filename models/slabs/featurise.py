"""A slab with its adsorbate to the sample that the bond family reads."""

import numpy as np

from models.errors import IsolatedSite, UnfitStructure
from models.graphs.elements import check_known
from models.graphs.graph import Graph
from models.graphs.nearest import FADE, RIM, fade
from models.graphs.voronoi import SURROUNDINGS, solid_angles
from models.settings.slab import SlabSettings
from models.slabs.adsorbate import Adsorbate, adsorbate
from models.slabs.slab import BONDS, Slab
from models.structures.cells import Floats
from models.structures.composition import SYMBOLS
from models.structures.neighbours import Ints, Pairs, Surroundings, Wanted, nth_smallest
from models.structures.structure import Structure

FAINT = (
    0.05  # of the largest face: over so much more than the first that is left out, a face fades in
)


def featurise(structure: Structure, settings: SlabSettings, named: str | None = None) -> Slab:
    """The slab, with the adsorbate that is named or found.

    Raises: UnsupportedElement, UnfitStructure, IsolatedSite.
    """
    check_known(structure.numbers)
    around = Surroundings(structure.lattice, structure.fractional)
    radius = max(settings.radius, SURROUNDINGS)
    pairs = around.near(Wanted(1, radius, beyond=radius))  # everything up to the radius
    who = adsorbate(structure, pairs, named)
    angle = _relative(pairs, solid_angles(around, pairs, np.ones(len(pairs.centre), bool)))
    graph, kept = _graph(structure, pairs, angle, settings)
    candidate, initial = _candidates(pairs, who, settings.candidates)
    return Slab(
        graph,
        angle[kept].astype(np.float32),
        who.anchor,
        candidate.astype(np.int32),
        initial.astype(np.float32),
    )


def _relative(pairs: Pairs, angle: Floats) -> Floats:
    largest = np.zeros(len(pairs.last))
    np.maximum.at(largest, pairs.centre, angle)
    return np.asarray(angle / np.maximum(largest, 1e-12)[pairs.centre])


def _graph(
    structure: Structure, pairs: Pairs, angle: Floats, settings: SlabSettings
) -> tuple[Graph, Ints]:
    """The edges that count, and where they are among all pairs."""
    weight = (
        _by_face(pairs, angle, settings)
        if settings.edges == "voronoi"
        else _by_distance(pairs, settings)
    )
    kept = np.flatnonzero(weight > 1e-6)
    counts = np.bincount(pairs.centre[kept], minlength=len(structure.numbers))
    alone = np.flatnonzero(counts == 0)
    if len(alone):
        raise _isolated(f"Site {alone[0]} ({SYMBOLS[structure.numbers[alone[0]]]})", settings)
    graph = Graph(
        np.asarray(structure.numbers, np.uint8),
        counts.astype(np.int32),
        pairs.points.site[pairs.point[kept]].astype(np.int32),
        pairs.distance[kept].astype(np.float32),
        weight[kept].astype(np.float32),
    )
    return graph, kept


def _by_face(pairs: Pairs, angle: Floats, settings: SlabSettings) -> Floats:
    """1 for large faces; 0 from the first one on that is too many, so that nothing hangs on a choice among equals."""
    most = nth_smallest(pairs.centre, -angle, len(pairs.last), settings.max_neighbours + 1)
    beyond = angle + np.where(np.isfinite(most), most, 0.0)[pairs.centre]
    return 1.0 - fade(beyond / FAINT)


def _by_distance(pairs: Pairs, settings: SlabSettings) -> Floats:
    """As `ties: shell` has it for crystals."""
    nearest = nth_smallest(pairs.centre, pairs.distance, len(pairs.last), settings.max_neighbours)
    last = np.minimum(nearest, settings.radius)[pairs.centre]
    weight = fade((pairs.distance - last) / (FADE * last))
    return np.asarray(weight * fade((pairs.distance - (settings.radius - RIM)) / RIM))


def _candidates(pairs: Pairs, who: Adsorbate, count: int) -> tuple[Ints, Floats]:
    """Sites of the slab, or images of them, the nearest first; equals by their index."""
    site = pairs.points.site[pairs.point]
    near = np.flatnonzero((pairs.centre == who.anchor) & ~who.molecule[site])
    order = np.lexsort((site[near], np.round(pairs.distance[near], 6)))
    chosen = near[order[:count]]
    if len(chosen) < BONDS:
        raise UnfitStructure(
            f"The adsorbate, site {who.anchor}, is too far from the slab.",
            place="adsorbate",
            expected=f"{BONDS} sites of the slab within {SURROUNDINGS:g} Å",
            got=f"{len(chosen)}",
            hint="Send the structure before relaxation, with the adsorbate on its surface.",
        )
    return site[chosen], pairs.distance[chosen]


def _isolated(site: str, settings: SlabSettings) -> IsolatedSite:
    return IsolatedSite(
        f"{site} has no neighbour within {settings.radius:g} Å.",
        place=site.lower(),
        expected="every site to have a neighbour",
        got="a site on its own",
        hint="Are lengths given in another unit than Å?",
    )
