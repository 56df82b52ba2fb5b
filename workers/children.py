"""What lives in a worker's child process: built after the fork, so that nothing is shared by it."""

import gc
import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.catalogue import Catalogue
from workers.answers import Answers
from workers.broker import PATIENT, connect
from workers.contract import BULK, CUT, GATHER, SHORT, Queue, Task
from workers.drain import Drain
from workers.files import Files
from workers.jobs import JobLimits, Jobs
from workers.metrics import Tally
from workers.owning import Hold, Holder, Outcome
from workers.parsed import ParsedCache
from workers.pulse import Pulse
from workers.settings import WorkerSettings
from workers.software import about_process
from workers.stopping import Stopping
from workers.store import bucket_of
from workers.versions import catalogue_of

if TYPE_CHECKING:
    from workers.predicting import Predictor

NICENESS = 5  # of what reads for screenings: predictions go first

log = logging.getLogger("matprop.worker")


class Child(Protocol):
    """One process of a queue."""

    worker: str  # its name

    def start(self) -> None:
        """Begin to serve."""

    def stop(self) -> None:
        """Nothing new; what is in hand ends or is given back."""

    def perform(self, job: str) -> None:
        """A job that came as a Celery message."""


class Run(Protocol):
    """What runs the jobs of one kind."""

    def run(self, hold: Hold) -> Outcome | None:
        """To the job's end, or to where its children take over. Raises: Stopped, MatpropError."""


class Base:
    """What all have: a pulse, figures, and jobs to hold."""

    def __init__(self, queue: Queue, settings: WorkerSettings, stopping: Stopping) -> None:
        self.queue = queue
        self.settings = settings
        self.stopping = stopping
        self.worker = f"{checked_host()}.{os.getpid()}"
        self.tally = Tally()
        self.files = Files.of(settings)
        # The pulse does not wait for a broker that is away: it beats as soon as it is back.
        self.pulse = Pulse(self.jobs(patience=0), queue, self.worker, self.tally)
        self._threads: list[threading.Thread] = []

    def jobs(self, patience: int = PATIENT) -> Jobs:
        """Jobs over a connection of their own."""
        return Jobs(connect(self.settings, patience=patience), JobLimits.of(self.settings))

    def holder(self) -> Holder:
        """One for each thread that runs jobs."""
        return Holder(self.jobs(), self.pulse, self.stopping, self.settings.grace_s, self.tally)

    def catalogue(self) -> Catalogue:
        """The released models and those of this deployment."""
        return catalogue_of(self.files)

    def spawn(self, name: str, run: Callable[[], None]) -> None:
        """A thread that `stop` waits for; the process does not outlive its end by a fault."""

        def guarded() -> None:
            try:
                run()
            except BaseException:
                log.exception("%s ended unexpectedly, and this process with it", name)
                os._exit(1)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def serve(self, way: str, runs: Run) -> None:
        """For a thread: the jobs of a wake set, one after the other."""
        holder = self.holder()
        Drain(
            connect(self.settings), way, lambda job: holder.run(job, runs.run), self.stopping
        ).run()

    def stop(self) -> None:
        """Wait for the threads, but not beyond the grace time."""
        self.stopping.ask()
        for thread in self._threads:
            thread.join(self.settings.grace_s)
        self.pulse.stop()


