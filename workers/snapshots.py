"""What a training has in its folder, taken to the object store now and then, so that any machine can go on with it.

A snapshot is one file a attempt: of a lost worker that lives on a little, nobody takes the snapshots of an attempt
before. What others look at – settings tried, results – lies beside it, each as a file of its own. On a store that is
a folder, all of this is there already.
"""

import json
import logging
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import StoreAway, StoreFull
from workers.files import Files
from workers.following import ORDER, REPORTS, RESULT
from workers.sampling import SEARCH, TRIED

CHECKPOINT = "checkpoint"  # nothing is worth a snapshot before there is one
SHARE = 0.1  # of the time at most goes into them
SMALL = (RESULT, TRIED, SEARCH)
ATTEMPT = "attempt"  # the last one that has worked in the folder on this machine
LEFT_OUT = {*SMALL, ATTEMPT, ORDER, "lock", "trials", "registering", ".taken"}
TAKEN = re.compile(r"\d{8}\.tar")

log = logging.getLogger("matprop.training")


@dataclass(slots=True)
class Keeper:
    """Takes snapshots of one attempt while its program runs."""

    files: Files
    folder: Path
    attempt: int
    pause_s: float
    uses: tuple[Path, ...] = ()  # folders of copies that must stay here
    due: float = 0.0
    stamp: tuple[tuple[str, int], ...] = field(default=())

    def __call__(self) -> None:
        """A snapshot when one is due."""
        if time.monotonic() >= self.due:
            self.now()

    def now(self) -> None:
        """A snapshot if anything has changed; a store that is away stops no training."""
        if not (self.files.shared and (self.folder / CHECKPOINT).exists()):
            return
        began = time.monotonic()
        try:
            self.take(self.files.at_once())
        except (StoreAway, StoreFull) as error:
            log.warning("%s The training goes on without a snapshot.", error.detail)
        except FileNotFoundError:
            pass  # the program has moved something just now
        self.due = time.monotonic() + max(self.pause_s, (time.monotonic() - began) / SHARE)

    def end(self) -> None:
        """All that the program has left. Raises: StoreAway, StoreFull."""
        if self.files.shared:
            self.take(self.files)
            tell(self.files, self.folder)

    def take(self, files: Files) -> None:
        """A snapshot now, if anything has changed since the last one. Raises: StoreAway, StoreFull."""
        for path in (one for folder in self.uses for one in folder.rglob("*")):
            path.touch()
        stamp = tuple(_stamp(self.folder))
        if stamp == self.stamp:
            return
        packed = self.folder / ".taken"
        try:
            _pack(self.folder, packed)
            files.store.put(packed, f"{_key(files, self.folder)}{self.attempt:08d}.tar")
        finally:
            packed.unlink(missing_ok=True)
        self.stamp = stamp


def tell(files: Files, folder: Path) -> None:
    """What others look at, as it is now. Raises: StoreAway, StoreFull."""
    if files.shared:
        for name in SMALL:
            if (folder / name).exists():
                files.store.put(folder / name, _key(files, folder) + name)


def restore(files: Files, folder: Path, attempt: int, told: int = 0) -> bool:
    """Into the folder, what the latest attempt has left in the store; false when there is nothing.

    What an attempt on this machine has left stays, unless there was a later one elsewhere. `told` bytes of the
    reports are known to everybody; what is short of that is made up by an empty line. Raises: StoreAway.
    """
    prefix = _key(files, folder)
    names = [entry.key[len(prefix) :] for entry in files.store.list(prefix)]
    taken = max((name for name in names if TAKEN.fullmatch(name)), default=None)
    if taken is not None and int(taken[:8]) > _attempt_here(folder):
        _clear(folder)
        _unpack(files, prefix + taken, folder)
        _fill(folder / REPORTS, told)
    gather(files, folder)
    if names:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ATTEMPT).write_text(str(attempt))
    return bool(names)


def gather(files: Files, folder: Path) -> None:
    """What this training and those below it have told. Raises: StoreAway."""
    prefix = _key(files, folder)
    for entry in files.store.list(prefix) if files.shared else ():
        name = Path(entry.key[len(prefix) :])
        if name.name in SMALL and not _is_as_large(folder / name, entry.size):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(files.store.read(entry.key)[0])


def take_over(files: Files, before: Path, folder: Path) -> None:
    """All that a job before has left becomes this one's too, but the ends of what was cancelled. Raises: StoreAway."""
    old, new = _key(files, before), _key(files, folder)
    for entry in list(files.store.list(old)):
        head, slash, last = entry.key[len(old) :].rpartition("/")
        if last == RESULT and json.loads(files.store.read(entry.key)[0]).get("stopped"):
            continue
        if TAKEN.fullmatch(last):
            last = f"{0:08d}.tar"  # every attempt of this job is later
        files.store.copy(entry.key, new + head + slash + last)


def forget(files: Files, folder: Path) -> None:
    """Nobody will go on from here."""
    if files.shared:
        files.forget_below(_key(files, folder))
    shutil.rmtree(folder, ignore_errors=True)


def _key(files: Files, folder: Path) -> str:
    return f"trainings/{folder.relative_to(files.trainings()).as_posix()}/"


def _stamp(folder: Path) -> Iterator[tuple[str, int]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not set(path.relative_to(folder).parts) & LEFT_OUT:
            yield str(path), path.stat().st_mtime_ns


def _pack(folder: Path, packed: Path) -> None:
    """Reports first: those of a checkpoint are then never more than the checkpoint knows of."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if Path(member.name).name.startswith(".") else member

    with tarfile.open(packed, "w") as archive:
        names = [one.name for one in folder.iterdir() if one.name not in LEFT_OUT]
        for name in sorted(names, key=lambda name: (name != REPORTS, name)):
            if not name.startswith("."):
                archive.add(folder / name, name, filter=wanted)


def _unpack(files: Files, key: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        files.store.bring(key, file)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(folder, filter="data")


def _is_as_large(path: Path, size: int) -> bool:
    """What was told is told once; only a retry tells it anew, in a folder of its own."""
    return path.exists() and path.stat().st_size == size


def _attempt_here(folder: Path) -> int:
    try:
        return int((folder / ATTEMPT).read_text())
    except (FileNotFoundError, ValueError):
        return -1


def _clear(folder: Path) -> None:
    """What an attempt before has left on this machine is older."""
    if not folder.exists():
        return
    for path in folder.iterdir():
        if path.name in ("lock", "trials"):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _fill(reports: Path, told: int) -> None:
    size = reports.stat().st_size if reports.exists() else 0
    if size < told:
        with reports.open("ab") as file:
            file.write(b" " * (told - size - 1) + b"\n")
