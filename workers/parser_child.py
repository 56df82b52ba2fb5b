"""What runs in the processes that read what strangers send.

    python -m workers.parser_child CONTROL_FD

loads the libraries once and forks a child for each request that comes over the control socket; the
children read, under limits, until their parser hangs up.
"""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgpack

from models.errors import InputError, MatpropError, ParserLimit
from models.families.kinds import AnyInput, input_of
from models.settings.graph import GraphSettings, Neighbours
from models.structures.composition import formula
from models.structures.parse import ReadOptions, Unit, files, parse, read, units
from models.structures.structure import Structure
from workers.parser_wire import CHUNK, MOST_BYTES
from workers.parser_zygote import ANSWER, REQUEST

PR_SET_PDEATHSIG = 1
CPU_S = 70  # beyond any wall limit that can be set; for a child whose parent no longer looks
OPEN_FILES = 64
RENEW_EVERY = 64  # sources between looks at the child's size
HELD_BYTES, HELD_S = 65_536, 0.01  # answers that may go together


# -- the zygote ------------------------------------------------------------------------------------


def serve(control: socket.socket) -> None:
    """Fork on request until the parent hangs up; then end what was forked."""
    children: set[int] = set()
    try:
        while True:
            request = _request(control)
            if request is None:
                return
            (what, old, memory), end = request
            _end(children, old)
            pid = 0
            if what == b"F" and end is not None:
                pid = _fork(control, end, memory)
                children.add(pid)
            control.sendall(ANSWER.pack(pid))
    finally:
        for pid in list(children):
            _end(children, pid)


def _request(control: socket.socket) -> tuple[tuple[bytes, int, int], socket.socket | None] | None:
    data, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
    while data and len(data) < REQUEST.size:
        data += control.recv(REQUEST.size - len(data))
    if not data:
        return None
    end = socket.socket(fileno=descriptors[0]) if descriptors else None
    return REQUEST.unpack(data), end


def _end(children: set[int], pid: int) -> None:
    if pid in children:
        children.discard(pid)
        os.kill(pid, signal.SIGKILL)  # ours and not yet waited for, so the number is still its own
        os.waitpid(pid, 0)


def _fork(control: socket.socket, end: socket.socket, memory: int) -> int:
    pid = os.fork()
    if pid:
        end.close()
        return pid
    try:
        control.close()
        _confine(memory)
        Child(end, memory).run()
    finally:
        os._exit(0)


def _confine(memory: int) -> None:
    """Limits of one child; what reading needs is loaded already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    base = _size()
    limits = [
        (resource.RLIMIT_AS, base + memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ]
    if hasattr(resource, "RLIMIT_NPROC"):
        limits.append((resource.RLIMIT_NPROC, 0))
    for kind, wanted in limits:
        _, hard = resource.getrlimit(kind)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))


def _size() -> int:
    """Address space of this process in bytes."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read before every limit
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- the child -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Order:
    """How the sources that follow are to be read."""

    options: ReadOptions = field(default_factory=ReadOptions)
    graphs: list[tuple[str, AnyInput]] = field(default_factory=list)
    fractional: bool = False
    adsorbate: str | None = None
    careful: bool = (
        False  # every answer goes before the next structure, which may be this child's end
    )


