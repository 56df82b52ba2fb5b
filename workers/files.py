"""Where an upload, a result and a model lie; nobody else joins paths.

What is complete is in the store and never changes: `written`, `filling` and `settle` bring it there, `fetch` brings it
back. A store that is a folder has the files where they are used, and these steps cost nothing; of an object store
this machine has copies below `root`. Folders to work in (`scratch`, `training`) are this machine's own.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from models.errors import StoreAway, StoreFull
from workers.ids import checked_job, checked_set
from workers.settings import WorkerSettings
from workers.store import Filling, Folder, Store, store_of

log = logging.getLogger("matprop.store")


class Files:
    """What is in the store, and the folders under `state`; every file appears whole or not at all."""

    def __init__(self, state: Path, store: Store | None = None) -> None:
        self.store: Store = store or Folder(state)
        self.root = self.store.root
        self.shared = self.store.shared
        # Beside a folder's files, so that what is complete can be renamed into its place.
        self.state = state if self.shared else self.root

    @classmethod
    def of(cls, settings: WorkerSettings, *, patience_s: float | None = None) -> Self:
        """As a deployment has set; who must not wait for a store says how long."""
        return cls(settings.state, store_of(settings, patience_s=patience_s))

    def at_once(self) -> "Files":
        """The same for one who does not wait for the store."""
        return Files(self.state, self.store.at_once())

    def upload(self, job: str) -> Path:
        """The pack of files that came with a job."""
        return self._of_job("uploads", job, "pack")

    def result(self, job: str) -> Path:
        """The records that a job answered with, one JSON line each."""
        return self._of_job("results", job, "jsonl")

    def answered(self, job: str) -> Path | None:
        """The result of a job whose upload has gone: it succeeded, though the broker may have forgotten that."""
        result = self.result(job)
        if self.is_there(self.upload(job)) or not self.is_there(result):
            return None
        return self.fetch(result)

    def lend(self, job: str, to: str) -> None:
        """The upload of a job serves another one too. Raises: FileNotFoundError when it is gone."""
        if self.shared:
            self.store.copy(self.key(self.upload(job)), self.key(self.upload(to)))
            return
        target = self.upload(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(self.upload(job), target)

    def key(self, path: Path) -> str:
        """What a file is called in the store."""
        return path.relative_to(self.root).as_posix()

    def fetch(self, path: Path) -> Path:
        """The file, brought here if it is not. Raises: FileNotFoundError of an object store, StoreAway."""
        return self.store.fetch(self.key(path)) if self.shared else path

    def fresh(self, path: Path) -> Path:
        """The same for a file that is written again and again. Raises: FileNotFoundError, StoreAway."""
        if self.shared:
            with written(path, "fresh", sync=False) as file:
                file.write(self.store.read(self.key(path))[0])
        return path

    def fetch_all(self, folder: Path) -> Path:
        """The folder with all its files. Raises: StoreAway."""
        if self.shared:
            for entry in self.store.list(f"{self.key(folder)}/"):
                with suppress(FileNotFoundError):  # removed just now
                    if self.store.fetch(entry.key).stat().st_size != entry.size:
                        (self.root / entry.key).unlink(missing_ok=True)  # made anew meanwhile
                        self.store.fetch(entry.key)
        return folder

    def is_there(self, path: Path) -> bool:
        """Whether the store has this file; for small ones, which come along. Raises: StoreAway."""
        try:
            return self.fetch(path).exists()
        except FileNotFoundError:
            return False

    def forget(self, path: Path) -> None:
        """A file that nobody needs any more; a missing one is no fault."""
        if not self.shared:
            path.unlink(missing_ok=True)
            return
        with leaving():
            self.store.remove([self.key(path)])

    def forget_below(self, prefix: str) -> None:
        """All files of an object store whose keys begin so."""
        with leaving():
            self.store.remove([entry.key for entry in self.store.list(prefix)])

    def forget_all(self, folder: Path, first: str) -> None:
        """A folder and all its files; without `first` it is none any more, so it goes before the rest."""
        with leaving():
            keys = [entry.key for entry in self.store.list(f"{self.key(folder)}/")]
            self.store.remove([self.key(folder / first)])
            self.store.remove(keys)

    def filling(self, path: Path, mark: str) -> Filling:
        """A file that goes to the store while it is written."""
        return self.store.filling(self.key(path), mark)

    @contextmanager
    def written(self, path: Path, mark: str, *, sync: bool = True) -> Iterator[BinaryIO]:
        """A file to fill; it is in the store only when the block ends without error.

        `mark` tells writers of the same file apart (the attempt), so that a lost worker
        cannot touch what its successor writes. Without `sync` the file survives every process but
        not the machine.
        """
        if not self.shared:
            with written(path, mark, sync=sync) as file:
                yield file
            return
        # Filled here first: a store that is away for a while holds up only the end.
        ready = self.state / "scratch" / f"{path.name}.{mark}.{secrets.token_hex(4)}"
        ready.parent.mkdir(parents=True, exist_ok=True)
        try:
            with ready.open("xb") as file:
                yield file
            self.store.put(ready, self.key(path))
        finally:
            ready.unlink(missing_ok=True)

    def settle(self, staged: Path, home: Path, last: str) -> None:
        """A folder takes its place: with `last`, its file by which it is known, all the others are there."""
        if not self.shared:
            home.parent.mkdir(parents=True, exist_ok=True)
            staged.rename(home)
            return
        names = [path.relative_to(staged) for path in staged.rglob("*") if path.is_file()]
        for name in sorted(names, key=lambda name: (str(name) == last, name)):
            self.store.put(staged / name, self.key(home / name))

    def dataset(self, dataset: str) -> Path:
        """The folder of a data set. Raises: ValueError for what is no id."""
        return self.datasets() / checked_set(dataset)

    def datasets(self) -> Path:
        """The folder of all of them."""
        return self.root / "datasets"

    def models(self) -> Path:
        """The folder of registered models: `name/version/{card.json, weights.safetensors}`."""
        return self.state / "models"

    @contextmanager
    def scratch(self, job: str, attempt: int) -> Iterator[Path]:
        """An empty folder for one run, on the file system of the models; gone at its end."""
        folder = self.state / "scratch" / f"{checked_job(job)}.{attempt}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def training(self, job: str) -> Path:
        """Where a training, search or evaluation works; it outlives every attempt and goes with the job.

        With an object store, `workers.snapshots` takes along what another machine needs to go on.
        """
        return self.trainings() / checked_job(job)

    def trial(self, parent: str, number: int) -> Path:
        """Where a child works: its parent's, which closes with what is found there."""
        return self.training(parent) / "trials" / str(number)

    def trainings(self) -> Path:
        """The folder of all of them."""
        return self.state / "trainings"

    def screening(self, job: str) -> Path:
        """What a screening has beside its upload: how far it is cut, and its shards; it goes with the job."""
        return self.screenings() / checked_job(job)

    def shards(self, job: str) -> Path:
        """The folder of a screening's table: `00000000.parquet` and so on, each there once it is whole."""
        return self.screening(job) / "shards"

    def chunk(self, job: str, number: int, mark: str) -> Path:
        """The pack of a screening's chunk; it stays as long as there is something to retry."""
        return self.screening(job) / "chunks" / f"{number:08d}.{mark}.pack"

    def shard(self, job: str, number: int) -> Path:
        """One of the shards."""
        return self.shards(job) / f"{number:08d}.parquet"

    def objects(self, job: str) -> Path:
        """The list of the objects that a screening reads from a bucket."""
        return self.screening(job) / "objects.jsonl"

    def screenings(self) -> Path:
        """The folder of all of them."""
        return self.root / "screenings"

    def exports(self) -> Path:
        """The folder of tables that are being sent, on this machine."""
        return self.state / "exports"

    def kinds(self) -> tuple[Path, ...]:
        """The folders whose files belong to jobs."""
        jobs = ("uploads", "results", "screenings")
        return (*(self.root / kind for kind in jobs), self.state / "scratch")

    def remove(self, job: str) -> None:
        """Forget all files of a job; missing ones are no fault."""
        paths = (self.upload(job), self.result(job))
        if self.shared:
            below = (f"trainings/{job}/", f"screenings/{job}/")
            with leaving():
                left = [entry.key for prefix in below for entry in self.store.list(prefix)]
                self.store.remove([*map(self.key, paths), *left])
        else:
            for path in paths:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.training(job), ignore_errors=True)
        shutil.rmtree(self.screening(job), ignore_errors=True)

    def _of_job(self, kind: str, job: str, suffix: str) -> Path:
        checked_job(job)
        return self.root / kind / job[-2:] / f"{job}.{suffix}"


@contextmanager
def leaving() -> Iterator[None]:
    """What cannot be removed just now is left for a sweep, which finds that nobody needs it."""
    try:
        yield
    except (StoreAway, StoreFull) as error:
        log.warning("%s Files are left for a sweep.", error.detail)


@contextmanager
def written(path: Path, mark: str, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file of this machine to fill; it takes its name only when the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{mark}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
