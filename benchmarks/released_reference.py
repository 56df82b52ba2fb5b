"""How far the answers of imported checkpoints are from those of the published code, over its reference set.

Run: python -m benchmarks.released_reference --data FOLDER, the folder that holds `upstream-cgcnn/`: the four
`.pth.tar`, `reference/cif/*.cif` and `reference/reference_predictions.csv`.
"""

import argparse
import csv
import tempfile
import warnings
from pathlib import Path

import numpy as np
from pymatgen.io.cif import CifParser

from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.infer import load, prepare_process
from models.published import Wishes, import_model
from models.settings.graph import GraphSettings, Ties
from models.structures.structure import Structure

ALLOWED = 1e-4
CHECKPOINTS = ("formation-energy-per-atom", "band-gap", "bulk-moduli", "semi-metal-classification")


def main() -> int:
    """Print the worst difference of each checkpoint; 1 when one is too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    source = parser.parse_args().data / "upstream-cgcnn"
    prepare_process()
    with (source / "reference" / "reference_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    graphs = [_graph(source / "reference" / "cif" / f"{row['id']}.cif") for row in rows]
    worst = 0.0
    for name in CHECKPOINTS:
        with tempfile.TemporaryDirectory() as folder:
            import_model(source / f"{name}.pth.tar", Path(folder), Wishes(name))
            answers = load(Path(folder), "cpu").answer(graphs)
        ours = np.array([answer.values[0] for answer in answers])
        gap = np.abs(ours - np.array([float(row[name]) for row in rows]))
        print(f"{name:28s} crystals {len(rows)}  worst {gap.max():.2e}  mean {gap.mean():.2e}")
        worst = max(worst, float(gap.max()))
    print(f"worst of all {worst:.2e}, allowed {ALLOWED:.0e}")
    return int(worst > ALLOWED)


def _graph(path: Path) -> Graph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crystal = CifParser(path).parse_structures(primitive=False)[0]
    numbers = np.array(crystal.atomic_numbers, np.uint8)
    structure = Structure(path.stem, crystal.lattice.matrix, numbers, crystal.frac_coords)
    return featurise(structure, GraphSettings(ties=Ties.RELEASED))


if __name__ == "__main__":
    raise SystemExit(main())
