"""Writes docs/reference from the code: `python -m service.cli.reference`; a test keeps them equal."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo

DOCS = Path(__file__).parents[2] / "docs" / "reference"
NOTICE = "<!-- Written from the code by `make reference`; change it there. -->\n"


def configuration() -> str:
    """Every setting of a deployment."""
    from service.settings import ServiceSettings
    from workers.settings import WorkerSettings

    shared = set(WorkerSettings.model_fields)
    door = {name: one for name, one in ServiceSettings.model_fields.items() if name not in shared}
    return "\n".join(
        [
            "# Configuration",
            "",
            NOTICE,
            "All settings are environment variables, read once when a process starts. A bad value",
            "refuses the start and names the variable. `matprop up` hands its environment on to",
            "every process it starts; its options `--host`, `--port` and `--state` come first.",
            "",
            "## Service and workers",
            "",
            *settings_table(WorkerSettings.model_fields.items()),
            "",
            "## Service only",
            "",
            *settings_table(door.items()),
            "",
            "## Client and command line",
            "",
            *table(
                ("variable", "default", "meaning"),
                [
                    ("`MATPROP_URL`", "`http://127.0.0.1:8000`", "Address of the service."),
                    ("`MATPROP_KEY`", "none", "Your API key; needless on a service without keys."),
                ],
            ),
            "",
        ]
    )


def settings() -> str:
    """Every setting of a training, family by family, with its value in each recipe."""
    from models.families.kinds import KINDS

    return "\n".join(
        [
            "# Settings of models and trainings",
            "",
            NOTICE,
            "A training names its family and a recipe, and sends in `settings` what is to differ,",
            "side by side: no two parts of a family share a name. `best` is the default; `paper` is",
            "what the family's paper tells. Settings of input and network travel with the model, in",
            "its card. `GET /v1/models/families/{family}` has the same with every bound.",
            "",
            *(line for kind in KINDS.values() for line in family_tables(kind)),
        ]
    )


def family_tables(kind: Any) -> Iterator[str]:
    """A table a part of a family."""
    from models.families.recipes import NOT_TUNED
    from models.settings.training import TrainingSettings
    from service.routes.families import complete

    best, paper = complete(kind.name, "best"), complete(kind.name, "paper")
    yield from (f"## {kind.name}", "", f"{kind.title}.", "")
    parts = {"Input": kind.input, "Network": kind.network, "Training": TrainingSettings}
    for title, part in parts.items():
        rows = [
            (f"`{name}`", value_text(best[name]), value_text(paper[name]), field.description or "")
            for name, field in part.model_fields.items()
            if name not in NOT_TUNED
        ]
        yield from (f"### {title} ({kind.name})", "")
        yield from (*table(("setting", "best", "paper", "meaning"), rows), "")


def value_text(value: Any) -> str:
    """A value as JSON would have it."""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def errors() -> str:
    """Every code a caller can meet."""
    from models.errors import error_classes
    from service.problems import codes

    known = codes()
    rows = [
        (f"`{code}`", str(status), title, cure)
        for code, (status, title, cure) in sorted(
            known.items(), key=lambda item: (item[1][0], item[0])
        )
    ]
    rows += [
        (f"`{code}`", "", (cls.__doc__ or "").strip(), "")
        for code, cls in sorted(error_classes().items())
        if code not in known
    ]
    return "\n".join(
        [
            "# Errors",
            "",
            NOTICE,
            "Every refusal is `application/problem+json` (RFC 9457) with a stable `code`, the",
            "`detail` in words, a `hint` that helps, the `request_id`, and `errors[]` with the file",
            "and the place where there is one. The same codes stand in the record of a single",
            "structure, where the status is that of the whole call. Codes never change their",
            "meaning; test for them, not for the words.",
            "",
            "429 and 503 carry `Retry-After` in seconds; the Python client and the command line wait",
            "so long and try again by themselves. No bad input ever gives a 5xx.",
            "",
            *table(("code", "status", "meaning", "what helps"), rows),
            "",
        ]
    )


def command_line() -> str:
    """Every command with its options."""
    from service.cli.main import app

    command = typer.main.get_command(app)
    return "\n".join(
        [
            "# Command line",
            "",
            NOTICE,
            "Status 0: done. 1: something failed, told on stderr. 2: wrong usage.",
            "",
            *commands(command, "matprop"),
        ]
    )


def commands(command: Any, path: str) -> Iterator[str]:
    """A command and those under it."""
    children = getattr(command, "commands", {})
    if not children:
        yield from one_command(command, path)
    for name, child in children.items():
        yield from commands(child, f"{path} {name}")


def one_command(command: Any, path: str) -> Iterator[str]:
    """A heading, what it does, and a row an option."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    yield from (f"## {path}", "", f"`{' '.join([path, *map(placeholder, arguments)])}`", "")
    yield from ((command.help or "").strip(), "")
    rows = [(f"`{placeholder(one)}`", "", one.help or "") for one in arguments]
    rows += [
        (
            ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts]),
            default_of(one),
            one.help or "",
        )
        for one in options
        if "--help" not in one.opts
    ]
    if rows:
        yield from (*table(("option", "default", "meaning"), rows), "")


