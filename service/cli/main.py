"""The command `matprop`."""

import os
import sys
from typing import Annotated

import typer

from service.cli import datasets, doctor, jobs, keys, models, predict, screen, train, up

app = typer.Typer(
    name="matprop",
    help="Materials properties from crystal structures.\n\n"
    "Start a service with `matprop up`; then, in another terminal, "
    "`matprop predict *.cif --model formation-energy`.\n\n"
    "MATPROP_URL and MATPROP_KEY tell where the service is and who you are.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("predict")(predict.predict)
app.command("screen")(screen.screen)
app.command("train")(train.train)
app.command("evaluate")(train.evaluate)
app.command("up")(up.up)
app.command("doctor")(doctor.doctor)
app.command("limits")(models.limits)
app.add_typer(screen.app, name="screenings")
app.add_typer(datasets.app, name="datasets")
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")


def version(asked: bool) -> None:
    """Tell the version and end."""
    if asked:
        from importlib.metadata import version as version_of

        print(f"matprop {version_of('matprop')}")
        raise typer.Exit


@app.callback()
def root(
    asked: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """Options before the command's name."""
    del asked


def main() -> None:
    """Run a command; expected faults become one message on stderr and status 1."""
    from service.client_errors import NotAllowed, ServiceError

    try:
        app()
    except NotAllowed as error:
        fail(f"{error}\nHere: set MATPROP_KEY to your key." if error.status == 401 else str(error))
    except ServiceError as error:
        fail(str(error))
    except BrokenPipeError:  # `matprop … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a full disk, a file that may not be read
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def fail(text: str) -> None:
    """One message, and status 1."""
    print(f"matprop: {text}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
