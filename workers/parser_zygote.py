"""The process that has the libraries loaded and forks parser children in milliseconds."""

import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).parents[1]
REQUEST = struct.Struct("<cIQ")  # what, process to end, memory the new child may take
ANSWER = struct.Struct("<I")
READY_S = 120.0  # importing the libraries on a busy machine


class Zygote:
    """One for each process that reads; started by the first parser, gone with the process."""

    _here: ClassVar["Zygote | None"] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._use = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-P", "-m", "workers.parser_child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        ours.settimeout(READY_S)
        self._control = ours

    @classmethod
    def here(cls) -> "Zygote":
        """The zygote of this process, a new one after a fork or a loss."""
        with cls._lock:
            known = cls._here
            if known is not None and known.owner == os.getpid() and known.alive():
                return known
            if known is not None:  # dead, or of the process that forked this one
                known.hang_up()
            cls._here = cls()
            return cls._here

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it can fork."""
        # A process that dies lets go of its socket a moment before it can be waited for.
        return self._control.fileno() >= 0 and self._process.poll() is None

    def hang_up(self) -> None:
        """Nothing more will be asked."""
        self._control.close()

    def wait(self) -> None:
        """Until it has ended."""
        self._process.wait()

    def fork(self, memory_bytes: int, instead_of: int = 0) -> tuple[int, socket.socket]:
        """A fresh child and the way to it; another child, if named, is killed first.

        Raises: OSError when the zygote is lost.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._use:
            message = REQUEST.pack(b"F", instead_of, memory_bytes)
            try:
                socket.send_fds(self._control, [message], [theirs.fileno()])
                return self._answer(), ours
            except OSError:
                ours.close()
                self.hang_up()  # so that the next to ask gets a new one
                raise

    def end(self, pid: int) -> None:
        """Kill a child; no fault when it, or the zygote, is gone already."""
        try:
            with self._use:
                self._control.sendall(REQUEST.pack(b"K", pid, 0))
                self._answer()
        except OSError:
            return

    def _answer(self) -> int:
        data = b""
        while len(data) < ANSWER.size:
            part = self._control.recv(ANSWER.size - len(data))
            if not part:
                raise ConnectionResetError("the process that forks parsers is gone")
            data += part
        pid: int = ANSWER.unpack(data)[0]
        return pid


def _environment() -> dict[str, str]:
    """Nothing of ours: no broker's address, no key."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
