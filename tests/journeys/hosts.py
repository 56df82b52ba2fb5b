"""Machines of a test: each has a network, processes, a name and a disk of its own, and a cable that can be pulled.

Where the kernel lets us they are namespaces that vanish with the test, however it ends. Elsewhere they
are loopback addresses whose links go through a proxy that can fall silent.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from tests.faults.proxy import Proxy

ROOT = Path(__file__).parents[2]
CLONE_NEWNET = 0x40000000
NET = "10.213.77"  # exists inside the namespaces only
NEEDED = ("unshare", "nsenter", "ip", "mount", "hostname")
# The machine's own disk is at the same place for all; nobody sees another's.
BOOT = """
set -e
hostname "$1"
mount --bind "$2/$1" "$3"
[ "$1" = wire ] || mount -t tmpfs none "$2"
ip link set lo up
echo up
exec cat
"""


class NoNamespaces(Exception):
    """This kernel or this user makes none."""


class Host(Protocol):
    """One machine."""

    name: str
    disk: Path  # as its own processes see it

    def start(self, argv: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
        """Run a program there; what it says is in the test's folder."""

    def way_to(self, other: "Host", port: int) -> str:
        """`address:port` by which its processes reach another machine."""

    def dial(self, port: int) -> socket.socket:
        """A connection from this machine to itself, in the hands of the test."""

    def cut(self) -> None:
        """What it sends and what is sent to it vanishes; no connection ends."""

    def heal(self) -> None:
        """The cable is back."""

    def power_off(self) -> None:
        """All that runs there is gone at once."""


class Namespaced:
    """Its network, mounts, name and processes are namespaces, held by a process that ends with the test."""

    def __init__(self, name: str, number: int, folder: Path, wire: "Namespaced | None") -> None:
        self.name = name
        self.wire = wire
        self.address = f"{NET}.{number}"
        self.disk = folder / "disk"
        self.log = folder / f"{name}.log"
        for needed in (self.disk, folder / "disks" / name):
            needed.mkdir(parents=True, exist_ok=True)
        self.programs: list[subprocess.Popen[bytes]] = []
        command = ["unshare", "-n", "-m", "-u", "-p", "--fork", "--kill-child=KILL", "--mount-proc"]
        command += ["sh", "-c", BOOT, "sh", name, str(folder / "disks"), str(self.disk)]
        with self.log.open("ab") as log:
            # It ends when the pipe does: with this process, in whatever way that ends.
            self.holder = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != b"up\n":
            self.power_off()
            raise NoNamespaces(self.log.read_text())
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children")
        self.init = int(children.read_text().split()[0])

    def run(self, *argv: str) -> None:
        """A command in its network, awaited."""
        command = ["nsenter", "-t", str(self.init), "-n", "--", *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoNamespaces(done.stderr)

    def plug_in(self) -> None:
        """A cable to the wire."""
        assert self.wire is not None
        made = ["link", "add", self.name, "type", "veth", "peer", "name", "eth0"]
        self.wire.run("ip", *made, "netns", str(self.init))
        self.wire.run("ip", "link", "set", self.name, "master", "bridge", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def start(self, argv: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
        enter = ["nsenter", "-t", str(self.init), "-n", "-m", "-u", "-p", "--"]
        with self.log.open("ab") as log:
            program = subprocess.Popen(
                [*enter, "env", "-C", str(ROOT), *argv],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.programs.append(program)
        return program

    def way_to(self, other: Host, port: int) -> str:
        assert isinstance(other, Namespaced)
        return f"{other.address}:{port}"

    def dial(self, port: int) -> socket.socket:
        made: list[socket.socket] = []

        def make() -> None:  # a thread may change its network, and ends with it
            with Path(f"/proc/{self.init}/ns/net").open() as net:
                if ctypes.CDLL(None, use_errno=True).setns(net.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket())

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        [connection] = made
        return _connected(connection, "127.0.0.1", port)

    def cut(self) -> None:
        assert self.wire is not None
        self.wire.run("ip", "link", "set", self.name, "nomaster")

    def heal(self) -> None:
        assert self.wire is not None
        self.wire.run("ip", "link", "set", self.name, "master", "bridge")

    def power_off(self) -> None:
        assert self.holder.stdin is not None
        assert self.holder.stdout is not None
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        for program in self.programs:
            program.wait()


class OnLoopback:
    """An address of this machine; its links to others go through proxies."""

    def __init__(self, name: str, number: int, folder: Path) -> None:
        self.name = name
        self.address = f"127.0.77.{number}"
        self.disk = folder / "disks" / name
        self.disk.mkdir(parents=True)
        self.log = folder / f"{name}.log"
        self.programs: list[subprocess.Popen[bytes]] = []
        self.links: list[Proxy] = []

    def start(self, argv: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            program = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.programs.append(program)
        return program

    def way_to(self, other: Host, port: int) -> str:
        assert isinstance(other, OnLoopback)
        if other is self:
            return f"{self.address}:{port}"
        link = Proxy(port, other.address, self.address)
        for end in (self, other):
            end.links.append(link)
        return f"{self.address}:{link.port}"

    def dial(self, port: int) -> socket.socket:
        return _connected(socket.socket(), "127.0.0.1", port)  # where the service lets in

    def cut(self) -> None:
        for link in self.links:
            link.pause()

    def heal(self) -> None:
        for link in self.links:
            link.resume()

    def power_off(self) -> None:
        import psutil

        for program in self.programs:
            if program.poll() is None:
                tree = psutil.Process(program.pid).children(recursive=True)
                for one in (program, *tree):
                    one.kill()
            program.wait()
        for link in self.links:
            link.close()


@contextmanager
def machines(folder: Path, names: Sequence[str]) -> Iterator[Mapping[str, Host]]:
    """The machines, joined by a wire; nothing of them is left afterwards."""
    with ExitStack() as stack:
        try:
            hosts = _namespaced(folder / "ns", names, stack)
        except NoNamespaces:
            stack.close()
            hosts = _on_loopback(folder / "loopback", names, stack)
        yield hosts


def _namespaced(folder: Path, names: Sequence[str], stack: ExitStack) -> dict[str, Host]:
    if os.geteuid() or not all(map(shutil.which, NEEDED)):
        raise NoNamespaces("only root, and only with util-linux and iproute2")
    wire = Namespaced("wire", 254, folder, None)
    stack.callback(wire.power_off)
    wire.run("ip", "link", "add", "bridge", "type", "bridge")
    wire.run("ip", "link", "set", "bridge", "up")
    hosts: dict[str, Host] = {}
    for number, name in enumerate(names, 1):
        hosts[name] = host = Namespaced(name, number, folder, wire)
        stack.callback(host.power_off)
        host.plug_in()
    return hosts


def _on_loopback(folder: Path, names: Sequence[str], stack: ExitStack) -> dict[str, Host]:
    hosts: dict[str, Host] = {}
    for number, name in enumerate(names, 1):
        hosts[name] = host = OnLoopback(name, number, folder)
        stack.callback(host.power_off)
    return hosts


def _connected(connection: socket.socket, address: str, port: int) -> socket.socket:
    connection.settimeout(30)
    try:
        connection.connect((address, port))
    except OSError:
        connection.close()
        raise
    return connection


def until(true: Callable[[], object], what: str, patience_s: float = 240) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.2)
