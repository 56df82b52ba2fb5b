"""The supervisor with real, small processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.supervisor import Program, StartError, Supervisor, bound_log

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
HOST_OF_TWO = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
signal.pause()
"""


def program(source: str, *, name: str = "one", grace_s: float = 5.0, stage: int = 1) -> Program:
    return Program(name, (sys.executable, "-P", "-c", source), dict(os.environ), grace_s, stage)


def eventually(true: Callable[[], bool], patience_s: float = 20.0) -> bool:
    until = time.monotonic() + patience_s
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def group_lives(group: int) -> bool:
    """Whether any process of the group is more than a zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            return True
    return False


@pytest.fixture
def handlers() -> Iterator[None]:
    """None is ignored, as in the background of a shell; puts those of the test process back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str], handlers: None) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, said.append) as one:
        yield one


def wrote(supervisor: Supervisor, name: str = "one", times: int = 1) -> bool:
    return supervisor.log_of(name).read_bytes().count(b"up\n") >= times


def test_what_a_program_prints_is_in_its_log(supervisor: Supervisor) -> None:
    supervisor.start(program(SLEEPER))
    assert supervisor.until(lambda: wrote(supervisor), 20)


def test_a_program_that_dies_at_the_start_is_reported_with_its_last_words(
    supervisor: Supervisor,
) -> None:
    supervisor.start(program("import sys; sys.exit('MATPROP_PORT must be a number')"))
    with pytest.raises(StartError, match=r"status 1\n    MATPROP_PORT must be a number"):
        supervisor.until(lambda: False, 20)


def test_a_killed_program_is_started_again_and_it_is_said(
    supervisor: Supervisor, said: list[str]
) -> None:
    one = supervisor.start(program(SLEEPER))
    supervisor.until(lambda: wrote(supervisor), 20)
    assert one.process is not None
    first = one.process.pid
    one.process.kill()
    supervisor.keep(lambda: wrote(supervisor, times=2))
    assert one.process.pid != first
    assert "one was killed by SIGKILL; starting it again in 0.5 s" in said[0]


def test_a_program_that_keeps_dying_is_started_less_and_less_often(
    supervisor: Supervisor, said: list[str]
) -> None:
    one = supervisor.start(program("print('up', flush=True)"))
    supervisor.keep(lambda: len(said) == 2)
    assert one.delay_s == 2.0
    assert "starting it again in 1 s" in said[1]


def test_what_ignores_the_end_is_killed_with_its_children(supervisor: Supervisor) -> None:
    one = supervisor.start(program(HOST_OF_TWO, grace_s=0.2))
    supervisor.until(lambda: wrote(supervisor), 20)
    assert one.process is not None
    supervisor.end_all()
    assert eventually(
        lambda: not group_lives(one.process.pid)
    )  # killed, and reaped by whoever inherits them


def test_a_killed_programs_children_are_gone_before_it_starts_again(
    supervisor: Supervisor, said: list[str]
) -> None:
    one = supervisor.start(program(HOST_OF_TWO))
    supervisor.until(lambda: wrote(supervisor), 20)
    assert one.process is not None
    first = one.process.pid
    one.process.kill()
    supervisor.keep(lambda: bool(said))
    assert eventually(lambda: not group_lives(first))  # killed, and reaped by whoever inherits them


def test_the_last_stage_ends_first(supervisor: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    telling = (
        "import pathlib, signal, sys\n"
        "def end(*_):\n"
        f"    file = pathlib.Path({str(order)!r}).open('a'); file.write('NAME ')\n"
        "    file.close(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); signal.pause()\n"
    )
    for stage, name in enumerate(("broker", "parse", "service")):
        supervisor.start(program(telling.replace("NAME", name), name=name, stage=stage))
    names = ("broker", "parse", "service")
    supervisor.until(lambda: all(wrote(supervisor, name) for name in names), 20)
    supervisor.end_all()
    assert order.read_text() == "service parse broker "


def test_a_program_runs_in_an_empty_folder_so_that_nothing_shadows_ours(
    supervisor: Supervisor,
) -> None:
    supervisor.start(program("import os; print(os.listdir('.')); print('up', flush=True); input()"))
    eventually(lambda: wrote(supervisor))
    assert supervisor.log_of("one").read_text().startswith("[]\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_keeping(supervisor: Supervisor, number: signal.Signals) -> None:
    supervisor.start(program(SLEEPER))
    os.kill(os.getpid(), number)
    supervisor.keep()
    assert supervisor.ending


def test_nothing_is_left_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    source = (
        "import os, sys, pathlib\n"
        "from workers.supervisor import Program, Supervisor\n"
        f"with Supervisor(pathlib.Path({str(tmp_path)!r}), print) as one:\n"
        f"    argv = (sys.executable, '-c', {HOST_OF_TWO!r})\n"
        "    running = one.start(Program('one', argv, dict(os.environ), 5.0))\n"
        "    one.until(lambda: b'up' in one.log_of('one').read_bytes(), 20)\n"
        "    print(running.process.pid, flush=True)\n"
        "    one.keep()\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        group = int(killed.stdout.readline())
        killed.kill()
    assert eventually(lambda: not group_lives(group))


def test_a_long_log_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    with log.open("wb") as file:
        file.truncate(50_000_001)
    bound_log(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "one.1.log").stat().st_size == 50_000_001
