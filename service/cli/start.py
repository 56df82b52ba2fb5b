"""What `matprop up` does, from the checked settings to the last process ended."""

import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.settings import ServiceSettings
from workers import embedded, machine
from workers.address import shown
from workers.supervisor import StartError, Supervisor

PATIENCE_S = 120.0
FIRST_PATIENCE_S = (
    2.0  # a service that is gone will not come back, and nobody ends before its callers
)
DEFAULT_URL = "http://127.0.0.1:8000"
EXAMPLE = "NaCl.cif"
MODEL = "formation-energy"


def everything(given: dict[str, Any], workers: int | None) -> None:
    """Check, start, show, keep, end. Raises StartError, BrokerError."""
    settings = checked(given)
    folder = settings.state.expanduser().resolve()
    with machine.alone(folder) as killed_before:
        patience_s = machine.PATIENCE_WITH_REMAINS_S if killed_before else 0.0
        free = machine.free_port(settings.host, settings.port, patience_s)
        settings = settings.model_copy(update={"port": free, "state": folder})
        with machine.opened(settings.host, settings.port) as door:
            run(settings, workers or min(8, machine.processors()), door)


def checked(given: dict[str, Any]) -> ServiceSettings:
    """The settings, before anything is started. Raises StartError that names the variable."""
    try:
        settings = ServiceSettings(
            **{key: value for key, value in given.items() if value is not None}
        )
    except ValidationError as error:
        lines = [
            f"MATPROP_{'_'.join(str(part) for part in one['loc']).upper()}: {one['msg']}"
            for one in error.errors()
        ]
        raise StartError("\n".join(lines)) from None
    if not settings.on_loopback and settings.admin_key is None:
        raise StartError(
            f"{settings.host} can be reached from other machines, so callers need keys.\n"
            "Make an administrator's key and start again:\n"
            "    export MATPROP_ADMIN_KEY=$(matprop keys new)\n"
            "Or listen on this machine only: --host 127.0.0.1"
        )
    return settings


def run(settings: ServiceSettings, parse_workers: int, door: socket.socket | None) -> None:
    """Start everything, show that it works, keep it running, end everything."""
    files = f" · files in {settings.store_url}" if settings.store_url else ""
    say(f"matprop {version('matprop')} · state in {settings.state}{files}")
    broker = embedded.choose(settings.state, os.environ)
    environment = machine.environment_of(
        os.environ | {"MATPROP_STORE_URL": settings.store_url},
        url=broker.url,
        state=settings.state,
        host=settings.host,
        port=settings.port,
    )
    with Supervisor(
        settings.state, lambda text: say(f"{time.strftime('%H:%M:%S')} {text}")
    ) as all_of_it:
        programs = machine.programs(
            broker, environment, parse_workers, settings.train_workers, door
        )
        if started(all_of_it, settings, broker, programs):
            first = threading.Thread(target=show_first, args=(settings, all_of_it), daemon=True)
            first.start()  # in a thread, so that a Ctrl-C or a crash meanwhile is seen to
            all_of_it.keep()
        if door is not None:
            door.close()  # nobody is to wait for a service that does not come back
        say("\nEnding …")
    say("Ended. Everything accepted so far is kept in the state folder.")


def started(
    supervisor: Supervisor, settings: ServiceSettings, broker: embedded.Broker, programs: Any
) -> bool:
    """Broker first, then the rest; false when asked to end meanwhile."""
    began = time.monotonic()
    if broker.program is None:
        if fault := embedded.fault_of(broker.url):
            raise StartError(
                f"no broker answers at {shown(broker.url)} (MATPROP_REDIS_URL): {fault}"
            )
        say(f"Broker: yours at {shown(broker.url)}")
    else:
        supervisor.start(programs[0])
        if not supervisor.until(lambda: embedded.answers(broker.url), PATIENCE_S):
            return False
        say(f"Broker: {named(broker.program)}")
    say("Starting service and workers …")
    for program in programs:
        if program.name != "broker":
            supervisor.start(program)
    address = local_url(settings)
    if not supervisor.until(lambda: is_ready(address), PATIENCE_S):
        return False
    say(f"Ready after {time.monotonic() - began:.1f} s.\n")
    return True


def named(program: Path) -> str:
    """A program in few words: where it is matters only when it is the machine's own."""
    bundled = program.is_relative_to(sys.prefix)
    return f"{program.name}, from a Python package" if bundled else str(program)


def is_ready(address: str) -> bool:
    """Whether a prediction can be made now."""
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def show_first(settings: ServiceSettings, supervisor: Supervisor) -> None:
    """A prediction for a bundled crystal, and how to make the next one; nothing of it once all ends."""
    address = local_url(settings)
    say(f"Service:  {address}")
    say(f"Docs:     {address}/docs")
    say(f"Logs:     {settings.state / 'logs'}\n")
    example = Path(str(files("service") / "examples" / EXAMPLE))
    told = first_prediction(address, settings, example)
    if supervisor.ending:
        return
    say(told)
    key = ' -H "Authorization: Bearer $MATPROP_ADMIN_KEY"' if settings.admin_key else ""
    where = "" if address == DEFAULT_URL else f"MATPROP_URL={address} "
    where += "MATPROP_KEY=$MATPROP_ADMIN_KEY " if settings.admin_key else ""
    file = quoted(nearby(example))
    there = " (set MATPROP_ADMIN_KEY there too)" if settings.admin_key else ""
    say(
        f"\nIn another terminal{there}:\n\n"
        f"  curl{key} -F files=@{file} -F model={MODEL} {address}/v1/predictions\n\n"
        f"  {where}{quoted(program())} predict {file} --model {MODEL}\n\n"
        "Ctrl-C ends everything."
    )


def first_prediction(address: str, settings: ServiceSettings, example: Path) -> str:
    """The sentence with the number, or why there is none; the service runs on either way."""
    from service.client import Client
    from service.client_errors import ServiceError

    key = settings.admin_key.get_secret_value() if settings.admin_key else None
    try:
        with Client(address, key, patience_s=FIRST_PATIENCE_S) as client:
            began = time.monotonic()
            [record] = client.predict([(example.name, example)], MODEL)
            took_ms = 1000 * (time.monotonic() - began)
    except ServiceError as error:
        return f"The first prediction did not work: {error.detail}"
    if record.error is not None or not record.predictions:
        return f"The first prediction did not work: {record.error and record.error.detail}"
    [one] = record.predictions[:1]
    return (
        f"First prediction: {record.formula} ({record.name}), "
        f"{one.property} = {one.value:.3f} {one.unit}   [{one.model}, {took_ms:.0f} ms]"
    )


def local_url(settings: ServiceSettings) -> str:
    """The address as seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def program() -> str:
    """How to call `matprop` in another terminal."""
    beside = Path(sys.executable).with_name("matprop")
    on_path = any(
        Path(folder, "matprop") == beside for folder in os.environ.get("PATH", "").split(os.pathsep)
    )
    return "matprop" if on_path or not beside.exists() else str(nearby(beside))


def nearby(path: Path) -> Path:
    """The shorter way to write a path."""
    with suppress(ValueError, OSError):
        return path.relative_to(Path.cwd())
    return path


def quoted(text: object) -> str:
    """As a shell reads it."""
    import shlex

    return shlex.quote(str(text))


def say(text: str) -> None:
    """A line for whoever looks; a closed terminal is no fault."""
    with suppress(OSError, ValueError):
        print(text, flush=True)
