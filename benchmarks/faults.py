"""The table of faults in docs/explanation/faults.md, from what the fault tests have written down.

make test-faults                 (all at acceptance size, hours; then this program)
python -m benchmarks.faults
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/faults.jsonl"
PAGE = ROOT / "docs/explanation/faults.md"
HEAD = """# What was broken on purpose, and what came of it

<!-- Drawn by `python -m benchmarks.faults` from benchmarks/results/faults.jsonl; change it there. -->

`make test-faults` breaks everything that can break, at the size below, with real processes, a real
broker and real connections, and counts afterwards: every accepted job has to have ended well, once.
The same tests run smaller: the short ones with every change (`make test`), all of them by `make test-all`.

*Load* is how many processes wanted one of the machine's processors, before and after, those of the test among
them: beyond the number of processors, times tell more of the machine than of matprop. *Executed twice* is work whose first
worker was lost between its end and its record; it is recorded once.

| what | goal | figures | held | took | load | when |
| --- | --- | --- | --- | --- | --- | --- |
"""
FOOT = """
Several machines, of which one is cut off, heals, and another dies under predictions and a screening, are in
`tests/journeys/test_hosts.py`; every one of them has a network, a disk and processes of its own there.
"""


def latest(lines: list[str]) -> list[dict[str, Any]]:
    """The last row of each test, in the order of their first ones."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        row = json.loads(line)
        if row["size"] == "acceptance":
            found[row["what"]] = row
    return list(found.values())


def drawn(row: dict[str, Any]) -> str:
    """One line of the table."""
    figures = "; ".join(
        f"{name.replace('_', ' ')} {shown(it)}" for name, it in row["figures"].items()
    )
    load = f"{row['load'][0]} → {row['load'][1]} on {row['processors']}"
    cells = [row["what"], row["goal"], figures, "yes" if row["held"] else "**no**"]
    cells += [f"{row['seconds']:,.0f} s", load, row["at"]]
    return "| " + " | ".join(cells) + " |"


def shown(figure: Any) -> str:
    """A number, or numbers by their names."""
    if isinstance(figure, dict):
        return ", ".join(f"{name}: {shown(number)}" for name, number in figure.items()) or "none"
    if isinstance(figure, list):
        return ", ".join(map(shown, figure))
    return f"{figure:,}"


def main() -> None:
    """Write the page."""
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    PAGE.write_text(HEAD + "".join(f"{drawn(row)}\n" for row in latest(lines)) + FOOT, "utf-8")


if __name__ == "__main__":
    main()
