"""One training in several processes, started by torch's own launcher; they end when their parent does.

`python -m models.training.launch ARGUMENT…` becomes the launcher.
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
SIGNAL = 128  # beyond it, an exit code tells of a signal
STOP = "stop"  # a file by which all processes are told to end


def launch(module: str, folder: Path, processes: int) -> int:
    """Run a module on a folder in so many processes of this machine; their common exit code.

    A signal that ended one of them ends this process too.
    """
    command = [sys.executable, "-P", "-m", "models.training.launch", "--standalone"]
    command += ["--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
    command += ["-m", module, str(folder)]
    nearby = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    (folder / STOP).unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: (folder / STOP).touch())
    process = subprocess.Popen(  # noqa: S603 - our own module, no shell
        command, env={**os.environ, **nearby}, start_new_session=True
    )
    code = process.wait()
    if code > SIGNAL:  # whoever looks after this process sees what became of them
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), code - SIGNAL)
    return code


def die_with_parent() -> None:
    """Whoever kills the parent wants its children gone as well; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Be the launcher; the code of the process that failed first, or a signal's number and 128."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as run

    try:
        run()
    except ChildFailedError as error:
        # One that is killed takes the others with it, which then fail as well.
        code = min(failure.exitcode for failure in error.failures.values())
        return code if code >= 0 else SIGNAL - code
    return 0


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main())
