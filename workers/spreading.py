"""A parent and its trainings: each is a job of its own that works in a folder of the parent's."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import MatpropError, ModelError
from workers import snapshots
from workers.contract import Task, TrainOrder
from workers.files import Files
from workers.following import result_of
from workers.jobs import Job, NewJob, child_id
from workers.owning import Hold

PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A child that has ended, with what it found."""

    number: int
    job: str
    folder: Path
    result: dict[str, Any] | None
    record: Job | None  # none when it was deleted

    def as_dict(self) -> dict[str, Any]:
        """What every table of trials shows."""
        return {
            "trial": self.number,
            "job": self.job,
            "status": self.record.status if self.record else None,
            "metrics": self.result["metrics"] if self.result else None,
            "error": self.record.error if self.record else None,
        }


def spread(hold: Hold, orders: Sequence[TrainOrder]) -> None:
    """One child each; from now on nobody holds the parent until all of them have ended. Raises: Stopped."""
    claim = hold.claim
    for number, order in enumerate(orders):
        hold.check()
        trial = order.model_copy(update={"trial": number, "register_as": None})
        new = NewJob(
            id=child_id(claim.id, number),
            kind=Task.TRAIN,
            order=trial.model_dump_json(),
            owner=claim.owner,
            label=claim.label,
            request_id=claim.request_id,
            traceparent=claim.traceparent,
            uses=claim.uses,
            parent=claim.id,
            ttl_s=claim.ttl_s,
        )
        while not hold.jobs.submit(new):  # the broker's memory is full just now
            hold.check()
            time.sleep(PAUSE_S)
    hold.jobs.spread(claim, len(orders))


def trials(hold: Hold, files: Files) -> Iterator[Trial]:
    """All children, in order."""
    snapshots.gather(files, files.training(hold.claim.id))
    for number in range(hold.claim.children or 0):
        job = child_id(hold.claim.id, number)
        folder = files.trial(hold.claim.id, number)
        yield Trial(number, job, folder, result_of(folder), hold.jobs.get(job))


def first_fault(ended: Sequence[Trial]) -> MatpropError:
    """Why none of them has found anything."""
    faults = [trial.record.error for trial in ended if trial.record and trial.record.error]
    if faults:
        return MatpropError.from_dict(faults[0])
    return ModelError("None of the trainings has found anything.")


def after_trials(hold: Hold, files: Files) -> Callable[[], None] | None:
    """What the children have left is of use only to a retry, which does again what failed."""
    folder = files.training(hold.claim.id)
    return None if hold.claim.failed else lambda: snapshots.forget(files, folder)
