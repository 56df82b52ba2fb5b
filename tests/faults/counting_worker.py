"""A parse worker as it is, but for its jobs: they count themselves, and poison kills its process."""

import os
import signal
import time

from workers.app import app  # noqa: F401 - what celery looks for
from workers.children import CHILDREN, Base
from workers.contract import Queue
from workers.drain import Drain
from workers.jobs import Claim, Status
from workers.owning import Hold, Outcome
from workers.settings import WorkerSettings
from workers.stopping import Stopping


class CountingChild(Base):
    def __init__(self, settings: WorkerSettings, stopping: Stopping) -> None:
        super().__init__(Queue.PARSE, settings, stopping)
        self.main = None

    def start(self) -> None:
        self.pulse.start()
        self.spawn("drain", self.drain)

    def drain(self) -> None:
        holder, counter = self.holder(), self.jobs().redis
        waker = self.jobs(patience=1).redis
        work = self.work(counter)
        Drain(
            waker, self.queue, lambda job: self.count(holder, counter, job, work), self.stopping
        ).run()

    def perform(self, job: str) -> None:
        if self.main is None:
            self.main = self.holder(), self.jobs().redis
        holder, counter = self.main
        self.count(holder, counter, job, self.work(counter))

    def count(self, holder, counter, job, work) -> None:
        claims: list[Claim] = []

        def noted(hold: Hold) -> Outcome:
            claims.append(hold.claim)
            return work(hold)

        if holder.run(job, noted):
            note(counter, "committed", claims[-1])

    def work(self, counter):
        def run(hold: Hold) -> Outcome:
            note(counter, "begun", hold.claim)
            if hold.claim.label == "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            until = time.monotonic() + int(hold.claim.order) / 1000
            while time.monotonic() < until:
                hold.check()
                time.sleep(0.002)
            note(counter, "executed", hold.claim)
            return Outcome(Status.SUCCEEDED)

        return run


def note(counter, what: str, claim: Claim) -> None:
    """Once a claim: a client that hears no answer asks again."""
    counter.sadd(what, f"{claim.id} {claim.worker}")


CHILDREN[Queue.PARSE] = CountingChild
