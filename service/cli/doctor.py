"""`matprop doctor`: what is wrong here, and how to mend it."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from service.settings import ServiceSettings
    from workers.checkup.finding import Finding

# Read by others than the settings: the client, the images, the composition.
OTHERS = {
    *("MATPROP_URL", "MATPROP_KEY", "MATPROP_QUEUE", "MATPROP_PUBLISH"),
    *("MATPROP_BROKER_IMAGE", "MATPROP_BROKER_MEMORY", "MATPROP_WORKER_IMAGE"),
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="Folder of jobs, results and models.", show_default="./state"),
    ] = None,
) -> None:
    """Look at broker, disk, clocks, versions, workers, models and settings, and say how to mend them.

    Run it where the service runs, and where workers run, with their MATPROP_… variables. Status 1: something fails.
    """
    if sys.platform == "win32":
        raise typer.BadParameter("Windows runs the client only; run this in WSL or Docker")
    from workers.checkup.finding import Verdict

    found = []
    for finding in findings(os.environ, state):
        found.append(finding)
        if not as_json:
            print(as_text(finding), flush=True)
    counts = {verdict: sum(one.verdict is verdict for one in found) for verdict in Verdict}
    if as_json:
        import json

        checks = [one.as_dict() for one in found]
        print(
            json.dumps(
                {"ok": not counts[Verdict.FAIL], "checks": checks}, indent=2, ensure_ascii=False
            )
        )
    else:
        print(", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
    raise typer.Exit(1 if counts[Verdict.FAIL] else 0)


def findings(environment: Mapping[str, str], state: Path | None) -> Iterator["Finding"]:
    """One after the other, as they are made."""
    from pydantic import ValidationError

    from service.settings import ServiceSettings
    from workers.checkup import broker, machine
    from workers.checkup.finding import fail, guarded

    try:
        given: dict[str, Any] = {"state": state} if state else {}
        settings = ServiceSettings(**given)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            name = "_".join(("MATPROP", *(str(part) for part in one["loc"]))).upper()
            yield fail("settings", f"{name}: {one['msg']}", "See docs/reference/configuration.md.")
        return
    settings = settings.model_copy(update={"redis_url": broker_of(settings, environment)})
    yield from contradictions(settings, environment)
    for name, check in (
        ("broker", lambda: broker.of_broker(settings)),
        ("keys", lambda: keys(settings)),
        ("state", lambda: machine.of_state(settings, settings.min_free_bytes)),
        ("store", lambda: machine.of_store(settings)),
        ("software", machine.of_software),
        ("device", lambda: machine.of_device(settings)),
        ("models", lambda: machine.of_models(settings)),
        ("limits", lambda: machine.of_limits(settings)),
    ):
        yield from (clean(one) for one in guarded(name, check))


def broker_of(settings: "ServiceSettings", environment: Mapping[str, str]) -> str:
    """The one that is set, or that which `matprop up` keeps in the state folder."""
    from workers.embedded import BrokerError, socket_path

    folder = settings.state / "broker"
    if "MATPROP_REDIS_URL" in environment or not (folder / "valkey.conf").exists():
        return settings.redis_url
    try:
        return f"unix://{socket_path(folder)}?db=0"
    except (BrokerError, OSError):
        return settings.redis_url


def contradictions(
    settings: "ServiceSettings", environment: Mapping[str, str]
) -> Iterator["Finding"]:
    """Settings that nobody reads, or that undo each other."""
    from workers.checkup.finding import ok, warn

    known = {f"MATPROP_{name.upper()}" for name in type(settings).model_fields} | OTHERS
    strange = sorted(
        name
        for name in environment
        if name.startswith("MATPROP_") and name not in known and "_TEST_" not in name
    )
    found = [f"{name} is no setting: is it misspelt?" for name in strange]
    s = settings
    for wrong, told in (
        (s.wait_default_s > s.wait_max_s, "MATPROP_WAIT_DEFAULT_S is above MATPROP_WAIT_MAX_S"),
        (
            s.max_structure_bytes > s.max_body_bytes,
            "MATPROP_MAX_STRUCTURE_BYTES is above MATPROP_MAX_BODY_BYTES",
        ),
        (
            s.max_archive_bytes > s.max_body_bytes,
            "MATPROP_MAX_ARCHIVE_BYTES is above MATPROP_MAX_BODY_BYTES",
        ),
        (
            s.max_json_bytes > s.max_body_bytes,
            "MATPROP_MAX_JSON_BYTES is above MATPROP_MAX_BODY_BYTES",
        ),
        (
            s.lease_s < s.redis_timeout_s,
            "MATPROP_LEASE_S is below MATPROP_REDIS_TIMEOUT_S: one silent connection costs a job its worker",
        ),
        (s.max_uploads > s.max_requests, "MATPROP_MAX_UPLOADS is above MATPROP_MAX_REQUESTS"),
        (
            s.max_streams >= s.max_requests,
            "MATPROP_MAX_STREAMS leaves none of MATPROP_MAX_REQUESTS",
        ),
    ):
        found += [told] if wrong else []
    for told in found:
        yield warn("settings", told, "See docs/reference/configuration.md.")
    if not found:
        yield ok("settings", "none contradicts another")


def keys(settings: "ServiceSettings") -> Iterator["Finding"]:
    """Whether strangers are kept out where they can come."""
    from redis.exceptions import RedisError

    from workers.broker import connect_once
    from workers.checkup.finding import fail, ok

    where = f"the service listens on {settings.host}"
    if settings.on_loopback or settings.admin_key is not None:
        yield ok("keys", where + (" only" if settings.on_loopback else " and asks for keys"))
        return
    try:
        with connect_once(settings.redis_url, 2) as redis:
            stored = redis.hlen("mp:keys:hashes")
    except (RedisError, OSError):
        return  # told of already
    if stored:
        yield ok("keys", f"{where} and asks for one of {stored} keys")
    else:
        yield fail(
            "keys",
            f"{where}, and there are no keys: it refuses to start",
            "export MATPROP_ADMIN_KEY=$(matprop keys new)",
        )


def clean(finding: "Finding") -> "Finding":
    """What servers and libraries say must not steer the terminal."""
    from workers.logs import CONTROLS

    return replace(
        finding, found=finding.found.translate(CONTROLS), mend=finding.mend.translate(CONTROLS)
    )


def as_text(finding: "Finding") -> str:
    """One line, and how to mend it below."""
    text = f"{finding.verdict:<5} {finding.name:<14} {finding.found}"
    return f"{text}\n{'':20} mend: {finding.mend}" if finding.mend else text
