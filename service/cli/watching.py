"""A job that learns, followed in a terminal: a bar for people, lines for a file."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import typer

from service.cli import show

if TYPE_CHECKING:
    from service.client import Client, Event

TELLING = ("mae", "auc", "accuracy")  # of the figures, the one that tells most
Tell = Callable[["Event"], None]


def watch(client: "Client", job: str, what: str, lines: TextIO) -> str:
    """The status at the job's end; Ctrl-C leaves it running and says so."""
    try:
        with shown(lines) as tell:
            for event in client.events(job):
                tell(event)
        return str(client.job(job).status)
    except KeyboardInterrupt:
        print(
            f"\nThe {what} goes on.\n  follow: matprop jobs watch {job}\n"
            f"  stop:   matprop jobs cancel {job}",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None


@contextmanager
def shown(lines: TextIO) -> Iterator[Tell]:
    """What becomes of each event: it moves a bar on stderr, or is a line where nobody looks at one."""
    if not sys.stderr.isatty():
        yield lines_on(lines)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("waiting", total=None, figures="")

        def tell(event: "Event") -> None:
            data = event.data
            if event.kind == "metric":
                bar.update(task, description=epoch_of(data), figures=figures_of(data))
            elif event.kind == "progress":
                bar.update(task, completed=data.get("done", 0), total=data.get("total") or None)
            elif event.kind == "log":
                console.print(str(data.get("text", "")), markup=False, highlight=False)
            elif event.kind == "status":
                bar.update(task, description=str(data.get("status")))

        yield tell


def lines_on(file: TextIO) -> Tell:
    """A line an event; where epochs are told, mere counts are not."""
    epochs = False

    def tell(event: "Event") -> None:
        nonlocal epochs
        epochs = epochs or event.kind == "metric"
        if event.kind != "progress" or not epochs:
            print(line_of(event), file=file, flush=True)

    return tell


def line_of(event: "Event") -> str:
    """An event in words."""
    if event.kind == "metric" and "epoch" in event.data:
        return f"{epoch_of(event.data)}: {figures_of(event.data)}"
    if event.kind == "log":
        return str(event.data.get("text", ""))
    return counts_of(event.data)


def epoch_of(data: "Mapping[str, Any]") -> str:
    """Which epoch of which seed."""
    seed = f"seed {data['seed']}, " if data.get("seed") else ""
    return f"{seed}epoch {data.get('epoch')}/{data.get('epochs')}"


def figures_of(data: "Mapping[str, Any]") -> str:
    """Loss, figures of the validation rows, learning rate, and the time that is left."""
    found = [f"loss {show.number(data['loss'])}"] if data.get("loss") is not None else []
    figures = data.get("figures") or {}
    name = next((one for one in TELLING if one in figures), None)
    if name:
        found.append(f"val {name} {show.number(figures[name])}")
    if data.get("learning_rate") is not None:
        found.append(f"rate {data['learning_rate']:.2g}")
    if data.get("eta_s") is not None:
        found.append(f"{minutes(data['eta_s'])} left")
    return ", ".join(found)


def minutes(seconds: float) -> str:
    """As a clock shows it."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


TOLD = frozenset({"status", "done", "total", "failed", "attempt"})


def counts_of(event: "Mapping[str, Any]") -> str:
    """How far, and in which state."""
    words = [str(event["status"])] if event.get("status") else []
    if event.get("total") is not None:
        words.append(f"{event.get('done', 0)} of {event['total']}")
    if event.get("failed"):
        words.append(f"{event['failed']} failed")
    if (event.get("attempt") or 0) > 1:
        words.append(f"attempt {event['attempt']}")
    words += [
        f"{key} {value}"
        for key, value in event.items()
        if key not in TOLD and value is not None and not isinstance(value, dict)
    ]
    return ", ".join(words)
