"""`matprop datasets`: labelled structures to learn from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import make, show

if TYPE_CHECKING:  # the client is loaded when a command needs it, so that --help is quick
    from service.schemas.dataset import DatasetView

app = typer.Typer(help="Data sets: add, look at, delete; or make some.", no_args_is_help=True)
app.add_typer(make.app, name="make")

Known = Annotated[str, typer.Argument(metavar="NAME", help="A name (its newest set) or an id.")]
AsJson = Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")]


@app.command("list")
def list_sets(*, as_json: AsJson = False) -> None:
    """Your data sets, the newest first."""
    from service.client import Client

    with Client() as client:
        found = client.datasets()
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    rows = [
        (one.name, f"{one.rows:,}", f"{one.refused:,}", labels(one), f"{one.created_at:%F %R}", one.id)
        for one in found
    ]  # fmt: skip
    heads = ("name", "rows", "refused", "labels", "created", "id")
    print(show.table(heads, rows, right=(1, 2)), end="")


def labels(one: "DatasetView") -> str:
    """The names of the first columns."""
    names = [column.name for column in one.columns]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


@app.command("add")
def add_set(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="A zip with `id_prop.csv`, JSON lines, extxyz, Parquet or CSV.",
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="What to call it; the file's name if none.")] = None,
    format: Annotated[  # noqa: A002 (the name it has everywhere)
        str | None, typer.Option(help="What kind of file it is, where its name does not tell.")
    ] = None,
    coordinates: Annotated[
        str | None, typer.Option(help="Column of the fractional coordinates, if not the usual one.")
    ] = None,
    columns: Annotated[str, typer.Option(help="Labels to keep, with commas; all if none.")] = "",
    good_share: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of rows that must be good.")
    ] = 0.9,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Keep a data set: its rows are read and checked, bad ones are named in its report."""
    from service.client import Client

    wanted = [part.strip() for part in columns.split(",") if part.strip()]
    with Client() as client, show.progress_bar() as progress:
        made = client.add_dataset(
            file,
            progress=progress,
            name=name,
            format=format,
            coordinates=coordinates,
            columns=wanted or None,
            good_share=good_share,
        )
    show_view(made, as_json=as_json)


@app.command("show")
def show_set(known: Known, *, as_json: AsJson = False) -> None:
    """What a data set holds."""
    from service.client import Client

    with Client() as client:
        show_view(client.dataset(known), as_json=as_json)


def show_view(one: "DatasetView", *, as_json: bool) -> None:
    """The columns as a table, and what else there is to know."""
    if as_json:
        print(json.dumps(one.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    print(f"{one.name}  {one.id}  from {one.source}")
    print(
        f"{one.rows:,} rows, {one.sites:,} sites ({one.smallest} to {one.largest} a row), "
        f"{len(one.elements)} elements"
    )
    rows = [
        (column.name, column.kind, f"{column.known:,}", *map(show.number, (column.min, column.mean, column.max)))
        for column in one.columns
    ]  # fmt: skip
    print(show.table(("label", "kind", "known", "least", "mean", "largest"), rows, right=(2, 3, 4, 5)), end="")  # fmt: skip
    for note in one.notes:
        print(f"Note: {note}")
    if one.refused:
        print(f"{one.refused:,} rows are not in it: matprop datasets report {one.id}")


@app.command("report")
def report(known: Known, *, as_json: AsJson = False) -> None:
    """The rows of the file that are not in a data set, and why."""
    from service.client import Client

    with Client() as client:
        for bad in client.dataset_report(known):
            if as_json:
                print(json.dumps(bad.model_dump(mode="json", exclude_none=True)))
                continue
            error = bad.error
            place = f" ({error.place})" if error.place else ""
            came = f" Expected {error.expected}, got {error.got}." if error.expected else ""
            print(f"row {bad.row}  {bad.name}  {error.code}: {error.detail}{place}{came}")


@app.command("delete")
def delete_set(known: Known) -> None:
    """Forget a data set; models that were made of it stay."""
    from service.client import Client

    with Client() as client:
        client.delete_dataset(known)
    print(f"{known} is deleted")