class ParseChild(Base):
    """Owns what reads files: small predictions from the wake set, all else as Celery messages."""

    def __init__(self, settings: WorkerSettings, stopping: Stopping) -> None:
        super().__init__(Queue.PARSE, settings, stopping)
        self.parsed = ParsedCache(settings.cache_parsed_bytes)
        self._holder: Holder | None = None
        self._runs: dict[Task, Callable[[], Run]] = {
            Task.PREDICT: cache(self.predictor),
            Task.IMPORT: self._importer,
        }

    def start(self) -> None:
        """Small predictions, data sets and the two sides of screenings have a thread each: none holds up another."""
        self.pulse.start()
        self.spawn("drain", self._drain)
        self.spawn("gather", self._gather)
        self.spawn("cut", self._cut)
        self.spawn("bulk", self._bulk)
        settle()

    def perform(self, job: str) -> None:
        """A job that takes long, in the process's main thread."""
        if self._holder is None:
            self._holder = self.holder()
        self._holder.run(job, lambda hold: self._runs[hold.claim.kind]().run(hold))

    def predictor(self, *, parsed: ParsedCache | None = None, niceness: int = 0) -> "Predictor":
        """One for each thread, with a reader of its own."""
        from workers.parser import Parser, ParserLimits
        from workers.predicting import Predictor

        limits = ParserLimits.of(self.settings)
        jobs = self.jobs()
        answers = Answers(jobs.redis, self.settings.cache_answers, self.settings.precision)
        return Predictor(
            files=self.files,
            catalogue=self.catalogue(),
            reader=Parser(replace(limits, niceness=niceness), self.tally),
            parsed=parsed or self.parsed,
            answers=answers,
            tally=self.tally,
        )

    def _importer(self) -> Run:
        from workers.importing import Importer

        return Importer(self.files)

    def _drain(self) -> None:
        self.serve(self.queue, self.predictor())

    def _gather(self) -> None:
        from workers.gathering import Gatherer
        from workers.parser import Parser, ParserLimits

        self.serve(GATHER, Gatherer(self.files, Parser(ParserLimits.of(self.settings), self.tally)))

    def _cut(self) -> None:
        from workers.closing import Closer
        from workers.cutting import Cutter
        from workers.places import Places

        places = Places(self.files, partial(bucket_of, self.settings))
        self.serve(CUT, Cutter(self.files, Closer(self.files, self.catalogue()).close, places))

    def _bulk(self) -> None:
        from workers.screening import Screener

        # What is kept of parsed input is for those who wait.
        self.serve(BULK, Screener(self.predictor(parsed=ParsedCache(0), niceness=NICENESS)))


class InferChild(Base):
    """Holds models and drains the lanes; the only process in which torch is imported."""

    def __init__(self, settings: WorkerSettings, stopping: Stopping) -> None:
        super().__init__(Queue.INFER, settings, stopping)

    def start(self) -> None:
        """Serve from a thread; importing torch takes longer than Celery waits for a child."""
        self.spawn("infer", self._infer)

    def perform(self, job: str) -> None:
        """No job is ordered here."""
        raise NotImplementedError(job)

    def _infer(self) -> None:
        from models import infer
        from workers.lanes import WorkerSide
        from workers.residents import Inference, Residents

        infer.prepare_process()
        settings = self.settings

        def load(folder: Path) -> infer.Resident:
            return infer.load(folder, settings.device, settings.precision)

        residents = Residents(self.catalogue(), settings.resident_models, load, self.tally)
        self.pulse.about = lambda: about_process() | {"models": residents.names}
        lanes = WorkerSide(connect(settings, patience=PATIENT), self.worker)
        inference = Inference(lanes, residents, settings.batch_edges, self.tally, self.stopping)
        self.pulse.stuck = inference.stuck
        residents.warm()
        settle()
        self.pulse.start()  # only now does this worker count as alive
        inference.run()


class TrainChild(Base):
    """Trains, and beside it does what is short, each time in a limited process of its own."""

    program = "models.training.program"
    judge = "models.training.judge"

    def __init__(self, settings: WorkerSettings, stopping: Stopping) -> None:
        super().__init__(Queue.TRAIN, settings, stopping)

    def start(self) -> None:
        """Trainings come as Celery messages, one at a time; a thread takes what is short."""
        self.pulse.start()
        self.spawn("short", lambda: self.serve(SHORT, self))

    def perform(self, job: str) -> None:
        """One training."""
        self.holder().run(job, self.run)

    def run(self, hold: Hold) -> Outcome | None:
        """A training, one end of a search, or an evaluation. Raises: Stopped, MatpropError."""
        from workers import evaluating, training
        from workers.following import Program
        from workers.tuning import Tuner

        machine = training.Machine(
            self.settings.device, self.settings.train_threads, self.settings.store_snapshot_s
        )
        program, judge = (
            Program.of(self.settings, module) for module in (self.program, self.judge)
        )
        runs: dict[Task, Run] = {
            Task.TRAIN: training.Trainer(self.files, program, machine),
            Task.TUNE: Tuner(self.files),
            Task.EVALUATE: evaluating.Evaluator(self.files, judge, machine),
        }
        return runs[hold.claim.kind].run(hold)


CHILDREN: dict[Queue, type[ParseChild] | type[InferChild] | type[TrainChild]] = {
    Queue.PARSE: ParseChild,
    Queue.INFER: InferChild,
    Queue.TRAIN: TrainChild,
}


def settle() -> None:
    """What is loaded stays: to look through it for garbage again and again takes much of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def checked_host() -> str:
    """This machine's name as it may stand in a key."""
    plain = "".join(
        letter if letter.isalnum() or letter == "-" else "-" for letter in socket.gethostname()
    )
    return plain.encode("ascii", "ignore").decode().strip("-")[:40] or "host"
