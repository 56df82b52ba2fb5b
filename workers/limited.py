"""A module of ours run as a process of its own that may take only so much memory, time and disk.

    python -m workers.limited MEMORY_BYTES CPU_S FILE_BYTES MODULE ARGUMENT…

sets the limits on itself and then becomes MODULE, so that nothing has to run between fork and exec.
"""

import ctypes
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOOK_S = 0.1
OUTPUT_BYTES = 1_000_000
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the process may take."""

    memory_bytes: int = 4_000_000_000
    cpu_s: int = 120
    wall_s: float = 180.0
    file_bytes: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went; a negative code is the signal that ended it, none the wall clock."""

    code: int | None
    output: str
    errors: str


def run(
    module: str, arguments: Sequence[str], bounds: Bounds, go_on: Callable[[], None] = lambda: None
) -> Ended:
    """Run `python -m module …` within the bounds; what `go_on` raises ends it as well."""
    command = [sys.executable, "-P", "-m", "workers.limited"]
    command += map(str, (bounds.memory_bytes, bounds.cpu_s, bounds.file_bytes, module, *arguments))
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=_environment(),
            start_new_session=True,
        )
        try:
            code = _wait(process, time.monotonic() + bounds.wall_s, go_on)
        finally:
            process.kill()
            process.wait()
        return Ended(code, _start_of(output.fileno()), _start_of(errors.fileno()))


def _wait(process: subprocess.Popen[bytes], until: float, go_on: Callable[[], None]) -> int | None:
    while time.monotonic() < until:
        try:
            return process.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            go_on()
    return None


def _environment() -> dict[str, str]:
    """Nothing of ours: no broker's address, no key."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "TMPDIR")
        if name in os.environ
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _start_of(descriptor: int) -> str:
    return os.pread(descriptor, OUTPUT_BYTES, 0).decode(errors="replace")


def _become(arguments: Sequence[str]) -> None:
    memory, cpu, file = map(int, arguments[:3])
    module = arguments[3]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    sys.argv = [module, *arguments[4:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _become(sys.argv[1:])
