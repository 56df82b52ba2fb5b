"""`matprop screen` and `matprop screenings`: very many structures in, a table out."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import show
from service.cli.predict import expanded, only_model

if TYPE_CHECKING:  # the client is loaded when a command needs it, so that --help is quick
    from service.client import Client
    from service.client_screen import OnProgress, Rows
    from service.schemas.job import JobView

app = typer.Typer(help="Screenings: their tables and what failed.", no_args_is_help=True)
SHOWN = 20  # rows on a terminal, where nothing else is asked
ASIDE = (".std", ".lower", ".upper", ".in_domain", ".score", ".reasons", ".values", ".min", ".max")
FIRST = ("index", "status", "code", "error", "warnings", "n_sites")

JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="For example job_01JD3Q5T8Z6M4W2K7N9V1X3B5C.")
]
WhereRows = Annotated[
    str | None,
    typer.Option("--where", "-w", help="Only such rows: 'band-gap > 1.5 and in_domain'."),
]
Sort = Annotated[
    str | None, typer.Option("--sort", "-s", help="By these columns; `-band-gap` is descending.")
]
Top = Annotated[int | None, typer.Option("--top", "-n", min=1, help="Only so many rows.")]
Columns = Annotated[str | None, typer.Option("--columns", help="Only these, with commas.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write all rows to a file: .csv, .jsonl or .parquet."),
]
AsJson = Annotated[bool, typer.Option("--json", help="All rows as JSON lines.")]


def screen(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help="Structure files, folders, archives or patterns."),
    ] = None,
    *,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="`name`, `name@3` or `name@alias`; repeat for several."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Screen a data set instead: its name or id.")
    ] = None,
    location: Annotated[
        str | None,
        typer.Option(help="Screen what the service can read itself: a path there, or s3://…."),
    ] = None,
    where: WhereRows = None,
    sort: Sort = None,
    top: Top = None,
    columns: Columns = None,
    out: Out = None,
    as_json: AsJson = False,
    level: Annotated[
        float | None, typer.Option(help="Of the intervals, above 0 and below 1; 0.9 if not given.")
    ] = None,
    disorder: Annotated[
        str,
        typer.Option(help="Sites shared by several elements: `refuse`, or take the `majority`."),
    ] = "refuse",
    primitive: Annotated[bool, typer.Option(help="Reduce to primitive cells first.")] = False,
    adsorbate: Annotated[
        str | None,
        typer.Option(help="For models of bonds: site (from 0), sites, or element; else found."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="Kind of all files, when it is not recognised.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="A word to find the job by: `matprop jobs list --label`.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
) -> None:
    """Predict properties of very many structures, and pick out the best.

    Ctrl-C stops watching only; the screening goes on.
    """
    checked_out(out)
    if sum(bool(one) for one in (files, dataset, location)) != 1:
        raise typer.BadParameter("give FILES, --dataset or --location: one of them")
    from service.client import Client

    given = [one for file in files or () for one in expanded(file)] or None
    with Client() as client:
        job = client.submit_screening(
            given,
            model or [only_model(client)],
            dataset=dataset,
            location=location,
            level=level,
            disorder=disorder,
            primitive=primitive,
            adsorbate=adsorbate,
            format=kind,
            label=label,
        )
        if detach:
            print(job)
            return
        print(f"{job}: screening", file=sys.stderr)
        question = {"where": where, "sort": sort, "top": top, "columns": columns}
        ended = watched(client, job, question)
        tell(client, job, question, out, as_json=as_json)
        progress = ended.progress
        if ended.status != "succeeded" or (progress.done and progress.failed == progress.done):
            raise typer.Exit(1)


def watched(client: "Client", job: str, question: dict[str, Any]) -> "JobView":
    """The job at its end; a question that cannot be asked is told before hours have passed."""
    from service.client_errors import JobFailed

    try:
        next(client.screened(job, **question).pages(1), None)
        with bar() as progress:
            client.resume_screening(job, progress)
    except JobFailed as error:
        print(f"matprop: {error.detail}", file=sys.stderr)
    except KeyboardInterrupt:
        print(
            f"\nThe screening goes on.\n  rows so far: matprop screenings results {job}\n"
            f"  follow:      matprop jobs watch {job}\n  stop:        matprop jobs cancel {job}",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    return client.job(job)


@contextmanager
def bar() -> "Iterator[OnProgress | None]":
    """A bar with rate and time left, when somebody looks at it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    words = TextColumn("{task.fields[figures]}")
    with Progress(BarColumn(), words, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:  # fmt: skip
        task = shown.add_task("", total=None, figures="waiting")

        def told(now: Any) -> None:
            figures = f"{now.done:,} of {now.total or '?':,}" if now.total else f"{now.done:,}"
            speed = shown.tasks[task].speed
            figures += f", {speed:,.0f}/s" if speed else ""
            figures += f", {now.failed:,} failed" if now.failed else ""
            shown.update(task, total=now.total or None, completed=now.done, figures=figures)

        yield told


@app.command("list")
def list_screenings() -> None:
    """Your screenings, the newest first."""
    from service.cli.jobs import row_of
    from service.client import Client

    with Client() as client:
        found = client.jobs(limit=20, kind="screen")
    if not found:
        print("no screenings", file=sys.stderr)
        return
    head = ("job", "kind", "status", "done", "created", "models", "label")
    print(show.table(head, [row_of(one) for one in found]), end="")


@app.command("results")
def results(
    job: JobId,
    *,
    where: WhereRows = None,
    sort: Sort = None,
    top: Top = None,
    columns: Columns = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Rows of a screening's table, those that are there now; it may still run."""
    checked_out(out)
    from service.client import Client

    with Client() as client:
        question = {"where": where, "sort": sort, "top": top, "columns": columns}
        tell(client, job, question, out, as_json=as_json)


@app.command("columns")
def columns_of(job: JobId) -> None:
    """The columns of a screening's table and what they hold."""
    from service.client import Client

    with Client() as client:
        found = client.screening_columns(job)
    rows = [(one.name, one.type, one.about) for one in found]
    print(show.table(("column", "type", "holds"), rows), end="")


@app.command("errors")
def errors(job: JobId, *, as_json: AsJson = False) -> None:
    """The structures of a screening that failed, and why."""
    from service.client import Client

    with Client() as client:
        for one in client.screening_errors(job):
            if as_json:
                print(json.dumps(one.model_dump(mode="json", exclude_none=True)))
            elif one.error is not None:
                place = f" ({one.error.place})" if one.error.place else ""
                print(f"{one.index}  {one.name}{place}: {one.error.detail} [{one.error.code}]")


def tell(
    client: "Client", job: str, question: dict[str, Any], out: Path | None, *, as_json: bool
) -> None:
    """The rows to a file, as JSON lines, or as a table with what else there is to know."""
    rows = client.screened(job, **question)
    if out is not None:
        rows.save(out)
        print(f"{out}: {out.stat().st_size:,} bytes", file=sys.stderr)
    elif as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
    else:
        on_terminal(rows, question)
    state(client, job)


def on_terminal(rows: "Rows", question: dict[str, Any]) -> None:
    """Some rows as a table; how many more there are."""
    shown = question["top"] or SHOWN
    found = [row for _, row in zip(range(shown), rows, strict=False)]
    if not found:
        print("no rows", file=sys.stderr)
        return
    names = list(found[0]) if question["columns"] else chosen(found[0])
    body = [tuple(cell(row[name]) for name in names) for row in found]
    right = [i for i, name in enumerate(names) if any(is_number(row[name]) for row in found)]
    sys.stdout.write(show.table(names, body, right=right))
    if not question["top"] and len(found) == shown and (all_of := rows.count()) > shown:
        print(f"{shown} of {all_of:,} rows; more with --top, all with --out FILE", file=sys.stderr)


def chosen(row: dict[str, Any]) -> list[str]:
    """The columns that fit on a screen: names, and each model's answer."""
    return [name for name in row if name not in FIRST and not name.endswith(ASIDE)]


def is_number(value: object) -> bool:
    """Whether it stands to the right."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """A value in the table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return show.number(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def state(client: "Client", job: str) -> None:
    """What to know beside the rows: whether it goes on, and what failed."""
    now = client.job(job)
    progress = now.progress
    if not now.finished_at:
        of = f" of {progress.total:,}" if progress.total else ""
        print(f"still running: {progress.done:,}{of} structures", file=sys.stderr)
    if progress.failed:
        print(
            f"{progress.failed:,} of {progress.done:,} structures failed: "
            f"matprop screenings errors {job}",
            file=sys.stderr,
        )


def checked_out(out: Path | None) -> None:
    """Raises `BadParameter` for a file that cannot be written, before any work is done."""
    if out is None:
        return
    if fault := show.unwritable(out):
        raise typer.BadParameter(f"cannot write {out}: {fault}", param_hint="--out")
    if out.suffix.lower() not in (".csv", ".jsonl", ".parquet"):
        raise typer.BadParameter("its ending is .csv, .jsonl or .parquet", param_hint="--out")
