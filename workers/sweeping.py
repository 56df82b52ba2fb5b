"""Files that nobody will ask for any more: left by a killed process, or by a job that is gone."""

import logging
import math
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from redis.exceptions import RedisError

from models.catalogue import ALIASES, CARD
from workers.files import Files
from workers.ids import JOB
from workers.jobs import Jobs
from workers.scripts import away
from workers.shelf import MANIFEST
from workers.store import Entry
from workers.versions import CLAIM

LEFT_S = 3600.0  # whoever still works on a file touches it more often
UNFINISHED_S = 86_400.0  # and nobody takes this long to store what belongs together
LOOK = 500

log = logging.getLogger("matprop.sweep")


def sweep(files: Files, jobs: Jobs, now: float | None = None) -> int:
    """Remove half-written files, and uploads, results and trainings without a job; returns how many."""
    before = (now or time.time()) - LEFT_S
    removed = 0
    left = (path for folder in files.kinds() for path in _older(folder, before))
    while paths := list(islice(left, LOOK)):
        for path, wanted in zip(paths, _wanted(jobs, paths), strict=True):
            if not wanted:
                path.unlink(missing_ok=True)
                removed += 1
    removed += _sweep_trainings(files, jobs, before)
    if removed:
        log.info("%d files and folders without a job removed", removed)
    return removed


def sweep_store(files: Files, jobs: Jobs, now: float | None = None) -> int:
    """The same on an object store, where also what has no last file may be half written. Raises: StoreAway."""
    now = now or time.time()
    removed = files.store.sweep(now - UNFINISHED_S)
    for kind in ("uploads", "results", "trainings", "screenings"):
        old = (each for each in files.store.list(f"{kind}/") if each.changed < now - LEFT_S)
        while some := list(islice(old, LOOK)):
            wanted = _wanted(jobs, [Path(each.key) for each in some])
            gone = [each.key for each, kept in zip(some, wanted, strict=True) if not kept]
            files.store.remove(gone)
            removed += len(gone)
    for kind, last in (("datasets", MANIFEST), ("models", CARD)):
        gone = _unfinished(files, kind, last, now - UNFINISHED_S)
        files.store.remove(gone)
        removed += len(gone)
    if removed:
        log.info("%d files that nobody needs removed from the store", removed)
    return removed


def _unfinished(files: Files, kind: str, last: str, before: float) -> list[str]:
    """Files of folders that will never have their last one; what claims the number of a model stays."""
    folders: dict[Path, list[Entry]] = defaultdict(list)
    for entry in files.store.list(f"{kind}/"):
        folders[Path(entry.key).parent].append(entry)
    return [
        entry.key
        for found in folders.values()
        if not any(entry.key.endswith((f"/{last}", f"/{ALIASES}")) for entry in found)
        for entry in found
        if entry.changed < before and not entry.key.endswith(f"/{CLAIM}")
    ]


def _sweep_trainings(files: Files, jobs: Jobs, before: float) -> int:
    """Folders go whole; their time is that of the last file made in them."""
    folders = [each for each in files.trainings().glob("*") if _made(each) < before]
    gone = [
        folder for folder, wanted in zip(folders, _wanted(jobs, folders), strict=True) if not wanted
    ]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return len(gone)


def _older(folder: Path, before: float) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and _made(path) < before)


def _made(path: Path) -> float:
    """When it was last changed; what somebody else has removed just now was never so new."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _job_of(path: Path) -> str | None:
    """The job that a file, or the folder around it, is named after."""
    stems = (path.stem, *(folder.stem for folder in path.parents))
    return next((stem for stem in stems if JOB.fullmatch(stem)), None)


def _wanted(jobs: Jobs, paths: list[Path]) -> list[bool]:
    """Whether a record stands behind each; a temporary file has none."""
    try:
        with jobs.redis.pipeline(transaction=False) as pipe:
            for path in paths:
                pipe.exists(f"mp:job:{_job_of(path) or 'none'}")
            return [bool(found) for found in pipe.execute()]
    except RedisError as error:
        raise away(error) from error
