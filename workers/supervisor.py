"""One machine: starts the processes of matprop, starts again what dies, ends all it started."""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from workers import embedded
from workers.guardian import Guardian

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_S = 30.0  # a process that lived this long starts afresh with the shortest delay
LOG_BYTES = 50_000_000
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]


class StartError(Exception):
    """Something did not start; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    grace_s: float
    stage: int = 1  # ended together with its like, the highest stage first
    lock: Path | None = None  # held by the process as long as it lives
    inherits: tuple[int, ...] = ()  # descriptors that outlive it


@dataclass(slots=True)
class Running:
    """A program, its present process, and when it is started again."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay_s: float = FIRST_DELAY_S
    due: float = 0.0
    log_from: int = 0


@dataclass(slots=True)
class Supervisor:
    """Keeps programs running until a signal ends them."""

    state: Path
    say: Say
    running: list[Running] = field(default_factory=list)
    ending: bool = False
    hurried: bool = False
    _guardian: Guardian | None = None
    _wake: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)

    def __enter__(self) -> "Supervisor":
        for folder in (self.logs, self.work):
            folder.mkdir(parents=True, exist_ok=True)
        self._guardian = Guardian.started()
        for end in self._wake:
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake[1].fileno(), warn_on_full_buffer=False)
        for number in END_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` asks
                signal.signal(number, self._asked_to_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only wakes `rest`
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()
        signal.set_wakeup_fd(-1)
        for end in self._wake:
            end.close()
        if self._guardian is not None:
            self._guardian.dismiss()

    @property
    def logs(self) -> Path:
        """One log file a program."""
        return self.state / "logs"

    @property
    def work(self) -> Path:
        """An empty folder to run in, so that no folder of the user's shadows a package of ours."""
        return self.state / "run"

    def log_of(self, name: str) -> Path:
        """Where the program's output goes."""
        return self.logs / f"{name}.log"

    def start(self, program: Program) -> Running:
        """Start a program and keep it running from now on."""
        one = Running(program)
        self.running.append(one)
        self._spawn(one)
        return one

    def until(self, ready: Callable[[], bool], patience_s: float) -> bool:
        """Wait for `ready`; false when asked to end. Raises StartError when a program dies first."""
        patient_until = time.monotonic() + patience_s
        while not self.ending:
            for one in self.running:
                if one.process is not None and one.process.poll() is not None:
                    raise StartError(self._obituary(one) + self._last_words(one))
            if ready():
                return True
            if time.monotonic() > patient_until:
                raise StartError(
                    f"not ready after {patience_s:.0f} s; the logs in {self.logs} tell why"
                )
            self._rest(0.1)
        return False

    def keep(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Start again what dies, until a signal asks to end or there is `enough`."""
        while not (self.ending or enough()):
            now = time.monotonic()
            for one in self.running:
                self._look_after(one, now)
            self._rest(max(0.05, min(self._next_due(), now + 1.0) - now))

    def end_all(self) -> None:
        """End the last stage first; what outlives its grace is killed."""
        waiting, self.running = self.running, []
        for stage in sorted({one.program.stage for one in waiting}, reverse=True):
            self._end([one for one in waiting if one.program.stage == stage])

    def _asked_to_end(self, _number: int, _frame: FrameType | None) -> None:
        self.hurried = self.ending  # asked twice: no more grace
        self.ending = True

    def _look_after(self, one: Running, now: float) -> None:
        if one.process is None:
            if now >= one.due:
                self._spawn(one)
            return
        if one.process.poll() is None:
            bound_log(self.log_of(one.program.name))
            return
        if now - one.started > STEADY_S:
            one.delay_s = FIRST_DELAY_S
        self.say(
            f"{self._obituary(one)}; starting it again in {one.delay_s:g} s "
            f"(log: {self.log_of(one.program.name)})"
        )
        self._forget(one.process)
        one.process = None
        one.due = now + one.delay_s
        one.delay_s = min(2 * one.delay_s, LONGEST_DELAY_S)

    def _spawn(self, one: Running) -> None:
        program = one.program
        with ExitStack() as stack:
            log = stack.enter_context(self.log_of(program.name).open("ab"))
            one.log_from = log.tell()
            passed = program.inherits
            if program.lock is not None:
                passed += (stack.enter_context(embedded.held(program.lock, 15.0)),)
            one.process = subprocess.Popen(  # noqa: S603 (our own programs, no shell)
                program.argv,
                cwd=self.work,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=passed,
                start_new_session=True,  # a Ctrl-C reaches us alone; we end them in order
                preexec_fn=ends_with_its_parent,  # noqa: PLW1509 (spawned by the main thread only)
            )
        one.started = time.monotonic()
        if self._guardian is not None:
            self._guardian.watch(one.process.pid)

    def _end(self, stage: list[Running]) -> None:
        processes = [one.process for one in stage if one.process is not None]
        for process in processes:
            process.terminate()
        until = time.monotonic() + max((one.program.grace_s for one in stage), default=0.0)
        while any(process.poll() is None for process in processes):
            if self.hurried or time.monotonic() > until:
                break
            self._rest(0.1)
        for process in processes:
            self._forget(process)

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of a process and its children."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._guardian is not None:
            self._guardian.forget(process.pid)

    def _next_due(self) -> float:
        dues = [one.due for one in self.running if one.process is None]
        return min(dues, default=float("inf"))

    def _rest(self, longest_s: float) -> None:
        """Sleep until a signal comes, a child's end among them."""
        select.select([self._wake[0]], [], [], longest_s)
        with suppress(BlockingIOError):
            while self._wake[0].recv(512):
                pass

    def _obituary(self, one: Running) -> str:
        code = one.process.returncode if one.process is not None else None
        if code is not None and code < 0:
            return f"{one.program.name} was killed by {signal.Signals(-code).name}"
        return f"{one.program.name} ended with status {code}"

    def _last_words(self, one: Running) -> str:
        """The end of what it wrote this time."""
        path = self.log_of(one.program.name)
        with path.open("rb") as log:
            log.seek(one.log_from)
            lines = deque(log.read().decode("utf-8", "replace").splitlines(), 20)
        return "".join(f"\n    {line}" for line in lines) + f"\n(whole log: {path})"


def ends_with_its_parent() -> None:
    """Asks Linux to end this process when its parent dies, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def bound_log(path: Path) -> None:
    """Keep one older file of a log that has grown long; its writer appends and does not notice."""
    with suppress(OSError):
        if path.stat().st_size > LOG_BYTES:
            path.with_suffix(".1.log").write_bytes(path.read_bytes())
            os.truncate(path, 0)
