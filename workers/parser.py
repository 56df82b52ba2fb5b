"""Structures and graphs from bytes of strangers, read in a resident child process under limits.

A parser owns one child. The child that hangs, crashes or takes too much is killed; the structure it
was at gets `ParserLimit`, and a fresh child, forked in milliseconds, goes on with the next. Where it is
not clear which structure that was, for answers go several together, a fresh one tries them one by one.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from models.errors import ParserLimit
from models.settings.frozen import InputSettings
from models.structures.parse import ReadOptions
from workers import tracing
from workers.metrics import Tally
from workers.parser_wire import Channel, Closed
from workers.parser_zygote import Zygote
from workers.settings import WorkerSettings

WINDOW = 32  # sources sent ahead of the answers
WINDOW_BYTES = 1_000_000
TRACED = 8  # structures of one read that have spans of their own
LOSSES = 5  # structures of one source that may each cost a child


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What reading one structure may take."""

    wall_s: float = 8.0
    memory_bytes: int = 1_000_000_000
    niceness: int = 0  # how much the child gives way to others

    @staticmethod
    def of(settings: WorkerSettings) -> "ParserLimits":
        """The limits that a deployment has set."""
        return ParserLimits(settings.parse_wall_s, settings.parse_memory_bytes)


@dataclass(frozen=True, slots=True)
class Source:
    """One file as it was sent."""

    index: int
    name: str
    format: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """One structure with its graphs, or why there is none."""

    source: int
    name: str
    formula: str | None
    n_sites: int | None
    digest: str
    warnings: tuple[str, ...]
    numbers: bytes
    fractional: list[float] | None
    graphs: dict[str, bytes]  # by the key of their settings
    faults: dict[str, dict[str, Any]]  # graphs that could not be made
    error: dict[str, Any] | None
    lattice: list[float] | None = None  # beside `fractional`
    spent: Sequence[float] = ()  # seconds of reading, and of making graphs


@dataclass(slots=True)
class _Pending:
    """A source on its way, and how far the child has got with it."""

    source: Source
    member: int = 0
    unit: int = -1
    name: str | None = None  # of the structure being read, where the source holds several
    begun: bool = False  # the child has told which structure it is at
    answered: bool = False
    again: bool = False  # this structure has cost a child before
    losses: int = 0


