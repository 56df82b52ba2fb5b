"""One training in several processes, started by torch's own launcher; they end when their parent does.

`python -m models.training.launch ARGUMENT…` becomes the launcher.
"""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP = "stop"  # a file by which all processes are told to end


def launch(module: str, folder: Path, processes: int) -> int:
    """Run a module on a folder in so many processes of this machine; their common exit code."""
    command = [sys.executable, "-P", "-m", "models.training.launch", "--standalone"]
    command += ["--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
    command += ["-m", module, str(folder)]
    nearby = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    (folder / STOP).unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: (folder / STOP).touch())
    process = subprocess.Popen(  # noqa: S603 - our own module, no shell
        command, env={**os.environ, **nearby}, start_new_session=True
    )
    return process.wait()


def die_with_parent() -> None:
    """Whoever kills the parent wants its children gone as well; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent()
    runpy.run_module("torch.distributed.run", run_name="__main__", alter_sys=True)
