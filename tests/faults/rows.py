"""The rows of the table of faults: what was done, what came out, on how busy a machine."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.sizes import SIZE

RESULTS = Path(__file__).parents[2] / "benchmarks/results/faults.jsonl"


@dataclass
class Row:
    """What one test tells."""

    what: str = ""
    goal: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def __call__(self, what: str, goal: str) -> None:
        self.what, self.goal = what, goal

    def tell(self, **figures: Any) -> None:
        self.figures |= figures


@contextmanager
def written(path: Path, held: dict[str, bool]) -> Iterator[Row]:
    """A row, appended at the end of the block, whether the test held or not."""
    row, began, load = Row(), time.monotonic(), os.getloadavg()[0]
    yield row
    if not row.what:
        return
    line = {
        "what": row.what,
        "goal": row.goal,
        "size": SIZE.name,
        "held": held.get("call", False),
        "figures": row.figures,
        "seconds": round(time.monotonic() - began, 1),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "processors": os.cpu_count(),
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
