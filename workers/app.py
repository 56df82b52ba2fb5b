"""What `celery -A workers.app worker -Q parse|infer|train` runs."""

import ctypes
import logging
import os
import signal
import sys
from typing import Any

import celery.apps.worker as celery_worker
from billiard import pool as billiard_pool
from celery import signals

from workers import logs, tracing
from workers.broker import connect, make_celery
from workers.children import CHILDREN, Child
from workers.contract import Queue
from workers.files import Files
from workers.jobs import JobLimits, Jobs
from workers.reconciler import Reconciler
from workers.settings import WorkerSettings
from workers.stopping import Stopping

PR_SET_PDEATHSIG = 1

log = logging.getLogger("matprop.worker")

# One compute thread a process, processes = cores: spinning thread pools stall each other.
# In time: numpy and torch are imported in the children only.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

settings = WorkerSettings()
app = make_celery(settings)
app.conf.imports = ("workers.tasks",)
app.loader.import_default_modules()


class Process:
    """What this process is: a parent that reconciles, or a child that works."""

    stopping = Stopping()  # made before the fork, so that parent and children share it
    queue = Queue.PARSE
    child: Child | None = None
    reconciler: Reconciler | None = None


def perform(job: str) -> None:
    """Run a job in this child."""
    if Process.child is None:
        raise RuntimeError("a task outside a worker's child process")
    Process.child.perform(job)


def _logging(**_: Any) -> None:
    logs.set_up(settings.log_level, as_json=settings.log_json)


def _learn_queue(instance: Any, **_: Any) -> None:
    served = sorted(instance.app.amqp.queues.consume_from)
    if len(served) != 1:
        # Each queue has a process of its own, or one kind of work starves the other.
        sys.exit(f"a worker serves one queue: -Q parse, -Q infer or -Q train, not {served}")
    Process.queue = Queue(served[0])
    logs.always(queue=str(Process.queue))
    if settings.log_json:
        instance.quiet = True  # its banner is no line of JSON, nor is what it says at its end
        celery_worker.safe_say = lambda text, *_: log.info("%s", str(text).strip())


def _parent_ready(**_: Any) -> None:
    jobs = Jobs(connect(settings), JobLimits.of(settings))
    files = Files.of(settings, patience_s=0)
    Process.reconciler = Reconciler(jobs, app, files, settings, Process.stopping)
    Process.reconciler.start()
    log.info("%s worker ready", Process.queue)


def _child_begins(**_: Any) -> None:
    _die_with_parent()
    # A child that ends waits 30 s for its parent to read the results of its tasks. They have none.
    billiard_pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 2
    Process.child = CHILDREN[Process.queue](settings, Process.stopping)
    logs.always(worker=Process.child.worker)
    tracing.set_up(str(Process.queue))
    Process.child.start()


def _child_ends(**_: Any) -> None:
    if Process.child is not None:
        Process.child.stop()
    tracing.stop()


def _told_to_stop(**_: Any) -> None:
    Process.stopping.ask()


def _parent_ends(**_: Any) -> None:
    if Process.reconciler is not None:
        Process.reconciler.stop()


def _die_with_parent() -> None:
    """A parent that was killed must not leave children that nobody restarts or stops (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


for _signal, _handler in (
    (signals.celeryd_init, _logging),  # before its first warning
    (signals.setup_logging, _logging),  # lest it sets up its own
    (signals.celeryd_after_setup, _learn_queue),
    (signals.worker_ready, _parent_ready),
    (signals.worker_process_init, _child_begins),
    (signals.worker_process_shutdown, _child_ends),
    (signals.worker_shutting_down, _told_to_stop),
    (signals.worker_shutdown, _parent_ends),
):
    _signal.connect(_handler, weak=False)
