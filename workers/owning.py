"""A job in the hands of a worker: claimed, run, and ended in exactly one place."""

import errno
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from models.errors import MatpropError, ModelError
from workers import logs, tracing
from workers.jobs import Beat, BrokerAway, Claim, Jobs, Status
from workers.metrics import Tally
from workers.pulse import Grip, Pulse
from workers.scripts import away
from workers.stopping import Stopping

log = logging.getLogger("matprop.jobs")

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

Counts = tuple[int, int, int]  # done, failed, total


class Stopped(Exception):
    """The run ends here: cancelled, lost to another worker, or given back."""

    def __init__(self, beat: Beat) -> None:
        super().__init__(beat)
        self.beat = beat


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    status: Status
    error: dict[str, Any] | None = None
    counts: Counts | None = None
    afterwards: Callable[[], None] | None = None  # what nobody has to wait for


class Holder:
    """Runs jobs for one thread of a worker process."""

    def __init__(
        self, jobs: Jobs, pulse: Pulse, stopping: Stopping, grace_s: float, tally: Tally
    ) -> None:
        self.jobs = jobs
        self.pulse = pulse
        self.stopping = stopping
        self.grace_s = grace_s
        self.tally = tally

    def run(self, job: str, work: Callable[["Hold"], Outcome | None]) -> bool:
        """Whether this worker ended the job; false when there was nothing to claim or it was lost.

        A `work` that tells no outcome has left the job to its children.
        """
        began = time.perf_counter()
        claim = self.jobs.claim(job, f"{self.pulse.worker}.{secrets.token_hex(6)}")
        if claim is None:
            return False
        self._begun(claim)
        with (
            logs.about(**_named(claim)),
            tracing.span(
                f"job {claim.kind}",
                claim.traceparent,
                "consumer",
                job=claim.id,
                attempt=claim.attempt,
                waited_s=(claim.started_at or claim.created_at) - claim.created_at,
            ) as span,
            self.pulse.holding(claim) as grip,
        ):
            outcome = self._outcome(Hold(self, grip), work)
            if outcome is None:
                return False
            ended = self.jobs.finish(claim, outcome.status, outcome.error, outcome.counts)
            span.tell(
                status=str(outcome.status),
                failed=outcome.status is Status.FAILED,
                structures=outcome.counts and outcome.counts[0],
            )
            self.tally.spent(f"run_seconds:{claim.kind}", time.perf_counter() - began)
            log.info("%s: %s", claim.kind, outcome.status if ended else "lost to another worker")
            if ended and outcome.afterwards is not None:
                outcome.afterwards()
            return ended

    def _begun(self, claim: Claim) -> None:
        """Times by the broker's clock."""
        self.tally.add(f"attempts:{claim.kind}")
        if claim.attempt > 1:
            self.tally.add(f"retries:{claim.kind}")
        elif claim.started_at is not None:
            self.tally.spent(
                f"job_wait_seconds:{claim.kind}", max(0.0, claim.started_at - claim.created_at)
            )

    def _outcome(self, hold: "Hold", work: Callable[["Hold"], Outcome | None]) -> Outcome | None:
        try:
            return work(hold)
        except Stopped as stop:
            return self._stopped(hold, stop)
        except ModelError as error:
            log.error("%s", error, exc_info=error)
            return Outcome(Status.FAILED, error.as_dict())
        except MatpropError as error:
            log.info("refused: %s", error)
            return Outcome(Status.FAILED, error.as_dict())
        except OSError as error:
            log.exception("a job failed by the machine")
            return Outcome(
                Status.FAILED, (no_room() if error.errno in FULL else internal()).as_dict()
            )
        except BrokerAway:
            raise  # the record's lease ends by itself, and another worker takes the job up
        except Exception as fault:
            if isinstance(fault, RedisError) and isinstance(gone := away(fault), BrokerAway):
                raise gone from fault
            log.exception("a job failed unexpectedly")
            return Outcome(Status.FAILED, internal().as_dict())

    def _stopped(self, hold: "Hold", stop: Stopped) -> Outcome | None:
        if stop.beat is Beat.CANCELLED:
            return Outcome(Status.CANCELLED, counts=hold.counts)
        if stop.beat is Beat.OK:
            self.jobs.release(hold.grip.claim)
            log.info("given back")
            return None
        log.warning("lost to another worker")
        return None


class Hold:
    """What a run sees of its job: the claim, and whether to go on."""

    def __init__(self, holder: Holder, grip: Grip) -> None:
        self._holder = holder
        self.grip = grip
        self.claim = grip.claim
        self.counts: Counts | None = None

    @property
    def jobs(self) -> Jobs:
        """Where the job's record is."""
        return self._holder.jobs

    def check(self) -> None:
        """Called whenever the run gets on. Raises: Stopped."""
        self.grip.touch()
        if self.grip.beat is not Beat.OK:
            raise Stopped(self.grip.beat)
        if self._holder.stopping.overdue(self._holder.grace_s):
            raise Stopped(Beat.OK)

    def cancelled(self) -> bool:
        """As `check`, for a run that has something to keep when it is cancelled. Raises: Stopped."""
        try:
            self.check()
        except Stopped as stop:
            if stop.beat is not Beat.CANCELLED:
                raise
            return True
        return False

    def tell(self, counts: Counts) -> None:
        """Progress for whoever watches. Raises: Stopped."""
        self.counts = counts
        beat = self.jobs.progress(self.claim, *counts)
        if beat is not Beat.OK:
            raise Stopped(beat)

    def report(self, events: Sequence[tuple[str, str]], before: int, now: int) -> None:
        """Events for whoever follows, cancelled or not. Raises: Stopped when the job is lost."""
        self._held(self.jobs.tell(self.claim, events, before, now))

    def got_to(self, counts: Counts) -> None:
        """Progress that outlives this worker, cancelled or not. Raises: Stopped when the job is lost."""
        self.counts = counts
        self._held(self.jobs.progress(self.claim, *counts, kept=True))

    def _held(self, beat: Beat) -> None:
        if beat is Beat.LOST:
            raise Stopped(beat)


def _named(claim: Claim) -> dict[str, object]:
    """What every line about this run tells."""
    return {
        "request_id": claim.request_id,
        "job": claim.id,
        "kind": str(claim.kind),
        "attempt": claim.attempt,
        "traceparent": claim.traceparent,
    }


def no_room() -> ModelError:
    """What the sender is told when the answer cannot be written."""
    return ModelError(
        "There is no room here for the results of this job.",
        hint="Do it again, by POST to its `retry`, when room has been made.",
    )


def internal() -> ModelError:
    """What the sender is told of a fault of ours."""
    return ModelError("Something went wrong here; the log has the details under this job's id.")