def placeholder(argument: Any) -> str:
    """A positional argument as usage lines show it."""
    return str(argument.name).upper() + ("…" if argument.nargs == -1 else "")


def default_of(option: Any) -> str:
    """As the reader would type it."""
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    return "" if shown in (None, "", False, [], ()) or callable(shown) else f"`{shown}`"


def api() -> str:
    """Every address of the service in a line; the whole contract is openapi.yaml."""
    from service.app import create
    from service.openapi import contract
    from service.settings import ServiceSettings

    paths = contract(create(ServiceSettings(host="127.0.0.1", admin_key=None)))["paths"]
    rows = [
        (f"`{method.upper()} {path}`", about.get("summary", ""))
        for path, item in paths.items()
        for method, about in item.items()
        if method in ("get", "post", "put", "delete", "patch")
    ]
    return "\n".join(
        [
            "# HTTP API",
            "",
            NOTICE,
            "The contract is [openapi.yaml](../../openapi.yaml); a running service shows it at",
            "`/docs`. Changes under `/v1` only ever add.",
            "",
            *table(("call", "what it does"), rows),
            "",
            "**Waiting.** `Prefer: wait=10` waits up to 10 s for the answer; without it a POST waits",
            "a few seconds. What is not done in time answers 202 with the job's address in",
            "`Location`. `Prefer: respond-async` does not wait at all.",
            "",
            "**Doing it once.** `Idempotency-Key` on a POST makes it safe to send again: the same key",
            "and body give the same answer for 24 h.",
            "",
            "**Pages.** Lists take `limit` and `cursor`; `links.next` is the next page. Models and keys come all",
            "at once.",
            "",
            "**Names of models.** `name` is the newest version, `name@3` that version, `name@prod`",
            "what the alias points to. Answers always tell the version.",
            "",
        ]
    )


def models() -> str:
    """Every model that ships."""
    from service.cli import shipped

    what = ("model", "predicts", "rows: learned / chosen by / judged by", "test error")
    return "\n".join(
        [
            "# Models that ship",
            "",
            NOTICE,
            "Each is an ensemble trained through the service by `python -m benchmarks.release --data FOLDER`; its",
            "page at `/models/NAME` has plots, limits and settings. Errors are mean absolute ones of test rows",
            "that taught nothing, by the fixed split of `benchmarks/splits.py`; where they had a part in choosing",
            "settings, the card's notes say so. A property whose model were no better than the best simple",
            "method would be left out, and named here; there is none.",
            "",
            *table((*what, "one member", "best simple method"), shipped.errors()),
            "",
            "## Intervals and domain",
            "",
            "Of the test rows: the share within the 90 % interval, the rank correlation of its width with the",
            "error, and the share flagged as unlike the training data.",
            "",
            *table(
                ("model", "members", "structures", "coverage", "correlation", "flagged"),
                shipped.trust(),
            ),
            "",
            "## Data",
            "",
            *table(("model", "data", "cite", "licence"), shipped.sources()),
            "",
        ]
    )


def metrics() -> str:
    """Every figure of `/metrics`."""
    from workers.figures import FIGURES

    parts = {
        "Healthy": "Is it healthy?",
        "Busy": "Is it busy?",
        "Time": "Where is time spent?",
        "HTTP": "Requests",
    }
    lines = [
        "# Metrics",
        "",
        NOTICE,
        "`GET /metrics` tells these in Prometheus' text form, without a key. All but those under *Requests*",
        "and `build_info` are the same whichever service process is asked: workers count for themselves and",
        "tell the broker once a second. Sizes are bytes, times seconds. Labels never hold what strangers",
        "choose. [Watch it](../how-to/operate.md) has the dashboard, the alerts, and what to do about them.",
        "",
    ]
    for part, title in parts.items():
        found = [
            (f"`{one.full}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.about)
            for one in FIGURES
            if one.part == part
        ]
        lines += [f"## {title}", "", *table(("metric", "kind", "labels", "meaning"), found), ""]
    return "\n".join(lines)


def settings_table(fields: Iterable[tuple[str, FieldInfo]]) -> list[str]:
    """A row a variable."""
    rows = [
        (f"`MATPROP_{name.upper()}`", default_text(field), field.description or "")
        for name, field in fields
    ]
    return table(("variable", "default", "meaning"), rows)


def default_text(field: FieldInfo) -> str:
    """The default as one would write it."""
    value = getattr(field.default, "value", field.default)
    return "none" if value in (None, "") else f"`{value}`"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


PAGES = {
    "configuration.md": configuration,
    "settings.md": settings,
    "errors.md": errors,
    "cli.md": command_line,
    "api.md": api,
    "models.md": models,
    "metrics.md": metrics,
}


def main() -> None:
    """Write them all."""
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")
        print(DOCS / name, file=sys.stderr)


if __name__ == "__main__":
    main()
