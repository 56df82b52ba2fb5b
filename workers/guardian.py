"""A bystander process that ends what a killed supervisor left behind."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

GRACE_S = 3.0  # for the broker to write what it holds


@dataclass(frozen=True, slots=True)
class Guardian:
    """Knows the supervisor's process groups by a pipe, and acts when that pipe breaks."""

    pid: int
    pipe: int

    @staticmethod
    def started() -> "Guardian":
        """Fork it now; to be called before any thread is started."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(reading)
            return Guardian(pid, writing)
        os.close(writing)
        try:
            stand_by(reading)
        finally:
            os._exit(0)

    def watch(self, group: int) -> None:
        """End this process group if we cannot."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """It has ended; its number may soon be another's."""
        self._tell(f"-{group}\n")

    def dismiss(self) -> None:
        """All has ended: let the guardian go."""
        os.close(self.pipe)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # somebody killed the guardian; we still end what we can
            os.write(self.pipe, line.encode())


def stand_by(reading: int) -> None:
    """Follow the supervisor's account of its groups; at its end, end the rest."""
    os.setsid()  # outlives the terminal and signals to the supervisor's group
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    let_go_of_files(reading)
    told = b""
    while some := os.read(reading, 65536):
        told += some
    groups: dict[int, None] = {}
    for line in told.decode().splitlines():
        if line.startswith("+"):
            groups[int(line[1:])] = None
        else:
            groups.pop(int(line[1:]), None)
    end_groups(list(groups))


def let_go_of_files(reading: int) -> None:
    """Keep neither the terminal nor a lock of the supervisor's open."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.closerange(3, reading)
        os.closerange(reading + 1, 4096)


def end_groups(groups: list[int]) -> None:
    """Ask, wait, kill."""
    until = time.monotonic() + GRACE_S
    for group in groups:
        signal_group(group, signal.SIGTERM)
    while any(signal_group(group, 0) for group in groups) and time.monotonic() < until:
        time.sleep(0.05)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Whether there was anybody to receive it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
