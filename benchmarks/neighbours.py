"""Neighbours and graphs against pymatgen's own search as the published code uses it, on one thread.

Run: python -m benchmarks.neighbours --data FOLDER [--check 3000] [--count 12]
"""

import argparse
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice
from pymatgen.core import Structure as Crystal

from benchmarks.pairs import compare
from benchmarks.rows import read
from models.errors import IsolatedSite
from models.graphs.featurise import featurise
from models.settings.graph import GraphSettings, Neighbours, Ties
from models.structures.neighbours import Surroundings, Wanted
from models.structures.structure import Structure

SETS = {
    "perovskites of 5": ("perov_5_partial", 5, 5),
    "carbons": ("carbon_24_partial", 6, 16),
    "cells of 30 to 50": ("mp_cgcnn_elastic_3k", 30, 50),
    "mixed": ("mp_cgcnn_elastic_3k", 1, 200),
}
CHECKED = ("perov_5_partial", "carbon_24_partial", "mp_cgcnn_elastic_3k")
RELEASED = GraphSettings(ties=Ties.RELEASED)
BAR = 50  # times as fast


def main() -> int:
    """Print ratios, then how many structures of many get another choice than pymatgen's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=12, help="structures of each kind")
    parser.add_argument("--check", type=int, default=3000, help="structures to compare")
    given = parser.parse_args()
    for kind, (name, least, most) in SETS.items():
        some = _some(given.data, name, least, most, given.count)
        _measure(kind, some)
    return _check(given.data, given.check)


def _some(data: Path, name: str, least: int, most: int, count: int) -> list[Structure]:
    found = [row.structure for row in read(data, name)]
    fitting = [each for each in found if least <= len(each.numbers) <= most]
    at = np.random.default_rng(0).permutation(len(fitting))[:count]
    return [fitting[each] for each in at]


def _measure(kind: str, some: list[Structure]) -> None:
    crystals = [_crystal(each) for each in some]

    def published() -> None:
        for crystal in crystals:
            for near in crystal.get_all_neighbors(8.0):
                sorted(near, key=lambda each: each.nn_distance)[:12]

    def near() -> None:
        for each in some:
            Surroundings(each.lattice, each.fractional).near(Wanted(12, 8.0))

    compare(f"{kind}: neighbours", published, near, len(some), bar=BAR)
    for name, settings in (
        ("shells", GraphSettings()),
        ("released", RELEASED),
        ("voronoi", GraphSettings(neighbours=Neighbours.VORONOI)),
    ):
        compare(f"{kind}: graph, {name}", published, partial(_graphs, some, settings), len(some))


def _graphs(some: list[Structure], settings: GraphSettings) -> None:
    for each in some:
        with suppress(IsolatedSite):  # metals have no bonds by the Voronoi rule
            featurise(each, settings)


def _check(data: Path, count: int) -> int:
    different = 0
    for name in CHECKED:
        rows = [row.structure for row in read(data, name)]
        at = np.random.default_rng(1).permutation(len(rows))[: count // len(CHECKED)]
        wrong = sum(not _alike(rows[each]) for each in at)
        print(f"{name}: {wrong} of {len(at)} with another choice than pymatgen's")
        different += wrong
    return int(different > 0)


def _alike(structure: Structure) -> bool:
    centre, point, _, distance = _crystal(structure).get_neighbor_list(8.0)
    order = np.lexsort((distance, centre))  # stable, as the published code's sort
    counts = np.bincount(centre, minlength=len(structure.numbers))
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[centre[order]]
    kept = order[rank < 12]
    graph = featurise(structure, RELEASED)
    near = graph.distance < 8.5
    return np.array_equal(graph.index[near], point[kept]) and np.array_equal(
        graph.distance[near], distance[kept].astype(np.float32)
    )


def _crystal(structure: Structure) -> Crystal:
    return Crystal(Lattice(structure.lattice), structure.numbers, structure.fractional)


if __name__ == "__main__":
    raise SystemExit(main())
