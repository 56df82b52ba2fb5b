"""Neighbours that share a face of the Voronoi cells and are near enough for a bond.

A site's Voronoi cell is cut by the planes half-way to its neighbours v. In the dual, each plane is the point
2 v / |v|² and the cell the convex hull of these points: a face is a corner of the hull, and its corners lie
in the directions of the hull's facets around it. One small hull a site is quick, and as it is made of that
site's own surroundings only, no choice of cell can change it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from models.graphs.elements import cordero_radii
from models.graphs.nearest import Edges
from models.structures.cells import Floats
from models.structures.neighbours import Ints, Pairs, Surroundings, Wanted

SEARCH = 6.0  # Å
BOND_SLACK = 0.25  # Å beyond the sum of the covalent radii
SURROUNDINGS = 9.0  # Å, for what lies further out than a bond still cuts its face
SMALL_FACE = 0.005 * 4 * np.pi  # faces seen under less come and go with rounding
# In the dual of each site: far planes all around, without which the cell at a surface has no end. So far
# (10⁶ Å) that how the box around a slab is turned does not show in any digit of single precision.
FRAME = 1e-6 * np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])  # 1/Å


def voronoi(around: Surroundings, numbers: Ints) -> Edges:
    """Edges between sites with a common face, within 6 Å and the bond length."""
    # Everything up to the radius: a neighbour's distance and as much again lies beyond it.
    pairs = around.near(Wanted(1, SURROUNDINGS, beyond=SURROUNDINGS))
    neighbour = pairs.points.site[pairs.point]
    radii = np.append(cordero_radii(), np.nan)[numbers]
    bond = radii[pairs.centre] + radii[neighbour] + BOND_SLACK
    near = pairs.distance <= np.minimum(bond, SEARCH)
    bonds = near & (solid_angles(around, pairs, near) >= SMALL_FACE)
    order = np.lexsort((neighbour[bonds], pairs.distance[bonds], pairs.centre[bonds]))
    counts = np.bincount(pairs.centre[bonds], minlength=len(numbers))
    return Edges(counts, neighbour[bonds][order], pairs.distance[bonds][order])


def solid_angles(around: Surroundings, pairs: Pairs, wanted: NDArray[np.bool_]) -> Floats:
    """What the face of each pair covers of its centre's view; only for centres of a wanted pair."""
    angles = np.zeros(len(pairs.centre))
    centres = np.unique(pairs.centre[wanted])
    if not len(centres):
        return angles
    away = (pairs.points.position[:, pairs.point] - around.centres[:, pairs.centre]).T  # (E, 3)
    dual = 2 * away / (away**2).sum(1, keepdims=True)
    starts = np.searchsorted(pairs.centre, np.arange(len(pairs.last) + 1))
    faces, hulls = [], []
    for centre in centres:
        own = np.arange(starts[centre], starts[centre + 1])
        faces += [own, np.full(len(FRAME), -1)]
        hulls.append(ConvexHull(np.concatenate([dual[own], FRAME])))
    face = np.concatenate(faces)
    seen = face >= 0
    angles[face[seen]] = _faces(hulls, len(face))[seen]
    return angles


def _faces(hulls: list[ConvexHull], count: int) -> Floats:
    """Solid angles of the faces that are the corners of these hulls; 0 where there is none.  # (count,)

    All hulls at once: one by one, most of the time would go into the making of small arrays.
    """
    corners = np.concatenate([hull.equations[:, :3] for hull in hulls])  # (facets, 3) unit vectors
    first_point = np.cumsum([0, *(len(hull.points) for hull in hulls[:-1])])
    first_facet = np.cumsum([0, *(len(hull.simplices) for hull in hulls[:-1])])
    points = np.concatenate([h.simplices + at for h, at in zip(hulls, first_point, strict=True)])
    beside = np.concatenate([h.neighbors + at for h, at in zip(hulls, first_facet, strict=True)])
    # Of each face, some direction inside it.
    middle: Floats = np.stack(
        [np.bincount(points.ravel(), np.repeat(x, 3), count) for x in corners.T], 1
    )
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-300)
    # Two facets with a common edge are neighbouring corners of the faces at both ends of that edge.
    facet, opposite = np.nonzero(beside > np.arange(len(corners))[:, None])
    one, other = corners[facet], corners[beside[facet, opposite]]
    ends = np.stack([points[facet, (opposite + step) % 3] for step in (1, 2)])
    angle = _triangles(middle[ends], one, other)
    return np.asarray(np.bincount(ends.ravel(), angle.ravel(), count), np.float64)


def _triangles(first: Floats, second: Floats, third: Floats) -> Floats:
    """Solid angle of triangles on the unit sphere, by Van Oosterom and Strackee's formula."""
    triple = np.abs((first * np.cross(second, third)).sum(-1))
    pairs = (first * second).sum(-1) + (second * third).sum(-1) + (third * first).sum(-1)
    return np.asarray(2 * np.arctan2(triple, 1 + pairs))
