"""Results as they are committed: one line of JSON each, added as soon as there is one."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "papers.jsonl"
Result = dict[str, Any]


def results(path: Path = RESULTS) -> list[Result]:
    """All of them; the last line may be half written when its writer was killed."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def keep(result: Result, path: Path = RESULTS) -> None:
    """Add one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    with path.open("a") as file:
        file.write(("" if not text or text.endswith("\n") else "\n") + json.dumps(result) + "\n")
