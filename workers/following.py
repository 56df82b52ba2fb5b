"""A numeric program at work in a job's folder: started, followed, asked to end, and started again.

The program keeps in the folder what it needs to go on after its end, whatever ended it: the process, this
worker or the machine. It appends a line to `reports.jsonl` whenever there is something to tell.
"""

import fcntl
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import MatpropError, ModelError, OutOfMemory
from workers import limited
from workers.limited import Bounds, Ended
from workers.owning import Counts, Hold, internal, no_room
from workers.settings import WorkerSettings

REPORTS, RESULT, ORDER = "reports.jsonl", "result.json", "order.json"
TOLD_AS = {"metric": "metric", "log": "log"}  # kinds of reports, and of the events they become
LOOK_S = 0.2
PIECE_BYTES = 100_000
LOSSES = 3  # lives that the program may lose at one place
NICENESS = 19  # predictions come first: at 10 their median latency doubles, at 19 it does not
MEMORY = ("MemoryError", "can't allocate memory", "out of memory", "std::bad_alloc")
DISK = ("No space left on device", "Disk quota exceeded")

log = logging.getLogger("matprop.training")

Place = Callable[[dict[str, Any]], Counts | None]  # how far a report says that the job is


@dataclass(frozen=True, slots=True)
class Program:
    """A module that works in a folder, and what it may take."""

    module: str
    bounds: Bounds
    grace_s: float

    @staticmethod
    def of(settings: WorkerSettings, module: str) -> "Program":
        """With the bounds that a deployment has set."""
        bounds = Bounds(
            # A GPU's driver maps far more than there is.
            memory_bytes=None if on_gpu(settings.device) else settings.train_memory_bytes,
            cpu_s=None,
            wall_s=settings.train_wall_s,
            file_bytes=None,
            files=4_096,
            mapped=False,
            niceness=NICENESS,
        )
        return Program(module, bounds, settings.train_grace_s)

    def run(
        self, hold: Hold, folder: Path, place: Place, keep: Callable[[], None] = lambda: None
    ) -> None:
        """To its result, or to what it has when the job is cancelled; `keep` is called all the while.

        Raises: Stopped, MatpropError.
        """
        with alone(folder, hold) as lock:
            reports = Reports(hold, folder / REPORTS, place)
            losses = 0
            while True:
                before = reports.furthest
                ended, cancelled = self._live(hold, folder, reports, lock, keep)
                if cancelled or (ended.code == 0 and _whole(folder)):
                    return
                losses = 1 if reports.furthest > before else losses + 1
                if ended.code is None or ended.code > 0 or losses == LOSSES:
                    raise fault_of(ended)
                log.warning("the program was ended (%d) and is started again", ended.code)

    def _live(
        self,
        hold: Hold,
        folder: Path,
        reports: "Reports",
        lock: int,
        keep: Callable[[], None],
    ) -> tuple[Ended, bool]:
        """One life of the process, and whether the job was cancelled in it."""
        reports.tell()  # what a life before has left
        before, asked, cancelled = reports.told, False, False
        until = time.monotonic() + self.bounds.wall_s
        with limited.started(self.module, [str(folder)], self.bounds, [lock]) as running:
            while (code := running.wait(LOOK_S)) is None and time.monotonic() < until:
                reports.tell()
                keep()
                if hold.cancelled() and not cancelled:
                    cancelled = True
                    until = time.monotonic() + self.grace_s
                if cancelled and not asked and reports.told > before:  # from now on it listens
                    asked = True
                    running.ask_to_end()
            reports.tell()
            return running.ended(code), cancelled


class Reports:
    """The lines that a program appends, told as events and as progress; each once, over all attempts."""

    def __init__(self, hold: Hold, path: Path, place: Place) -> None:
        self.hold = hold
        self.path = path
        self.place = place
        self.told = hold.claim.told
        self.furthest = 0
        size = path.stat().st_size if path.exists() else 0
        self._at = self.told if self.told <= size else 0  # another file than the one told of

    def tell(self) -> None:
        """What is new. Raises: Stopped when the job is lost."""
        while lines := self._read():
            found = [report for line in lines if (report := _report(line)) is not None]
            events = [
                (TOLD_AS[kind], json.dumps(report))
                for report in found
                if (kind := report.pop("kind")) in TOLD_AS
            ]
            now = self.told + sum(map(len, lines))
            self.hold.report(events, self.told, now)
            for kind, text in events:
                if kind == "log":  # the program's lines, with the job's names
                    log.info("program: %s", json.loads(text).get("text", text))
            self.told = now
            places = [counts for report in found if (counts := self.place(report)) is not None]
            if places:
                self.furthest = max(self.furthest, places[-1][0])
                self.hold.got_to(places[-1])

    def _read(self) -> list[bytes]:
        """The next complete lines."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                lines = file.readlines(PIECE_BYTES)
        except FileNotFoundError:
            return []
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        self._at += sum(map(len, lines))
        return lines


@contextmanager
def alone(folder: Path, hold: Hold) -> Iterator[int]:
    """Nobody else's program works in the folder: one whose worker lost the job may live on a little."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _locked(lock):
            hold.cancelled()  # there may be something to keep all the same
            time.sleep(LOOK_S)
        yield lock
    finally:
        os.close(lock)


def give_order(folder: Path, order: dict[str, Any]) -> None:
    """What the program is to do, before it is started."""
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / ORDER, order)


def result_of(folder: Path) -> dict[str, Any] | None:
    """What the program has found; none before its end."""
    try:
        found: dict[str, Any] = json.loads((folder / RESULT).read_bytes())
    except FileNotFoundError:
        return None
    return found


def _whole(folder: Path) -> bool:
    """False, and no result either, when somebody else's SIGTERM has ended the program early."""
    result = result_of(folder)
    if result is not None and result.get("stopped"):
        (folder / RESULT).unlink()
        return False
    return result is not None


def fault_of(ended: Ended) -> MatpropError:
    """Why the program has ended without a result, for the sender."""
    if ended.code is None:
        return ModelError(
            "It has taken all the time that a training may take.",
            hint="POST to its `retry` goes on from its last checkpoint; MATPROP_TRAIN_WALL_S is the bound.",
        )
    told = _told(ended.output)
    if told is not None:
        return told
    log.error("the program ended with %d: %s", ended.code, ended.errors[-5000:])
    if ended.code == -signal.SIGKILL or any(sign in ended.errors for sign in MEMORY):
        return OutOfMemory(
            "The memory was not enough for this training.",
            hint="Take a smaller batch_size or network, then POST to its `retry`, which goes on "
            "from its last checkpoint; MATPROP_TRAIN_MEMORY_BYTES is the bound on a CPU.",
        )
    if any(sign in ended.errors for sign in DISK):
        return no_room()
    return internal()


def on_gpu(device: str) -> bool:
    """Whether networks run on a GPU, found without asking its driver."""
    return device.startswith("cuda") or (device == "auto" and Path("/dev/nvidiactl").exists())


def _told(output: str) -> MatpropError | None:
    """The error that the program told in its last line."""
    try:
        return MatpropError.from_dict(json.loads(output.strip().rpartition("\n")[2]))
    except (ValueError, KeyError, TypeError):
        return None


def _report(line: bytes) -> dict[str, Any] | None:
    """None for half a line, which a killed program left."""
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return report if isinstance(report, dict) and "kind" in report else None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def put(path: Path, body: dict[str, Any]) -> None:
    """A small file, whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(body))
    temporary.replace(path)
