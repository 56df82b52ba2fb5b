"""docs/explanation/papers.md, drawn from the results: no number of ours in it is typed by hand."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.papers.curve import Point, curve
from benchmarks.papers.figures import Found, Results, seconds
from benchmarks.papers.keeping import Result
from benchmarks.papers.run import Run
from benchmarks.papers.table import Cell, Line, Table

FOLDER = Path(__file__).parents[2] / "docs" / "explanation"
NAME = "papers.md"
NONE = "–"

BEGINNING = """\
# The papers' tables

Every table of the four papers that the data at hand allow, each figure beside the paper's own. This page is written
by a program from `benchmarks/results/papers.jsonl`; no number of ours is typed by hand.

```console
$ make tables DATA=FOLDER                                       # all runs in full, then this page
$ python -m benchmarks.paper_tables --data FOLDER --quick       # shortened runs
$ python -m benchmarks.paper_tables --data FOLDER --only grid dimers/range/1-2
$ python -m benchmarks.paper_tables --list                      # names of the runs
$ python -m benchmarks.paper_tables --draw                      # this page alone, from the results there are
```

Each result is kept as soon as it is there and not computed again; a run that was killed goes on from its checkpoint
(`--state`). Without DATA, `make tables` draws the page alone; a set that is not in the folder is left out. One process, one thread;
no GPU is needed, and none was used here.

**How to read it.** Errors are mean absolute ones of test rows that taught nothing: by the fixed splits of
`benchmarks/splits.py`, of pairs of atoms 30 %, as in the paper. "Trained on" is the number of structures that the weights
were learned from, ours and the paper's. The papers' data are not here: ours are public sets with far fewer structures, so
a line shows whether the *order* of methods is the paper's, not whether its last digit can be had. What is not said is as in the
recipe [`best`](recipes.md). ± is the deviation of several seeds or folds; a line without it is one seed.
"Shortened" lines have fewer epochs, and where the number says so fewer rows, than a full run, which replaces them; nobody has
chosen among them."""

ENDING = """\
## What is not here

- **Sheets** (0.198 meV/atom, 269,016 images of molecular dynamics with density functional theory): such data are not at hand.
  `matprop datasets make sheets` makes others, with energies of GFN-xTB; see [the families](families.md).
- **Graphene and its grain boundary** (episodes to the global minimum): figures of a search, not of a model.
- **Vibration frequencies and band centres**: no set to learn from; see above.
- **Energies by range** of the image paper (-0.5 to 0 ε and the like), its energies in 3D, and its functions beside Lennard-Jones's:
  left out so far."""


def write(tables: Sequence[Table], results: Sequence[Result], folder: Path = FOLDER) -> None:
    """The page and its pictures."""
    for name, text in document(tables, results).items():
        (folder / name).write_text(text)


def document(tables: Sequence[Table], results: Sequence[Result]) -> dict[str, str]:
    """Files by their names."""
    known = Results(results)
    known.know(list({run.name: run for table in tables for run in table.runs}.values()))
    files, parts = {}, [BEGINNING]
    for table in tables:
        parts.append("\n".join(_table(table, known)))
        points = _curve(table, known)
        if points:
            name = f"papers-{table.name}.svg"
            files[name] = curve(points, "training structures", table.curve or "")
            parts.append(f"![{table.title}]({name})")
    parts += ["\n".join(_time(tables, known)), ENDING]
    return {NAME: "\n\n".join(parts) + "\n"} | files


def _table(table: Table, known: Results) -> Iterator[str]:
    yield f"## {table.title}\n\n{table.text}\n"
    papers = any(line.paper != NONE for line in table.lines)
    theirs = (table.paper_head, "the paper trained on") if papers else ()
    heads = ["", *table.heads, *theirs, "trained on", "judged by", "epochs", "size", "minutes"]
    yield _row(heads)
    yield "|" + "---|" * len(heads)
    for line in table.lines:
        cells = [_shown(cell, known) for cell in line.cells]
        paper = (line.paper, _count(line.paper_train)) if papers else ()
        yield _row([line.label, *cells, *paper, *_how(line, known)])
    if table.note:
        yield f"\n{table.note}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(cell: Cell, known: Results) -> str:
    found = known.of(cell.run)
    value, deviation = found.value(cell.figure), found.deviation(cell.figure)
    if value is None:
        return "not run yet"
    if cell.is_share:
        return f"{value:.1%}"
    return _number(value) + (f" ± {_rough(deviation)}" if deviation is not None else "")


def _how(line: Line, known: Results) -> Iterator[str]:
    """How many rows, epochs, seeds, and how long."""
    runs = list({cell.run.name: cell.run for cell in line.cells}.values())
    every = [known.of(run) for run in runs]
    first = next((found for found in every if found.results), Found(()))
    if not first.results:
        yield from [NONE] * 5
        return
    yield _count(first.mean("train"))
    yield _count(first.mean("test"))
    epochs = first.results[0]["epochs"]
    yield NONE if epochs is None else f"{epochs}"
    yield _size(first, runs[0])
    yield f"{sum(seconds(each) for found in every for each in found.results) / 60:.1f}"


def _size(found: Found, run: Run) -> str:
    many, size = len(found.results), found.results[0]["size"]
    told = "full" if size == "full" else "shortened"
    if run.source.folds:
        return f"{told}, {many} fold{'s' if many > 1 else ''}"
    return told + (f", {many} seeds" if many > 1 else "")


def _curve(table: Table, known: Results) -> dict[str, list[Point]]:
    """Each column's points, where there are two or more."""
    if not table.curve:
        return {}
    found: dict[str, list[Point]] = {}
    for at, head in enumerate(table.heads):
        points = []
        for line in table.lines:
            rows, value = known.of(line.cells[at].run).mean("train"), known.value(line.cells[at])
            if rows is not None and value is not None:
                points.append((rows, value))
        if len(points) > 1:
            found[head] = points
    return found


def _time(tables: Sequence[Table], known: Results) -> Iterator[str]:
    yield "## What a full run takes\n"
    yield (
        "Hours of one core, from the time that the runs above took (some of them by a clock, beside other work), in proportion to "
        "rows, epochs, seeds and pixels. A run that several tables share counts in each, and once in the sum.\n"
    )
    yield _row(["table", "runs", "hours"])
    yield "|---|---|---|"
    every = {run.name: run for table in tables for run in table.runs}
    named = [(f"`{table.name}`", table.runs) for table in tables]
    for name, runs in [*named, ("all", list(every.values()))]:
        hours, count = known.hours(runs), sum(len(run.full.seeds) for run in runs)
        yield _row([name, str(count), "not known yet" if hours is None else _hours(hours)])


def _number(value: float) -> str:
    return f"{value:.2e}" if abs(value) < 0.005 else f"{value:.3f}"


def _rough(value: float) -> str:
    return f"{value:.1g}" if value < 0.095 else f"{value:.2g}"


def _hours(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1g}"


def _count(value: float | None) -> str:
    return NONE if value is None else f"{round(value):,}"
