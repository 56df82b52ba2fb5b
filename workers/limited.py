"""A module of ours run as a process of its own that may take only so much memory, time and disk.

    python -m workers.limited NICENESS LIMITS MODULE ARGUMENT…

sets the limits (JSON) on itself and then becomes MODULE, so that nothing has to run between fork and exec.
"""

import ctypes
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).parents[1]
LOOK_S = 0.1
OUTPUT_BYTES = 1_000_000
PR_SET_PDEATHSIG = 1
PARENT = "MATPROP_PARENT"  # whose end is this process's as well
# All that it learns of where it runs: no broker's address, no key.
INHERITED = (
    "PATH", "LANG", "LC_ALL", "TMPDIR",
    "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the process may take; none: as much as there is."""

    memory_bytes: int | None = 4_000_000_000
    cpu_s: int | None = 120
    wall_s: float = 180.0
    file_bytes: int | None = 1_000_000_000
    files: int = 256
    mapped: bool = True  # whether files that it maps into memory count
    niceness: int = 0  # how much it gives way to others; of any, it is scheduled as a batch too

    def limits(self) -> dict[str, int]:
        """By the names that the system has for them."""
        limits = {
            "RLIMIT_AS" if self.mapped else "RLIMIT_DATA": self.memory_bytes,
            "RLIMIT_CPU": self.cpu_s,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NOFILE": self.files,
            "RLIMIT_CORE": 0,
        }
        return {name: most for name, most in limits.items() if most is not None}


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went; a negative code is the signal that ended it, none the wall clock."""

    code: int | None
    output: str
    errors: str


@dataclass(frozen=True, slots=True)
class Running:
    """The process at work."""

    process: subprocess.Popen[bytes]
    output: BinaryIO
    errors: BinaryIO

    def wait(self, seconds: float) -> int | None:
        """How it has ended, none while it runs."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def ask_to_end(self) -> None:
        """It may finish what it is at."""
        self.process.terminate()

    def ended(self, code: int | None) -> Ended:
        """What it has left."""
        return Ended(code, _end_of(self.output.fileno()), _end_of(self.errors.fileno()))


def run(
    module: str, arguments: Sequence[str], bounds: Bounds, go_on: Callable[[], None] = lambda: None
) -> Ended:
    """Run `python -m module …` within the bounds; what `go_on` raises ends it as well."""
    until = time.monotonic() + bounds.wall_s
    with started(module, arguments, bounds) as running:
        while (code := running.wait(LOOK_S)) is None and time.monotonic() < until:
            go_on()
        return running.ended(code)


@contextmanager
def started(
    module: str, arguments: Sequence[str], bounds: Bounds, keep: Sequence[int] = ()
) -> Iterator[Running]:
    """The process with all that it starts, killed at the end of the block; it inherits `keep`."""
    limits = json.dumps(bounds.limits())
    command = [sys.executable, "-P", "-m", "workers.limited", str(bounds.niceness), limits]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [*command, module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=_environment(),
            pass_fds=keep,
            # A group, and not a session: a session is scheduled as one, whatever its niceness.
            process_group=0,
        )
        try:
            yield Running(process, output, errors)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ours = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", PARENT: str(os.getpid())}
    return {**kept, **threads, **ours}


def _end_of(descriptor: int) -> str:
    begin = max(0, os.fstat(descriptor).st_size - OUTPUT_BYTES)
    return os.pread(descriptor, OUTPUT_BYTES, begin).decode(errors="replace")


def _become(arguments: Sequence[str]) -> None:
    niceness, limits, module = int(arguments[0]), json.loads(arguments[1]), arguments[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ.get(PARENT, os.getppid())):
            sys.exit(1)  # it has died before it could be watched
        if niceness:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(niceness)
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, name), (most, most))
    sys.argv = [module, *arguments[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _become(sys.argv[1:])