class Parser:
    """Reads sources in order; one caller at a time, one child process."""

    def __init__(self, limits: ParserLimits | None = None, tally: Tally | None = None) -> None:
        self.limits = limits or ParserLimits()
        self.tally = tally or Tally()
        self._channel: Channel | None = None
        self._pid = 0
        self._pending: deque[_Pending] = deque()
        self._order: list[Any] = []
        self._careful = False
        self._traced = 0  # structures of this read
        Zygote.here()  # it takes a second to be ready; better now than at the first request

    @property
    def child(self) -> int:
        """The process that reads now; 0 when there is none."""
        return self._pid

    def read(
        self,
        sources: Iterable[Source],
        options: ReadOptions,
        graphs: Sequence[InputSettings] = (),
        *,
        fractional: bool = False,
        adsorbate: str | None = None,
    ) -> Iterator[Parsed]:
        """Every structure of every source, in order, at least one item a source.

        Raises: OSError when no process can be started any more; never for what a source holds.
        """
        settings = [graph.as_json() for graph in graphs]
        self._traced = 0
        self._order = ["order", asdict(options), settings, fractional, adsorbate]
        self._careful = False
        if self._channel is None:
            self._renew()
        else:
            self._channel.send([*self._order, self._careful])
        waiting = iter(sources)
        try:
            while self._fill(waiting):
                yield from self._answers()
        finally:
            if self._pending:  # the caller went away: what is under way is of no use
                self._pending.clear()
                self.close()

    def close(self) -> None:
        """End the child; the next read starts another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._pid:
            Zygote.here().end(self._pid)
            self._pid = 0

    # -- the way there -----------------------------------------------------------------------------

    def _fill(self, waiting: Iterator[Source]) -> bool:
        """Send ahead as far as the window reaches; whether anything is under way."""
        ahead = sum(len(pending.source.data) for pending in self._pending)
        while len(self._pending) < WINDOW and (ahead < WINDOW_BYTES or not self._pending):
            source = next(waiting, None)
            if source is None:
                break
            self._pending.append(_Pending(source))
            self._post(self._pending[-1])
            ahead += len(source.data)
        return bool(self._pending)

    def _post(self, pending: _Pending) -> None:
        source = pending.source
        place = [pending.member, pending.unit + 1]
        if self._channel is not None:
            self._channel.send(["source", source.name, source.format, source.data, *place])

    def _renew(self) -> None:
        """A fresh child that goes on where the last one stopped."""
        if self._channel is not None:
            self._channel.close()
        try:
            self._pid, end = Zygote.here().fork(self.limits.memory_bytes, self._pid)
        except OSError:  # the zygote was lost just now; a new one is worth one try
            self._pid, end = Zygote.here().fork(self.limits.memory_bytes)
        if self.limits.niceness:
            with suppress(OSError):  # it has ended already, as will be found out
                os.setpriority(os.PRIO_PROCESS, self._pid, self.limits.niceness)
        self._channel = Channel(end)
        self._channel.send([*self._order, self._careful])
        for pending in self._pending:
            self._post(pending)

    # -- the way back ------------------------------------------------------------------------------

    def _answers(self) -> Iterator[Parsed]:
        """What comes next: some structures, or the loss of the child."""
        if self._channel is None:
            self._renew()
            return
        try:
            messages = self._channel.receive(time.monotonic() + self.limits.wall_s)
        except Closed:
            yield from self._crashed()
            return
        if not messages:
            yield from self._timed_out()
        for message in messages:
            yield from self._answer(message)

    def _answer(self, message: list[Any]) -> Iterator[Parsed]:
        if message[0] == "bye":
            self._renew()
            return
        pending = self._pending[0]
        if message[0] == "begin":
            _, pending.member, pending.unit, pending.name = message
            pending.begun = True
        elif message[0] == "done":
            _, pending.member, pending.unit, values = message
            pending.begun, pending.answered, pending.again, pending.name = False, True, False, None
            parsed = _parsed(pending.source.index, values)
            for stage, seconds in zip(("parse", "featurise"), parsed.spent, strict=False):
                self.tally.spent(f"stage_seconds:{stage}", seconds)
            if tracing.on() and self._traced < TRACED:
                self._traced += 1
                _record(*parsed.spent)
            yield parsed
        else:
            self._pending.popleft()

    def _crashed(self) -> Iterator[Parsed]:
        """The child is gone: maybe by its structure, which gets a second chance in a fresh one."""
        self.tally.add("parsers_lost:crash")
        if self._pending and self._pending[0].again:
            yield self._blame("ended the process that read it")
        else:
            self._once_more()

    def _timed_out(self) -> Iterator[Parsed]:
        """The child hangs: at a structure, between two of an archive, or at one that is not the first here."""
        self.tally.add("parsers_lost:timeout")
        pending = self._pending[0]
        unclear = not self._careful and len(self._pending) > 1 and not pending.begun
        if unclear or (pending.answered and not pending.begun and not pending.again):
            self._once_more()
        else:
            yield self._blame(f"took more than {self.limits.wall_s:g} s")

    def _once_more(self) -> None:
        """A fresh child takes up the same structure, and keeps no answer back."""
        self._careful = True
        for pending in islice(self._pending, 1):
            pending.again = True
            pending.unit -= pending.begun and pending.unit >= 0
            pending.begun = False
        self._renew()

    def _blame(self, why: str) -> Parsed:
        """An error for the structure that the child was at; the rest goes to a new child."""
        pending = self._pending[0]
        pending.losses += 1
        name = pending.name or pending.source.name
        if self._give_up(pending):
            self._pending.popleft()
        self._renew()
        return _refused(pending.source.index, name, why)

    def _give_up(self, pending: _Pending) -> bool:
        """Whether nothing more of the source is to be read; if not, from where to go on."""
        if pending.losses >= LOSSES or not (pending.begun or pending.answered):
            return True
        if pending.begun and pending.unit < 0:  # the member could not even be taken apart
            pending.member += 1
        pending.begun, pending.again, pending.name = False, False, None
        return False


def _record(parse_s: float = 0.0, featurise_s: float = 0.0) -> None:
    """A structure's stages as spans, the last of which ended just now."""
    tracing.record("parse", parse_s, ended_s_ago=featurise_s)
    tracing.record("featurise", featurise_s)


def _parsed(source: int, values: list[Any]) -> Parsed:
    name, made, sites, digest, warnings, numbers, fractional, graphs, faults, error, *cell = values
    return Parsed(
        source,
        name,
        made,
        sites,
        digest,
        tuple(warnings),
        numbers,
        fractional,
        graphs,
        faults,
        error,
        *cell,
    )


def _refused(source: int, name: str, why: str) -> Parsed:
    error = ParserLimit(
        f"Reading the structure {why}.",
        file=name,
        hint="Send a smaller cell, or export the file again as CIF in P 1.",
    ).as_dict()
    return Parsed(source, name, None, None, "", (), b"", None, {}, {}, error)
