"""Does a run: from rows to its figures, with checkpoints from which it goes on after a kill."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks.papers import classic
from benchmarks.papers.material import Kitchen, Material
from benchmarks.papers.run import Run, SizeName
from benchmarks.papers.sources import Lines
from benchmarks.papers.trusting import flagged
from models.families.recipes import Settings, resolved
from models.training import checkpoints
from models.training.baselines import baselines
from models.training.dataset import Rows
from models.training.loop import Training

if TYPE_CHECKING:
    from models.training.source import Source

CHECKPOINT_S = 10.0
Figures = dict[str, Any]


def settings(run: Run, size: SizeName) -> Settings:
    """Complete settings of a run."""
    source = run.source
    wanted = run.wanted(size)
    if source.family == "image":
        wanted["dimensions"] = source.dimensions  # type: ignore[union-attr]
    return resolved(source.family, "best", wanted, targets=1, classifies=source.classifies)


def done(
    run: Run, size: SizeName, seed: int, lines: Lines, *, kitchen: Kitchen, state: Path
) -> Figures:
    """The run's figures; `state` is the file of its checkpoint."""
    complete = settings(run, size)
    material = kitchen.material(run.source, lines, complete.input)
    found = _classic(run, material, complete) if run.method != "network" else None
    found = found or _network(material, complete, seed, state)
    sizes = material.parts.sizes() | {"beyond": len(material.beyond), "refused": material.refused}
    return {"n": sizes | {"all_train": lines.all_train}, **found}


def _network(material: Material, complete: Settings, seed: int, state: Path) -> Figures:
    training = Training(
        material.data, material.parts, complete.network, complete.training, seed=seed
    )
    kept, used = checkpoints.read(state), 0.0
    if kept is not None:
        training.restore(kept)
        used = kept["processor_s"]
    began, written = time.process_time() - used, time.monotonic()
    for report in training.run():
        if time.monotonic() - written > CHECKPOINT_S:
            spent = {"processor_s": time.process_time() - began}
            checkpoints.write(state, training.state() | spent)
            written = time.monotonic()
        if report.epoch % 10 == 0:
            print(f"  epoch {report.epoch}: {_told(report.figures)}", flush=True)
    used = round(time.process_time() - began, 1)
    parts = {"val": material.parts.val, "test": material.parts.test, "beyond": material.beyond}
    return {
        "epochs": len(training.history),
        "best_epoch": training.best_epoch,
        "seconds": round(sum(report.duration_s for report in training.history), 1),
        "processor_s": used,
        "figures": {name: training.evaluate(rows) for name, rows in parts.items() if len(rows)},
        "baselines": _baselines(material),
        **_at_the_ends(training, material, complete),
    }


def _at_the_ends(training: Training, material: Material, complete: Settings) -> Figures:
    """Beyond what was seen: what the nearest value that was seen would come to, how far answers go, and how many are flagged."""
    if not len(material.beyond):
        return {}
    labels, parts = material.data.labels, material.parts
    seen = np.unique(labels.values[labels.places(parts.train), 0])
    truth = labels.values[labels.places(material.beyond), 0]
    after = np.clip(np.searchsorted(seen, truth), 1, len(seen) - 1)
    nearest = np.minimum(np.abs(truth - seen[after - 1]), np.abs(truth - seen[after]))
    answers = training.answers(material.beyond)[:, 0]
    told = {
        "nearest_seen_mae": float(nearest.mean()),
        "answers": [float(answers.min()), float(answers.max())],
        "seen": [float(seen[0]), float(seen[-1])],
        "flagged": flagged(material, complete, training),
    }
    return {"beyond": told}


def _baselines(material: Material) -> Figures:
    """Of sites and bonds, where the papers have them; on the test rows."""
    if material.family not in ("site", "bond"):
        return {}
    found = baselines(
        cast("Source", material), material.family, material.parts.train, classifies=False
    )
    return {name: parts["test"] for name, parts in found.items() if "test" in parts}


def _classic(run: Run, material: Material, complete: Settings) -> Figures:
    began, used = time.perf_counter(), time.process_time()
    labels = material.data.labels
    told = classic.told(run.method, material.data, material.parts, complete)
    test: Rows = material.parts.test
    error = np.abs(told - labels.values[labels.places(test), 0])
    return {
        "epochs": None,
        "seconds": round(time.perf_counter() - began, 1),
        "processor_s": round(time.process_time() - used, 1),
        "figures": {"test": {"mae": float(error.mean())}},
        "baselines": {},
    }


def _told(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