class Child:
    """Reads one source after the other; every structure is sent as soon as it is read."""

    def __init__(self, end: socket.socket, memory: int) -> None:
        self.end = end
        self.most = _size() + memory // 2
        self.order = Order()
        self.count = 0
        self.began = 0.0  # with the structure at hand
        self._held = bytearray()
        self._held_since = 0.0

    def run(self) -> None:
        """Until the parent hangs up, or this child has grown too big."""
        for message in self._messages():
            if message[0] == "order":
                self.order = _order(*message[1:])
                continue
            worn = self._source(*message[1:])
            self._hold(["end"])
            self.count += 1
            if worn or (self.count % RENEW_EVERY == 0 and _size() > self.most):
                self._tell(["bye"])
                return

    def _messages(self) -> Iterator[list[Any]]:
        unpacker = msgpack.Unpacker(max_buffer_size=MOST_BYTES)
        while data := self.end.recv(CHUNK):
            unpacker.feed(data)
            yield from unpacker
            self._let_go()

    def _tell(self, message: list[Any]) -> None:
        """Send it, after what was held back."""
        self._hold(message)
        self._let_go()

    def _hold(self, message: list[Any]) -> None:
        """Send it with later ones: wake-ups less for the parent."""
        if not self._held:
            self._held_since = time.monotonic()
        self._held += msgpack.packb(message)

    def _let_go(self) -> None:
        if self._held:
            self.end.sendall(self._held)
            self._held.clear()

    def _begin(self) -> None:
        """What comes may take long, or be this child's end."""
        waited = time.monotonic() - self._held_since
        if self.order.careful or len(self._held) > HELD_BYTES or waited > HELD_S:
            self._let_go()
        _more_time()

    def _source(self, name: str, format_: str | None, data: bytes, member: int, unit: int) -> bool:
        """Read what the source holds, from this place on; whether memory ran out on the way."""
        worn = False
        for at, file in enumerate(files(data, name, format_)):
            if at < member:
                continue
            several = file.name != name  # it is an archive's
            if several:
                self._tell(["begin", at, -1, file.name])
            self._begin()
            made = units(file, self.order.options)
            if isinstance(made, InputError):
                worn |= self._answer(at, 0, made)
                self._after(told=several)
                continue
            for number in range(unit if at == member else 0, len(made)):
                if len(made) > 1:
                    self._tell(["begin", at, number, made[number].name])
                worn |= self._unit(at, number, made[number])
            self._after(told=several or len(made) > 1)
        return worn

    def _after(self, *, told: bool) -> None:
        """What was told to begin is told to be done, before what comes next takes long: unpacking, or another source."""
        if told:
            self._let_go()
            _more_time()

    def _unit(self, member: int, number: int, unit: Unit) -> bool:
        self._begin()
        self.began = time.perf_counter()
        return self._answer(member, number, read(unit), unit.name)

    def _answer(
        self, member: int, number: int, item: Structure | InputError, name: str = ""
    ) -> bool:
        if isinstance(item, InputError):
            error = item.as_dict()
            self._hold(
                [
                    "done",
                    member,
                    number,
                    [error.get("file", name), None, None, "", [], b"", None, {}, {}, error],
                ]
            )
            return isinstance(item, ParserLimit)
        self._hold(["done", member, number, self._described(item)])
        return False

    def _described(self, item: Structure) -> list[Any]:
        read_at = time.perf_counter()
        graphs: dict[str, bytes] = {}
        faults: dict[str, dict[str, Any]] = {}
        notes = list(item.warnings)
        for key, settings in self.order.graphs:
            try:
                graphs[key], more = _graph(item, settings, self.order.adsorbate)
                notes.extend(note for note in more if note not in notes)
            except MatpropError as error:
                faults[key] = error.in_file(item.name).as_dict()
            except MemoryError:
                faults[key] = _graph_fault(item.name, "took too much memory")
            except Exception as fault:  # noqa: BLE001 - one structure's fault is not the next one's
                faults[key] = _graph_fault(item.name, f"failed ({type(fault).__name__})")
        return [
            item.name,
            formula(item.numbers.tolist()),
            len(item.numbers),
            item.digest(),
            notes,
            item.numbers.tobytes(),
            item.fractional.ravel().tolist() if self.order.fractional else None,
            graphs,
            faults,
            None,
            item.lattice.ravel().tolist() if self.order.fractional else None,
            [read_at - self.began, time.perf_counter() - read_at],
        ]


def _order(options: dict[str, Any], graphs: list[str], *more: Any) -> Order:
    settings = [_settings(graph) for graph in graphs]
    return Order(ReadOptions(**options), [(s.key(), s) for s in settings], *more)


@cache
def _settings(graph: str) -> AnyInput:
    return input_of(graph)


def _graph(
    structure: Structure, settings: AnyInput, adsorbate: str | None = None
) -> tuple[bytes, tuple[str, ...]]:
    from models.samples import featurise, notes

    graph = featurise(structure, settings, adsorbate)
    return graph.pack(), notes(graph, settings)


def _graph_fault(name: str, what: str) -> dict[str, Any]:
    return ParserLimit(f"Finding the neighbours of the sites {what}.", file=name).as_dict()


def _more_time() -> None:
    """Each structure has the processor to itself this long, whatever the ones before it took."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_S, hard))


# -- start -----------------------------------------------------------------------------------------

WARM = b"""data_warm
_cell_length_a 4.1\n_cell_length_b 4.1\n_cell_length_c 4.1
_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m -3 m'
loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z
Cs1 0 0 0\nCl1 0.5 0.5 0.5
"""


def warm_up() -> None:
    """Load what reading may need: a child must not have to open files."""
    import scipy.sparse.csgraph
    import scipy.spatial  # noqa: F401
    import spglib  # noqa: F401

    import models.slabs.featurise  # noqa: F401

    made: list[Structure | InputError] = []
    for options in (ReadOptions(), ReadOptions(primitive=True)):
        made += parse(WARM, "warm.cif", None, options)
    for structure in made:
        for neighbours in Neighbours:
            if isinstance(structure, Structure):
                with contextlib.suppress(Exception):  # worth trying, no more
                    _graph(structure, GraphSettings(neighbours=neighbours))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def main() -> None:
    """Be the zygote."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    warm_up()
    serve(control)


if __name__ == "__main__":
    main()
