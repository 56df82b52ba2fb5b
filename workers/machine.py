"""What matprop is on one machine: its programs, their environment, its port and its folder."""

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from workers import embedded
from workers.supervisor import Program, StartError

PATIENCE_WITH_REMAINS_S = 5.0
BACKLOG = 1024


def programs(
    broker: embedded.Broker,
    environment: Mapping[str, str],
    parse_workers: int,
    train_workers: int = 1,
    door: socket.socket | None = None,
) -> Sequence[Program]:
    """In the order of starting; the broker only when it is ours. Through the `door` the service lets in."""
    python = (sys.executable, "-P", "-m")
    found: list[Program] = []
    if broker.program is not None:
        found.append(Program("broker", broker.argv, environment, 10.0, 0, broker.lock))
    for queue, processes in (("infer", 1), ("parse", parse_workers), ("train", train_workers)):
        argv = [*python, "celery", "-A", "workers.app", "worker", "-Q", queue]
        argv += ["-c", str(processes), "-n", f"{queue}-{os.getpid()}@%h", "--loglevel", "INFO"]
        found.append(Program(queue, tuple(argv), environment, 10.0))
    inherits: tuple[int, ...] = ()
    if door is not None:
        inherits = (door.fileno(),)
        environment = {**environment, "MATPROP_LISTEN_FD": str(door.fileno())}
    found.append(Program("service", (*python, "service"), environment, 10.0, 2, inherits=inherits))
    return found


def environment_of(
    base: Mapping[str, str], *, url: str, state: Path, host: str, port: int
) -> dict[str, str]:
    """What every process is told; the user's own settings stay."""
    one_thread = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    )
    ours = {
        "MATPROP_REDIS_URL": url,
        "MATPROP_STATE": str(state),
        "MATPROP_HOST": host,
        "MATPROP_PORT": str(port),
        "PYTHONSAFEPATH": "1",  # a folder `models` where the user stands is not ours
        "PYTHONUNBUFFERED": "1",
    }
    return one_thread | dict(base) | ours


def processors() -> int:
    """How many this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def free_port(host: str, port: int, patience_s: float = 0.0) -> int:
    """The port to listen on, 0 asking for any free one. Raises StartError when it is taken."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return bound_port(host, port)
        except OSError as error:
            if time.monotonic() < until:
                time.sleep(0.1)
                continue
            raise StartError(port_fault(host, port, error)) from error


def bound_port(host: str, port: int) -> int:
    """Try to listen there, and let go again."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with closing(socket.socket(family, kind, protocol)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)  # a second listener is refused only here
        return int(probe.getsockname()[1])


@contextmanager
def opened(host: str, port: int) -> Iterator[socket.socket | None]:
    """A socket that listens there: callers wait in it while the service starts again.

    None for a name with several addresses, on each of which the service then listens by itself.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    if len(addresses) > 1:
        yield None
        return
    family, kind, protocol, _, address = addresses[0]
    with socket.socket(family, kind, protocol) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        door.bind(address)
        door.listen(BACKLOG)
        yield door


def port_fault(host: str, port: int, error: OSError) -> str:
    """What to do about a port that cannot be had."""
    if isinstance(error, socket.gaierror):
        return f"{host!r} is no address of this machine: {error.strerror}"
    if isinstance(error, PermissionError):
        return f"port {port} needs more rights; take one above 1023, for example --port 8000"
    return (
        f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}\n"
        f"Take another: matprop up --port {port + 1 if port < 65535 else 8000}   "
        "(or --port 0 for any free one)"
    )


@contextmanager
def alone(state: Path) -> Iterator[bool]:
    """Hold the state folder; tells whether its last holder was killed. Raises StartError."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"cannot write to the state folder {state}: {error.strerror}") from error
    try:
        holder = os.read(descriptor, 20).decode()
        if not embedded.flocked(descriptor):
            raise StartError(
                f"another `matprop up` (process {holder}) runs on the state folder {state}\n"
                "Use that one, end it with Ctrl-C, or take another folder: matprop up --state DIR"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield bool(holder)
        os.ftruncate(descriptor, 0)  # ended in good order
    finally:
        os.close(descriptor)
