"""`matprop keys`: who may use a service that others can reach."""

from typing import Annotated

import typer

from service.cli import show

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command("new")
def new_key() -> None:
    """Print a random key, fit for MATPROP_ADMIN_KEY; needs no service."""
    import secrets

    print(f"mp_{secrets.token_urlsafe(32)}")


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="`predict`, `train`, `models:write`, `admin`; repeat.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Its own quota.")] = None,
    structures_per_day: Annotated[int | None, typer.Option(min=1, help="Its own quota.")] = None,
) -> None:
    """Make a key; its secret is shown this once. MATPROP_KEY must be an admin's."""
    from service.client import Client

    with Client() as client:
        made = client.create_key(
            name,
            scope or ["predict"],
            requests_per_minute=requests_per_minute,
            structures_per_day=structures_per_day,
        )
    print(made.key)


@app.command("list")
def list_keys() -> None:
    """All keys, without their secrets."""
    from service.client import Client

    with Client() as client:
        found = client.keys()
    rows = [
        (
            one.id,
            one.name,
            " ".join(one.scopes),
            str(one.requests_per_minute),
            str(one.structures_per_day),
        )
        for one in found
    ]
    head = ("id", "name", "scopes", "requests/minute", "structures/day")
    print(show.table(head, rows, right=(3, 4)), end="")


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, from `matprop keys list`.")],
) -> None:
    """Let a key end."""
    from service.client import Client

    with Client() as client:
        client.revoke_key(key)
    print(f"{key} is revoked")
