"""What is told of a training at its end: its result, and the card of the model it made."""

import math
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import torch

from models.card import Card, Point, Spread, Target, TrainingRecord, learned, learned_before
from models.checkpoint import elements_sha256
from models.families.kinds import KINDS
from models.training.baselines import Figures, best
from models.training.loop import Report
from models.training.normaliser import Normaliser
from models.training.plan import Plan
from models.training.source import Source

POINTS = 200  # of a curve
SHOWN = 100  # refused rows

Metrics = dict[str, dict[str, float]]  # by part


@dataclass(frozen=True, slots=True)
class Ended:
    """One seed's training."""

    seed: int
    metrics: Metrics
    best_epoch: int
    best_loss: float
    history: Sequence[Report]

    def as_dict(self) -> dict[str, Any]:
        """Without the curve, which has a place of its own."""
        return {
            "seed": self.seed,
            "metrics": self.metrics,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "epochs": len(self.history),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is known when a training has ended."""

    plan: Plan
    source: Source
    name: str
    baselines: Figures
    ended: Sequence[Ended]
    normaliser: Normaliser
    elements: tuple[int, ...]
    device: torch.device
    duration_s: float
    stopped: bool
    start: Card | None = None  # what it went on from
    same: TrainingRecord | None = None  # of that, if it had learned from the same rows, divided so
    by_element: dict[str, dict[str, float]] | None = None
    notes: list[str] = field(default_factory=list)
    together: Metrics | None = None  # of an ensemble's members

    @property
    def metrics(self) -> Metrics:
        """Of the model."""
        return self.together or self.best.metrics

    @property
    def best(self) -> Ended:
        """The seed whose validation rows were answered best."""
        return min(self.ended, key=lambda each: each.best_loss)

    @property
    def judge(self) -> Literal["test", "val", "train"]:
        """The part by which it is judged."""
        if "test" in self.metrics:
            return "test"
        return "val" if "val" in self.metrics else "train"

    def result(self) -> dict[str, Any]:
        """`result.json`."""
        return {
            "metrics": self.metrics,
            "baselines": self.baselines,
            "spread": _plain(spread([each.metrics for each in self.ended])),
            "seeds": [each.as_dict() for each in self.ended],
            "best_seed": self.best.seed,
            "val_loss": self.best.best_loss,
            "rows": self.rows(),
            "unlabelled": self.source.unlabelled,
            "refused": self._refused(),
            "elements": self.by_element,
            "curves": [
                {"seed": each.seed, "points": [point.model_dump() for point in curve(each.history)]}
                for each in self.ended
            ],
            "notes": [*self.notes, *self.verdict()],
            "stopped": self.stopped,
            "duration_s": round(self.duration_s, 1),
        }

    def card(self) -> Card:
        """The card of the model, before it has a version."""
        plan, kind = self.plan, KINDS[self.plan.family]
        network = kind.network.model_validate(plan.network)
        manifest = self.source.stored.manifest
        return Card(
            name=self.name,
            version=1,
            family=kind.name,
            title=plan.title or self._title(manifest["name"]),
            origin="trained",
            targets=self._targets(),
            classes=self.source.classes,
            input=kind.input.model_validate(plan.input),
            network=network,
            elements_sha256=elements_sha256(network),
            elements_seen=self.elements,
            training=self._record(manifest),
            metrics=self.metrics,
            baselines={
                name: parts[self.judge]
                for name, parts in self.baselines.items()
                if self.judge in parts
            },
            notes=(*self.notes, *self.verdict()),
            weights_sha256="",
            created_at=datetime.now(UTC),
        )

    def rows(self) -> dict[str, int]:
        """Rows of each part."""
        sizes = self.source.parts.sizes()
        return sizes | ({"train": self.plan.rows} if self.plan.rows else {})

    def verdict(self) -> list[str]:
        """What has to be said if a simple method does as well."""
        figure = "auc" if self.plan.classifies else "mae"
        ours = self.metrics.get(self.judge, {}).get(figure)
        other = best(self.baselines, self.judge, figure)
        if ours is None or other is None:
            return []
        beaten = ours > other[1] if figure == "auc" else ours < other[1]
        if beaten:
            return []
        against = f"{figure} {ours:.4g} against {other[1]:.4g} on the {self.judge} rows"
        return [f"It does not beat the baseline {other[0]!r}: {against}."]

    def _title(self, dataset: str) -> str:
        what = " and ".join(target.property for target in self.plan.targets)
        if self.start and not self.plan.training["epochs"]:
            return f"{what} of {self.start.id}, judged by {dataset}"
        return f"{what}, learned from {dataset}"

    def _targets(self) -> tuple[Target, ...]:
        wanted = self.plan.targets
        if self.plan.classifies:
            return (Target(property=wanted[0].property, unit=wanted[0].unit),)
        mean, std = self.normaliser.mean.tolist(), self.normaliser.std.tolist()
        return tuple(
            Target(property=each.property, unit=each.unit, mean=mean[at], std=std[at])
            for at, each in enumerate(wanted)
        )

    def _record(self, manifest: dict[str, Any]) -> TrainingRecord:
        plan = self.plan
        return TrainingRecord(
            dataset=manifest["name"],
            dataset_id=manifest["id"],
            dataset_sha256=manifest["sha256"],
            columns=tuple(target.column for target in plan.targets),
            beside=plan.columns,
            split=plan.split.told(),
            division=plan.split,
            rows=self.rows(),
            unlabelled=self.source.unlabelled,
            refused=len(self.source.refused),
            spread=spread([each.metrics for each in self.ended]) if len(self.ended) > 1 else {},
            **self._weights(),
        )

    def _weights(self) -> dict[str, Any]:
        """How the weights came to be; without an epoch they are still those of before."""
        made, start = self._made(), self.start
        judged = not self.plan.training["epochs"]
        if start and start.training and judged:
            made = {name: getattr(start.training, name) for name in made}
        if start is None or self.same:
            return made
        return made | {"start_from": start.id, "judged": judged, "before": learned(start)}

    def _made(self) -> dict[str, Any]:
        """How this training went."""
        plan, best_one = self.plan, self.best
        return {
            "seed": best_one.seed,
            "seeds": tuple(each.seed for each in self.ended),
            "recipe": plan.recipe,
            "settings": plan.training,
            "start_from": self.start.id if self.start else None,
            "judged": False,
            "before": learned_before(self.same) if self.same else None,
            "best_epoch": best_one.best_epoch,
            "curve": tuple(curve(best_one.history)),
            "stopped": self.stopped,
            "duration_s": round(self.duration_s, 1),
            "device": _device(self.device, plan.devices),
            "libraries": {
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }

    def _refused(self) -> dict[str, Any]:
        names = self.source.stored.names
        rows = sorted(self.source.refused.items())
        shown = [{"row": row, "name": names[row], "error": error} for row, error in rows[:SHOWN]]
        return {"count": len(rows), "rows": shown}


def spread(found: Sequence[Metrics]) -> dict[str, dict[str, Spread]]:
    """Mean and deviation of each figure over the seeds."""
    return {
        part: {
            name: Spread(mean=float(np.mean(values)), std=float(np.std(values)))
            for name in figures
            if (values := [each[part][name] for each in found if name in each.get(part, {})])
        }
        for part, figures in (found[0].items() if found else ())
    }


def curve(history: Sequence[Report]) -> list[Point]:
    """Evenly thinned; the last epoch is always there."""
    step = -(-len(history) // POINTS)
    shown = list(history[::-1][:: max(1, step)])[::-1]
    return [
        Point(
            epoch=each.epoch,
            loss=each.loss,
            learning_rate=each.learning_rate,
            # No JSON tells infinity, which a wild beginning may come to.
            val={name: value for name, value in each.figures.items() if math.isfinite(value)},
        )
        for each in shown
    ]


def _plain(found: dict[str, dict[str, Spread]]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        part: {name: each.model_dump() for name, each in figures.items()}
        for part, figures in found.items()
    }


def _device(device: torch.device, processes: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    many = f", {processes} processes" if processes > 1 else ""
    return f"{device.type} ({name}, {sys.platform}){many}"
