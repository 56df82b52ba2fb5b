"""Trains the formation-energy model that ships, and writes its card.

Run: python -m benchmarks.release --data FOLDER [--out FOLDER] [--version N], where FOLDER holds
`mp_cgcnn_elastic_3k/structures.parquet`. A quarter of an hour on one core. The rows of the test part, whole
compositions at a time, are never learned from. The settings below were chosen among five by the validation rows.
"""

import argparse
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.rows import Row, read, sha256
from models.card import Card, Target, TrainingRecord
from models.catalogue import RELEASED
from models.checkpoint import save_model
from models.families.family import family
from models.graphs.elements import table_sha256
from models.graphs.featurise import featurise
from models.infer import prepare_process
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from models.settings.training import TrainingSettings
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.metrics import regression
from models.training.split import split

SOURCE = "mp_cgcnn_elastic_3k"
TARGET = "formation_energy_per_atom"
NETWORK = NetworkSettings(readout="linear", site_layers=1)
GRAPH = GraphSettings()
TRAINING = TrainingSettings(
    epochs=300, batch_size=32, learning_rate=3e-3, weight_decay=0.02, average=0.998
)
SPLIT_SEED = 1
KNOWS = (
    "Learned from 2,817 relaxed inorganic crystals with known elastic constants, seven in ten of them metals; "
    "far from those, and at high energies, the error is larger. It knows no lanthanides, actinides or noble gases."
)
CHOSEN = (
    "One of five configurations that were tried, chosen by the error of the validation rows; the test errors of "
    "all five were seen as well, so that the test error here may be a little too good."
)
SITES = "The answer is the mean of one scalar a site: include=sites shows each site's share of it."
NOTES = (SITES, KNOWS, CHOSEN)


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RELEASED)
    parser.add_argument("--version", type=int, default=1)
    given = parser.parse_args()
    prepare_process()
    rows = list(read(given.data, SOURCE))
    training = _training(rows)
    duration = _train(training)
    card = _card(training, given.version, sha256(given.data, SOURCE), duration)
    card = save_model(given.out / card.name / str(card.version), card, [training.average])
    print(card.model_dump_json(indent=1, exclude_none=True))


def _training(rows: list[Row]) -> Training:
    graphs = [featurise(row.structure, GRAPH) for row in rows]
    targets = np.array([[row.figures[TARGET]] for row in rows], float)
    parts = split([row.composition for row in rows], val=0.05, test=0.1, seed=SPLIT_SEED)
    return Training(
        Dataset(graphs, Labels.one_a_row(targets), family("crystal")), parts, NETWORK, TRAINING
    )


def _train(training: Training) -> float:
    start = time.perf_counter()
    for report in training.run():
        if report.epoch % 10 == 0:
            figures = f"loss {report.loss:.4f}  val mae {report.figures['mae']:.4f} eV/atom"
            print(f"epoch {report.epoch:4d}  {figures}  {report.duration_s:.2f} s", flush=True)
    return time.perf_counter() - start


def _card(training: Training, version: int, data_hash: str, duration: float) -> Card:
    parts, targets = training.parts, training.data.labels.values
    test = targets[parts.test, 0]
    mean = np.full_like(test, targets[parts.train].mean())
    return Card(
        name="formation-energy",
        version=version,
        title="Formation energy per atom of inorganic crystals, with each site's share",
        origin="released",
        targets=(
            Target(
                property="formation-energy-per-atom",
                unit="eV/atom",
                mean=float(training.normaliser.mean[0]),
                std=float(training.normaliser.std[0]),
            ),
        ),
        input=GRAPH,
        network=NETWORK,
        elements_sha256=table_sha256(),
        elements_seen=training.data.elements(parts.train),
        training=_record(training, data_hash, duration),
        metrics={part: training.evaluate(getattr(parts, part)) for part in ("val", "test")},
        baselines={"mean of the training rows": regression(mean, test)},
        notes=NOTES,
        weights_sha256="",
        created_at=datetime.now(UTC),
    )


def _record(training: Training, data_hash: str, duration: float) -> TrainingRecord:
    parts = training.parts
    return TrainingRecord(
        dataset="Materials Project: 2,817 of the 3,402 materials with elastic constants of the CGCNN paper, "
        "current relaxed cells (mixed GGA, GGA+U and r2SCAN scheme)",
        dataset_sha256=data_hash,
        citation="A. Jain et al., APL Materials 1, 011002 (2013); list of materials: T. Xie and J. C. "
        "Grossman, Phys. Rev. Lett. 120, 145301 (2018); M. de Jong et al., Sci. Data 2, 150009 (2015)",
        licence="CC BY 4.0",
        split=f"85/5/10 by composition, at random (seed {SPLIT_SEED})",
        rows={"train": len(parts.train), "val": len(parts.val), "test": len(parts.test)},
        seed=0,
        settings=TRAINING.model_dump(),
        duration_s=round(duration, 1),
        device=f"cpu, one thread ({platform.machine()})",
        libraries={"torch": torch.__version__, "numpy": np.__version__},
    )


if __name__ == "__main__":
    main()
