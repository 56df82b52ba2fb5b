"""CIF text to eV/atom in one process and one thread, stage by stage, against the sum of the reference stages.

Run: python -m benchmarks.end_to_end --data FOLDER [--count 1500]. The set is that of the design's measurements:
mostly perovskites of 5 atoms, some carbons, some larger cells, written as CIF by pymatgen.
"""

import argparse
import statistics
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Lattice
from pymatgen.core import Structure as Crystal
from pymatgen.io.cif import CifParser

from benchmarks.pairs import seconds
from benchmarks.plain import PlainNetwork, cached
from benchmarks.rows import read
from models import samples
from models.catalogue import RELEASED, Catalogue
from models.errors import InputError
from models.graphs.collate import collate
from models.graphs.featurise import featurise
from models.infer import load, prepare_process
from models.settings.graph import GraphSettings, Ties
from models.structures.parse import ReadOptions, parse
from models.structures.structure import Structure

SHARES = {"perov_5_partial": 0.75, "carbon_24_partial": 0.2, "mp_cgcnn_elastic_3k": 0.05}
REFERENCE = 60  # crystals that the slow way is measured on
BATCH = 256
ROUNDS = 3
RATE_BAR, RATIO_BAR = 2_500, 30  # crystals a second, times as fast


def main() -> None:
    """Print µs a crystal of each stage, the rate, and the ratio to the reference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1500)
    given = parser.parse_args()
    prepare_process()
    warnings.simplefilter("ignore")
    texts = texts_of(given.data, given.count)
    model = load(Catalogue([RELEASED]).get("formation-energy")[1], "cpu")

    def ours() -> None:
        for start in range(0, len(texts), BATCH):
            read_ = [structure_of(text) for text in texts[start : start + BATCH]]
            model.answer([samples.featurise(each, model.card.input) for each in read_])

    structures = [structure_of(text) for text in texts]
    graphs = [samples.featurise(each, model.card.input) for each in structures]
    ours()
    for stage, took in (
        ("read", seconds(lambda: [structure_of(text) for text in texts])),
        (
            "graph",
            seconds(lambda: [samples.featurise(each, model.card.input) for each in structures]),
        ),
        ("answer", seconds(lambda: model.answer(graphs))),
    ):
        print(f"{stage:8s} {took / len(texts) * 1e6:7.1f} µs a crystal")
    some = texts[:: max(1, len(texts) // REFERENCE)]
    network = PlainNetwork(64, 4, 32).eval()
    pairs = [
        (seconds(lambda: _reference(some, network)) / len(some), seconds(ours) / len(texts))
        for _ in range(ROUNDS)
    ]
    slow, quick = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"text to value: {1 / quick:,.0f} crystals/s  bar ≥ {RATE_BAR:,}")
    print(f"reference stages: {slow * 1e6:,.0f} µs a crystal  ratio {ratio:.0f}  bar ≥ {RATIO_BAR}")


def texts_of(data: Path, count: int) -> list[bytes]:
    """The set, as CIF, in any order."""
    rows = [
        row.structure
        for name, share in SHARES.items()
        for row in islice(read(data, name), int(share * count))
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    return [_crystal(rows[at]).to(fmt="cif").encode() for at in order]


def structure_of(text: bytes) -> Structure:
    """The first structure of a CIF."""
    found = parse(text, "a.cif", None, ReadOptions())[0]
    if isinstance(found, InputError):
        raise found
    return found


def _reference(texts: list[bytes], network: PlainNetwork) -> torch.Tensor:
    """The slow way: parser, search and sort of pymatgen a crystal, then the plain network for all.

    Features are made by the quick way, which flatters the slow one.
    """
    graphs = []
    for text in texts:
        crystal = CifParser.from_str(text.decode()).parse_structures(primitive=False)[0]
        for near in crystal.get_all_neighbors(8.0):
            sorted(near, key=lambda each: each.nn_distance)[:12]
        numbers = np.array(crystal.atomic_numbers, np.uint8)
        structure = Structure("a", crystal.lattice.matrix, numbers, crystal.frac_coords)
        graphs.append(featurise(structure, GraphSettings(ties=Ties.RELEASED)))
    with torch.inference_mode():
        values: torch.Tensor = network(cached(collate(graphs)))
    return values


def _crystal(structure: Structure) -> Crystal:
    return Crystal(Lattice(structure.lattice), structure.numbers, structure.fractional)


if __name__ == "__main__":
    main()
