"""`matprop jobs`: what runs and what ran."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import show, watching

if TYPE_CHECKING:
    from service.schemas.job import JobView

app = typer.Typer(help="List, follow, cancel and repeat jobs.", invoke_without_command=True)
JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="For example job_01JD3Q5T8Z6M4W2K7N9V1X3B5C.")
]


@app.callback()
def jobs(context: typer.Context) -> None:
    """List, follow and cancel jobs."""
    if context.invoked_subcommand is None:
        list_jobs()


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    status: Annotated[str | None, typer.Option(help="For example `running`.")] = None,
    label: Annotated[str | None, typer.Option(help="The word given with the job.")] = None,
    kind: Annotated[str | None, typer.Option(help="For example `train`.")] = None,
) -> None:
    """The newest jobs."""
    from service.client import Client

    with Client() as client:
        found = client.jobs(limit=limit, status=status, label=label, kind=kind)
    if not found:
        print("no jobs", file=sys.stderr)
        return
    head = ("job", "kind", "status", "done", "created", "models", "label")
    print(show.table(head, [row_of(one) for one in found]), end="")


def row_of(job: "JobView") -> tuple[str, ...]:
    """A job in one line."""
    done = f"{job.progress.done}/{'?' if job.progress.total is None else job.progress.total}"
    if job.progress.failed:
        done += f" ({job.progress.failed} failed)"
    created = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return job.id, job.kind, job.status, done, created, ", ".join(job.models), job.label or ""


@app.command("show")
def show_job(job: JobId) -> None:
    """Where a job stands."""
    from service.client import Client

    with Client() as client:
        print(client.job(job).model_dump_json(indent=2, exclude_none=True))


@app.command("watch")
def watch_job(job: JobId) -> None:
    """Follow a job to its end; Ctrl-C leaves it running."""
    from service.client import Client

    with Client() as client:
        ended = watching.watch(client, job, "job", sys.stdout)
        why = client.job(job).error
    if ended != "succeeded":
        if why:
            print(f"{why.detail} [{why.code}]", file=sys.stderr)
        raise typer.Exit(1)


@app.command("results")
def results_of_job(
    job: JobId,
    as_json: Annotated[bool, typer.Option("--json", help="The whole records as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One row a number.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to a file: .json, .jsonl or .csv.")
    ] = None,
) -> None:
    """The records of a prediction, waiting for its end: picks up what was interrupted."""
    from service.cli.predict import finish
    from service.client import Client

    form = show.chosen_form(as_json=as_json, as_csv=as_csv, as_table=False, out=out)
    with Client() as client, show.progress_bar() as progress:
        records = client.resume(job, progress)
    finish(records, form, out)


@app.command("cancel")
def cancel_job(job: JobId) -> None:
    """Ask a job to end; what it has done so far stays."""
    from service.client import Client

    with Client() as client:
        print(f"{job}: {client.cancel(job).status}")


@app.command("retry")
def retry_job(job: JobId) -> None:
    """Do an ended job again, as a job of its own: a prediction whole, a screening or training what is left of it."""
    from service.client import Client

    with Client() as client:
        print(client.retry(job).id)


@app.command("delete")
def delete_job(job: JobId) -> None:
    """Forget an ended job and its results; models and data sets that it has made stay."""
    from service.client import Client

    with Client() as client:
        client.delete(job)
