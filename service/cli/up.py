"""`matprop up`: the whole service on this machine, in the foreground."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def up(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one.", show_default="8000")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Folder of jobs, results and models.", show_default="./state"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="Where uploads, results and models lie: file:///folder or s3://bucket/prefix.",
            show_default="the state folder",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Processes that read files.", show_default="processors"),
    ] = None,
) -> None:
    """Run broker, service and workers here until Ctrl-C, and make a first prediction.

    The broker is an embedded Valkey; set MATPROP_REDIS_URL to use one of your own.
    What is accepted stays in the state folder and goes on after a restart.
    """
    if sys.platform == "win32":
        raise typer.BadParameter("Windows runs the client only; start the service in WSL or Docker")
    from service.cli import start
    from workers.embedded import BrokerError
    from workers.supervisor import StartError

    try:
        start.everything({"host": host, "port": port, "state": state, "store_url": store}, workers)
    except (StartError, BrokerError) as error:
        print(f"matprop: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
