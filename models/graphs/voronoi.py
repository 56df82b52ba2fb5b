"""Neighbours that share a face of the Voronoi cells and are near enough for a bond."""

import numpy as np
from scipy.spatial import Voronoi, cKDTree

from models.graphs.elements import cordero_radii
from models.graphs.nearest import Edges
from models.structures.cells import Floats
from models.structures.neighbours import Ints, Surroundings

SEARCH = 6.0  # Å
BOND_SLACK = 0.25  # Å beyond the sum of the covalent radii
CLUSTER = 9.0  # Å of surroundings, for what lies further out still cuts the faces
SMALL_FACE = 0.005 * 4 * np.pi  # faces seen under less come and go with rounding


def voronoi(around: Surroundings, numbers: Ints) -> Edges:
    """Edges between sites with a common face, within 6 Å and the bond length."""
    points = around.points(CLUSTER)
    near = cKDTree(around.centres.T).query(points.position.T, distance_upper_bound=CLUSTER)[0]
    within = np.isfinite(near)
    positions, sites = points.position.T[within], points.site[within]  # (M, 3)
    own = cKDTree(positions).query(around.centres.T)[1]  # (N,) each site's place among the points
    site_of = np.full(len(positions), -1)
    site_of[own] = np.arange(len(own))

    cells = Voronoi(np.concatenate([positions, _frame(positions)]))
    both = np.concatenate([cells.ridge_points, cells.ridge_points[:, ::-1]])
    ridge = np.tile(np.arange(len(cells.ridge_points)), 2)
    real = (both < len(positions)).all(1)
    both, ridge = both[real], ridge[real]
    distance = np.linalg.norm(positions[both[:, 0]] - positions[both[:, 1]], axis=1)
    radii = np.append(cordero_radii(), np.nan)[numbers]
    bond = radii[sites[both]].sum(1) + BOND_SLACK
    bound = (site_of[both[:, 0]] >= 0) & (distance <= SEARCH) & (distance <= bond)
    both, ridge, distance = both[bound], ridge[bound], distance[bound]

    faces = [cells.ridge_vertices[each] for each in ridge]
    wide = _solid_angles(cells.vertices, faces, positions[both[:, 0]]) >= SMALL_FACE
    centre, neighbour, distance = site_of[both[wide, 0]], sites[both[wide, 1]], distance[wide]
    order = np.lexsort((neighbour, distance, centre))
    counts = np.bincount(centre, minlength=len(own))
    return Edges(counts, neighbour[order], distance[order])


def _frame(positions: Floats) -> Floats:
    """Points far outside, without which a sparse cluster has no Voronoi cells."""
    middle = (positions.max(0) + positions.min(0)) / 2
    size = np.ptp(positions, axis=0).max() + 50
    directions = np.array([each for each in np.ndindex(3, 3, 3) if each != (1, 1, 1)]) - 1.0
    return np.asarray(middle + size * directions)


def _solid_angles(vertices: Floats, faces: list[list[int]], eyes: Floats) -> Floats:
    """What each face covers of its eye's view; a face without end counts as large."""
    angles = np.full(len(faces), 4 * np.pi)
    sizes = np.array([0 if -1 in face else len(face) for face in faces], dtype=int)
    for size in set(sizes.tolist()) - {0}:
        at = np.flatnonzero(sizes == size)
        corners = vertices[[faces[each] for each in at]] - eyes[at, None]  # (faces, size, 3)
        corners /= np.linalg.norm(corners, axis=2, keepdims=True)
        angles[at] = _fans(corners)
    return angles


def _fans(corners: Floats) -> Floats:
    """Solid angle of polygons on the unit sphere, by Van Oosterom and Strackee's formula a triangle."""
    first, second, third = corners[:, :1], corners[:, 1:-1], corners[:, 2:]
    triple = np.abs((first * np.cross(second, third)).sum(2))
    pairs = (first * second).sum(2) + (second * third).sum(2) + (third * first).sum(2)
    return np.asarray(2 * np.arctan2(triple, 1 + pairs).sum(1))
