"""`matprop models`: what can predict."""

import json
from pathlib import Path
from typing import Annotated

import typer

from service.cli import show

app = typer.Typer(help="List, show and import models.", invoke_without_command=True)
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.callback()
def models(context: typer.Context) -> None:
    """List, show and import models."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """All models, with what they predict and how well."""
    from service.client import Client

    with Client() as client:
        found = client.models()
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    rows = []
    for one in found:
        aliases = ", ".join(f"@{alias} = {version}" for alias, version in one.aliases.items())
        answers = ", ".join(f"{what['property']} in {what['unit']}" for what in one.properties)
        unit = one.properties[0]["unit"] if len(one.properties) == 1 else ""
        error = test_error(one.metrics, unit)
        rows.append((one.name, str(one.latest), answers, error, one.origin, aliases))
    print(
        show.table(("model", "version", "predicts", "test error", "origin", "aliases"), rows),
        end="",
    )


def test_error(metrics: dict[str, dict[str, float]], unit: str) -> str:
    """The first figure of the test part; the mean absolute error has the property's unit."""
    figures = metrics.get("test") or {}
    if "mae" in figures:
        return f"mae {show.number(figures['mae'])} {unit}".rstrip()
    name = next(iter(figures), None)
    return f"{name} {show.number(figures[name])}" if name else ""


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`name`, `name@3` or `name@alias`.")],
) -> None:
    """A model's card: what it predicts, how it was made, how good it is."""
    from service.client import Client, ServiceError

    with Client() as client:
        found = client.model(name.partition("@")[0])
    wanted = name.partition("@")[2]
    versions = [one for one in found.items if wanted in ("", str(one.version), *one.aliases)]
    if not versions:
        there = ", ".join(name for one in found.items for name in (one.id, *one.aliases))
        raise ServiceError(f"{found.name} has no version {wanted!r}; there are: {there}")
    print(json.dumps(versions[0].card.model_dump(mode="json"), indent=2, ensure_ascii=False))


@app.command("elements")
def elements(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`name`, `name@3` or `name@alias`.")],
    as_json: AsJson = False,
) -> None:
    """What a model says of each element, on the average over its training structures."""
    from service.client import Client

    with Client() as client:
        found = client.elements(name)
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    rows = [
        (one.element, each.site, show.number(one.mean), std, f"{one.n:,}", told.property, told.unit)
        for told in found.properties
        for each in told.tables
        for one in sorted(each.elements, key=lambda one: one.mean)
        for std in ["" if one.std is None else show.number(one.std)]
    ]
    heads = ("element", "site", "mean", "deviation", "sites", "property", "unit")
    print(show.table(heads, rows), end="")
    print(found.meaning)


@app.command("import")
def import_model(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="The checkpoint."),
    ],
    *,
    name: Annotated[
        str, typer.Option(help="Name of the model; an existing one gets a new version.")
    ],
    property: Annotated[  # noqa: A002 (the name it has everywhere)
        str | None, typer.Option(help="What it predicts, for example `band-gap`.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Its unit, for example `eV`.")] = None,
    title: Annotated[str | None, typer.Option(help="One line for people.")] = None,
    classes: Annotated[
        str, typer.Option(help="A classifier's classes with commas; the last one is predicted.")
    ] = "",
) -> None:
    """Make a checkpoint a model, for example a published CGCNN `.pth.tar`.

    The file is read without running any code in it.
    """
    from service.client import Client

    named = [part.strip() for part in classes.split(",") if part.strip()]
    with Client() as client:
        made = client.import_model(
            file, name=name, property=property, unit=unit, title=title, classes=named
        )
    print(f"{made.id} is ready: matprop predict FILE --model {made.name}")


@app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`name`, `name@3` or `name@alias`.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", dir_okay=False, help="NAME.zip if not given.")
    ] = None,
) -> None:
    """Write a model to one file, for `matprop models import` elsewhere."""
    from service.client import Client

    with Client() as client:
        path = client.export_model(name, out or Path(f"{name.replace('@', '-')}.zip"))
    print(f"{path}: {path.stat().st_size:,} bytes")


@app.command("alias")
def alias_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="For example `prod`.")],
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version it is to mean.")],
) -> None:
    """Let `NAME@ALIAS` mean a version."""
    from service.client import Client

    with Client() as client:
        client.set_alias(name, alias, version)
    print(f"{name}@{alias} is {name}@{version}")


@app.command("unalias")
def unalias_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The alias to forget.")],
) -> None:
    """Let `NAME@ALIAS` mean nothing any more; the version stays."""
    from service.client import Client

    with Client() as client:
        client.drop_alias(name, alias)
    print(f"{name}@{alias} is forgotten")


@app.command("delete")
def delete_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`name@3`, or `name` for all of it.")],
) -> None:
    """Forget a version, or all versions, of a model that was made there."""
    from service.client import Client

    with Client() as client:
        client.delete_model(name)
    print(f"{name} is deleted")


def limits() -> None:
    """Every bound of the service."""
    from service.client import Client

    with Client() as client:
        print(json.dumps(client.limits(), indent=2, ensure_ascii=False))
