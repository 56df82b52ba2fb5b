"""Where an upload, a result and a model lie; nobody else joins paths."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from workers.ids import checked_job, checked_set


class Files:
    """The folders under `state`; every file appears whole or not at all."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def upload(self, job: str) -> Path:
        """The pack of files that came with a job."""
        return self._of_job("uploads", job, "pack")

    def result(self, job: str) -> Path:
        """The records that a job answered with, one JSON line each."""
        return self._of_job("results", job, "jsonl")

    def lend(self, job: str, to: str) -> None:
        """The upload of a job serves another one too. Raises: FileNotFoundError when it is gone."""
        target = self.upload(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(self.upload(job), target)

    def dataset(self, dataset: str) -> Path:
        """The folder of a data set. Raises: ValueError for what is no id."""
        return self.datasets() / checked_set(dataset)

    def datasets(self) -> Path:
        """The folder of all of them."""
        return self.state / "datasets"

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
        """Where a training, search or evaluation works; it outlives every attempt and goes with the job."""
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

    def screenings(self) -> Path:
        """The folder of all of them."""
        return self.state / "screenings"

    def kinds(self) -> tuple[Path, ...]:
        """The folders whose files belong to jobs."""
        return tuple(self.state / kind for kind in ("uploads", "results", "scratch"))

    def remove(self, job: str) -> None:
        """Forget all files of a job; missing ones are no fault."""
        for path in (self.upload(job), self.result(job)):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.training(job), ignore_errors=True)
        shutil.rmtree(self.screening(job), ignore_errors=True)

    def _of_job(self, kind: str, job: str, suffix: str) -> Path:
        checked_job(job)
        return self.state / kind / job[-2:] / f"{job}.{suffix}"


@contextmanager
def written(path: Path, mark: str, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to fill; it takes its name only when the block ends without error.

    `mark` tells writers of the same file apart (the attempt), so that a lost worker
    cannot touch what its successor writes. Without `sync` the file survives every process but
    not the machine.
    """
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
