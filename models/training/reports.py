"""What a training says while it runs: one JSON object a line, there at once for whoever follows the file."""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.training.loop import Report

RECENT = 20  # epochs by which the rest is foretold


@dataclass(slots=True)
class Reports:
    """Appends to a file; nowhere without one."""

    path: Path | None
    _durations: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            _end_line(self.path)

    def log(self, text: str) -> None:
        """A line for people."""
        self._write({"kind": "log", "text": text})

    def progress(self, done: int, total: int) -> None:
        """How far something is that has no figures."""
        self._write({"kind": "progress", "done": done, "total": total})

    def metric(self, report: "Report", seed: int, epochs: int, others: int) -> None:
        """An epoch; `others` are those of the seeds that still wait."""
        self._durations = [*self._durations[1 - RECENT :], report.duration_s]
        left = epochs - report.epoch + others
        self._write(
            {
                "kind": "metric",
                "seed": seed,
                "epoch": report.epoch,
                "epochs": epochs,
                "loss": report.loss,
                "figures": {
                    name: value for name, value in report.figures.items() if math.isfinite(value)
                },
                "learning_rate": report.learning_rate,
                "duration_s": round(report.duration_s, 4),
                "eta_s": round(left * sum(self._durations) / len(self._durations), 1),
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def _end_line(path: Path) -> None:
    """One who was killed may have left half a line."""
    with path.open("rb+") as file:
        if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")


def put(path: Path, body: dict[str, Any]) -> None:
    """A small file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
