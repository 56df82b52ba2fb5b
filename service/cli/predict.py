"""`matprop predict`: structures in, numbers out."""

import glob
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import show

if TYPE_CHECKING:  # the client is loaded when a command needs it, so that --help is quick
    from service.client import Client, Record, Records


def predict(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Structure files, folders, archives or patterns; `-` reads one from stdin.",
        ),
    ],
    *,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="`name`, `name@3` or `name@alias`; repeat for several."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole records as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One row a number.")] = False,
    as_table: Annotated[bool, typer.Option("--table", help="For people; the default.")] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(
            help="`sites`, `features`, `neighbours`: repeat, or with commas between; shown in JSON."
        ),
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(help="Of the intervals, above 0 and below 1; 0.9 when not given."),
    ] = None,
    disorder: Annotated[
        str,
        typer.Option(help="Sites shared by several elements: `refuse`, or take the `majority`."),
    ] = "refuse",
    primitive: Annotated[bool, typer.Option(help="Reduce to primitive cells first.")] = False,
    adsorbate: Annotated[
        str | None,
        typer.Option(
            help="For models of bonds: site (from 0), sites, or element; else it is found."
        ),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="Kind of all files, when it is not recognised.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to a file: .json, .jsonl or .csv.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="A word to find the jobs by: `matprop jobs list --label`.")
    ] = None,
) -> None:
    """Predict properties of crystal structures.

    Status 0: all predicted; 1: some failed (each is told on stderr); 2: wrong usage.
    """
    form = show.chosen_form(as_json=as_json, as_csv=as_csv, as_table=as_table, out=out)
    from service.client import Client

    given = [one for file in files for one in expanded(file)]
    missing = [one for one in given if isinstance(one, Path) and not one.exists()]
    with Client() as client, show.progress_bar() as progress:
        records = client.predict(
            [one for one in given if one not in missing],
            model or [only_model(client)],
            include=[part.strip() for part in ",".join(include or ()).split(",") if part.strip()],
            level=level,
            disorder=disorder,
            primitive=primitive,
            adsorbate=adsorbate,
            format=kind,
            label=label,
            progress=progress if len(given) > 1 else None,
        )
    records.extend(not_there(file, index) for index, file in enumerate(missing, len(records)))
    finish(records, form, out)


def not_there(file: Path, index: int) -> "Record":
    """What a file that is not there is answered with: the others are answered all the same."""
    from service.client import Record
    from service.schemas.problem import ErrorItem

    error = ErrorItem(code="no_such_file", detail="There is no such file.", file=str(file))
    return Record(
        index=index,
        name=str(file),
        formula=None,
        n_sites=None,
        status="failed",
        predictions=[],
        warnings=[],
        error=error,
    )


def finish(records: "Records", form: str, out: Path | None) -> None:
    """Write the answer, tell what failed, and set the status."""
    show.write(records, form, out)
    show.faults(records)
    if not records or any(not record.ok for record in records):
        raise typer.Exit(1)


def expanded(file: str) -> list[Any]:
    """A pattern that the shell left alone, stdin, or the path itself."""
    if not file:
        raise typer.BadParameter("one of the names is empty", param_hint="FILES")
    if file == "-":
        return [("stdin", sys.stdin.buffer.read())]
    if not Path(file).exists() and any(sign in file for sign in "*?["):
        matches = sorted(glob.glob(file, recursive=True))  # noqa: PTH207 (may be absolute)
        return [Path(one) for one in matches] or [Path(file)]
    return [Path(file)]


def only_model(client: "Client") -> str:
    """The model to take when none is named: the only one there is."""
    names = [one.name for one in client.models()]
    if len(names) == 1:
        print(f"model: {names[0]} (the only one here)", file=sys.stderr)
        return names[0]
    there = ", ".join(names) or "none"
    raise typer.BadParameter(f"name a model; there are: {there}", param_hint="--model")
