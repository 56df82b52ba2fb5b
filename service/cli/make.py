"""`matprop datasets make`: data sets by computation, on this machine, in a process of its own."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from workers.machine import processors

app = typer.Typer(
    help="Make data sets by computation, on this machine; nothing is sent.", no_args_is_help=True
)

Count = Annotated[int, typer.Option(min=1, max=10_000_000, help="How many structures.")]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="The file to write: .extxyz, .jsonl or .parquet."),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed makes the same file.")]


@app.command()
def dimers(
    *,
    count: Count,
    out: Out,
    dimensions: Annotated[int, typer.Option(min=2, max=3, help="2: all in one plane.")] = 2,
    shortest: Annotated[float, typer.Option(help="Shortest distance in Å, at least 0.5.")] = 1.0,
    longest: Annotated[float, typer.Option(help="Longest distance in Å, at most 5.")] = 2.0,
    even: Annotated[
        Literal["distance", "energy"],
        typer.Option(help="What is drawn evenly; energies from the well's bottom outwards."),
    ] = "distance",
    seed: Seed = 0,
) -> None:
    """Pairs of hydrogen atoms in a box of 10 Å: columns `dimer_distance` (Å) and `dimer_energy` (Lennard-Jones, ε)."""
    options: dict[str, object] = {
        "dimensions": dimensions,
        "shortest": shortest,
        "longest": longest,
        "even": even,
    }
    _run("dimers", {"count": count, "out": out, "seed": seed, **options})


@app.command()
def sheets(
    *,
    count: Count,
    out: Out,
    columns: Annotated[int, typer.Option(min=2, max=20, help="Cells of 2.5 Å.")] = 5,
    rows: Annotated[int, typer.Option(min=2, max=20, help="Cells of 4.3 Å, four atoms each.")] = 3,
    displacement: Annotated[
        float, typer.Option(min=0, max=0.2, help="Largest mean shift of atoms along an axis, Å.")
    ] = 0.1,
    kinds: Annotated[
        str, typer.Option(help="Which sheets, with commas between.")
    ] = "graphene,hbn,mixture",
    defects: Annotated[
        str, typer.Option(help="Which defects, with commas between.")
    ] = "none,vacancy,stone-wales",
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, show_default="processors")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Shaken sheets of graphene and boron nitride: columns `energy` and, an atom, `sheet_energy` (eV, GFN1-xTB)."""
    options: dict[str, object] = {"columns": columns, "rows": rows, "displacement": displacement}
    options |= {"kinds": kinds, "defects": defects, "processes": processes or processors()}
    _run("sheets", {"count": count, "out": out, "seed": seed, **options})


def _run(what: str, options: dict[str, object]) -> None:
    """In another process: this one holds neither numpy nor the models' code."""
    if find_spec("numpy") is None:
        _fail("Making data sets needs numpy and more: pip install 'matprop[worker,label]'.")
    words = [sys.executable, "-m", "models.generators", what]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    # One thread a process; a folder `models` where the user stands is not ours.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment, check=False)  # noqa: S603 - our own program
    if done.returncode == 1 and done.stdout:
        _fail(_told(json.loads(done.stdout)))
    if done.returncode:
        raise typer.Exit(done.returncode)
    print(f"{options['out']}: {options['count']} {what}")


def _told(error: dict[str, str]) -> str:
    parts = [f"{name} {error[name]}" for name in ("expected", "got") if name in error]
    return error["detail"] + (f" ({', '.join(parts)})" if parts else "")


def _fail(text: str) -> None:
    print(f"matprop: {text}", file=sys.stderr)
    raise typer.Exit(1)
