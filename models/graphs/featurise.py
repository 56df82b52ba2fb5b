"""A structure to its graph."""

import numpy as np
from numpy.typing import NDArray

from models.errors import IsolatedSite
from models.graphs.elements import check_known
from models.graphs.graph import Graph
from models.graphs.nearest import Edges, released, shell
from models.graphs.voronoi import SEARCH, voronoi
from models.settings.graph import GraphSettings, Neighbours, Ties
from models.structures.composition import SYMBOLS
from models.structures.neighbours import Surroundings
from models.structures.structure import Structure

AMBIGUOUS = (
    "The last of the nearest neighbours is one of several equally far but unlike sites: this model's answer "
    "depends on the order of sites and on the choice of cell."
)
PADDED = (
    "A site has fewer neighbours within {radius:g} Å than this model was trained with; the missing ones "
    "are filled up as in the published code."
)


def featurise(structure: Structure, settings: GraphSettings) -> Graph:
    """The graph that a model with these settings reads.

    Raises: UnsupportedElement, IsolatedSite.
    """
    check_known(structure.numbers)
    edges = _edges(structure, settings)
    alone = np.flatnonzero(edges.counts == 0)
    if len(alone):
        raise _isolated(structure.numbers, int(alone[0]), settings)
    return Graph(
        np.asarray(structure.numbers, np.uint8),
        edges.counts.astype(np.int32),
        edges.index.astype(np.int32),
        edges.distance.astype(np.float32),
        None if edges.weight is None else edges.weight.astype(np.float32),
        edges.ambiguous,
    )


def notes(graph: Graph, settings: GraphSettings) -> tuple[str, ...]:
    """What the sender should know of an answer made from this graph."""
    if settings.ties is not Ties.RELEASED or settings.neighbours is not Neighbours.NEAREST:
        return ()
    found = [AMBIGUOUS] if graph.ambiguous else []
    if graph.distance.max(initial=0) > settings.radius + 0.5:
        found.append(PADDED.format(radius=settings.radius))
    return tuple(found)


def _edges(structure: Structure, settings: GraphSettings) -> Edges:
    around = Surroundings(structure.lattice, structure.fractional)
    if settings.neighbours is Neighbours.VORONOI:
        return voronoi(around, structure.numbers.astype(np.int64))
    if settings.ties is Ties.RELEASED:
        return released(around, structure.numbers.astype(np.int64), settings)
    return shell(around, settings)


def _isolated(numbers: NDArray[np.uint8], site: int, settings: GraphSettings) -> IsolatedSite:
    voronoi_wanted = settings.neighbours is Neighbours.VORONOI
    within = (
        f"bond within {SEARCH:g} Å" if voronoi_wanted else f"neighbour within {settings.radius:g} Å"
    )
    symbol = SYMBOLS[numbers[site]]
    return IsolatedSite(
        f"Site {site} ({symbol}) has no {within}.",
        place=f"site {site} ({symbol})",
        expected="every site of the crystal to have a neighbour",
        got="a site on its own",
        hint="Is this a molecule or an atom in an empty box, or are lengths given in another unit than Å?",
    )
