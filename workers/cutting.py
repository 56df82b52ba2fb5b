"""The run of a screening: its source is cut into chunks, each a child job, and when all have ended it closes.

How far it is cut stands in the job's record, written in the same step as the chunk: a successor goes on from there.
Only so much is cut ahead; then nobody holds the job until most of that is done, so that others' turns come.
"""

import logging
import math
import os
import select
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from models.errors import (
    EmptyInput,
    InputError,
    MatpropError,
    ModelError,
    SourceChanged,
    TooLarge,
    UnknownDataset,
)
from workers import limited
from workers.closing import closed
from workers.contract import ChunkOrder, ScreenOrder, Task
from workers.files import Files
from workers.jobs import Beat, Claim, Job, NewJob, Status, child_id
from workers.limited import Bounds
from workers.owning import Hold, Outcome, Stopped
from workers.pack import PackWriter, read_pack
from workers.places import S3, Places
from workers.records import Cut
from workers.shards import failed_rows, look
from workers.shelf import MANIFEST
from workers.store import Entry

MODULE = "workers.pieces"
READING = Bounds(cpu_s=14_400, wall_s=math.inf, file_bytes=0, niceness=5)
SILENT_S = 300.0  # nothing came from the source for so long: it is given up
AHEAD, LEFT = (
    192,
    48,
)  # chunks that may be under way, and how many of them are left when cutting goes on
AIM_S = 2.0  # what a chunk should take
FIRST_ROWS, FEW_ROWS, MOST_ROWS = 16, 256, 1_024
MOST_BYTES = 16_000_000
PATIENCE_S = 2.0  # a chunk goes when its first structure has waited so long
PAUSE_S = 1.0
PIPE_BYTES = 1 << 20

log = logging.getLogger("matprop.worker")

# name, format, text, error, and by what the source finds it again
Piece = tuple[str, str | None, bytes, dict[str, Any] | None, str]


@dataclass(slots=True)
class Growing:
    """The chunk in the making."""

    pieces: list[Piece] = field(default_factory=list)
    size: int = 0
    since: float = 0.0

    def add(self, piece: Piece) -> None:
        """One structure more."""
        if not self.pieces:
            self.since = time.monotonic()
        self.pieces.append(piece)
        self.size += len(piece[2])

    def is_due(self, goal: tuple[int, float]) -> bool:
        """Whether it should go."""
        if not self.pieces:
            return False
        rows, size = goal
        # Each chunk costs something of its own: few structures go only if they are very dear.
        dear = self.size >= (size if len(self.pieces) >= FEW_ROWS else 3 * size)
        return dear or len(self.pieces) >= rows or time.monotonic() - self.since >= PATIENCE_S


@dataclass(frozen=True, slots=True)
class Source:
    """What its process is told and inherits; and when something last came to that from elsewhere."""

    words: tuple[str, ...]
    kept: tuple[int, ...] = ()
    moved: Callable[[], float] = lambda: 0.0


class Cutter:
    """Cuts screenings and closes them, for one thread."""

    def __init__(
        self,
        files: Files,
        close: Callable[[Hold], Outcome],
        places: Places,
        bounds: Bounds = READING,
        ahead: tuple[int, int] = (AHEAD, LEFT),
    ) -> None:
        self.files = files
        self.close = close
        self.places = places
        self.bounds = bounds
        self.ahead, self.left = ahead

    def run(self, hold: Hold) -> Outcome | None:
        """As far as it may be cut now, or its close. Raises: Stopped, MatpropError."""
        claim = hold.claim
        if claim.children is not None or claim.status is Status.CANCELLING:
            return self.close(hold)
        if (counts := closed(self.files, claim.id)) is not None:
            return Outcome(Status.SUCCEEDED, counts=counts)
        try:
            return self._cut(hold)
        except Stopped as stop:
            if stop.beat is not Beat.CANCELLED:
                raise
            hold.jobs.sleep(claim, 0)  # it closes when its chunks have gone
            return None

    def _cut(self, hold: Hold) -> Outcome | None:
        claim = hold.claim
        order = ScreenOrder.model_validate_json(claim.order)
        fault: MatpropError | None = None
        number, items, told = claim.cut, claim.items, Cut("ok")
        growing = Growing()
        try:
            for piece in self._pieces(hold, order):
                if piece is not None:
                    growing.add(piece)
                if growing.is_due(goal(number, told)):
                    told = self._submit(hold, order, growing, number, items)
                    number, items = number + 1, items + len(growing.pieces)
                    growing = Growing()
                    if number - told.ended >= self.ahead:
                        hold.jobs.sleep(claim, number - self.left, cut=number)
                        return None
        except InputError as error:
            fault = error
        if growing.pieces:
            self._submit(hold, order, growing, number, items)
            number += 1
        if not number:
            raise fault or EmptyInput("The source holds no structure.")
        told_of = fault.as_dict() if fault else None
        hold.jobs.sleep(claim, number, cut=number, whole=True, fault=told_of)
        return None

    def _submit(
        self, hold: Hold, order: ScreenOrder, growing: Growing, number: int, first: int
    ) -> Cut:
        """The pack, then its job. Raises: Stopped."""
        claim = hold.claim
        mark = f"{claim.attempt}-{str(claim.worker).rpartition('.')[2]}"
        with self.files.written(self.files.chunk(claim.id, number, mark), mark) as file:
            pack = PackWriter(file)
            for name, kind, data, error, _ in growing.pieces:
                pack.begin(name, kind)
                if error is not None:
                    pack.drop(error)
                else:
                    pack.write(data)
                    pack.end()
            pack.close()
        chunk = ChunkOrder(
            models=order.models,
            disorder=order.disorder,
            primitive=order.primitive,
            level=order.level,
            adsorbate=order.adsorbate,
            number=number,
            first=first,
            mark=mark,
        )
        new = NewJob(
            id=child_id(claim.id, number),
            kind=Task.CHUNK,
            order=chunk.model_dump_json(),
            owner=claim.owner,
            request_id=claim.request_id,
            traceparent=claim.traceparent,
            total=len(growing.pieces),
            parent=claim.id,
            ttl_s=claim.ttl_s,
        )
        while True:
            hold.check()
            told = hold.jobs.cut(
                claim, new, number, size_bytes=growing.size, last=growing.pieces[-1][-1]
            )
            if told.word in ("cancelled", "lost"):
                raise Stopped(Beat(told.word))
            if told.word == "ok":
                return told
            time.sleep(PAUSE_S)  # the broker's memory is full just now

    # -- the source --------------------------------------------------------------------------------

    def _pieces(self, hold: Hold, order: ScreenOrder) -> Iterator[Piece | None]:
        """What is not cut yet; nothing now and then, while the source lets wait."""
        claim = hold.claim
        if claim.retry_of is None:
            yield from self._from_source(hold, order, claim)
            return
        yield from _after(claim.items, self._again(hold, order, claim.retry_of))

    def _again(self, hold: Hold, order: ScreenOrder, before: str) -> Iterator[Piece | None]:
        """What failed in an ended screening, was not done, or not even cut."""
        old = hold.jobs.get(before)
        if old is None:
            raise SourceChanged(
                "The screening to be done again is no longer kept.", hint="Send its source anew."
            )
        for number in range(old.cut):
            hold.check()
            yield from self._of_chunk(old, number)
        if old.children is None or old.fault is not None:
            if old.retry_of is None:
                yield from self._from_source(hold, order, old)
            else:
                yield from _after(old.items, self._again(hold, order, old.retry_of))

    def _of_chunk(self, old: Job, number: int) -> Iterator[Piece]:
        shard, wanted = self.files.shard(old.id, number), None
        if self.files.is_there(shard):
            about = look(shard)
            if not about.failed:
                return
            pack, wanted = self.files.chunk(old.id, number, about.mark), set(failed_rows(shard))
        else:  # of several, that of the last attempt: one before it may have been written late, in vain
            folder = self.files.chunk(old.id, number, "").parent
            packs = self.files.store.list(f"{self.files.key(folder)}/{number:08d}.")
            pack = self.files.root / max(packs, key=_attempt).key
        for entry in read_pack(self.files.fetch(pack)):
            if wanted is None or entry.index in wanted:
                yield entry.name, entry.format, entry.data, entry.error, entry.name

    def _from_source(self, hold: Hold, order: ScreenOrder, before: Job) -> Iterator[Piece | None]:
        """What is behind that which was cut before."""
        wishes = [f"--skip={before.items}"]
        wishes += [f"--format={order.format}"] if order.format else []
        with self._source(hold, order, before) as source, _piped() as (reading, writing):
            arguments = [str(writing), *source.words, *wishes]
            kept = (writing, *source.kept)
            with limited.started(MODULE, arguments, self.bounds, kept) as running:
                os.close(writing)
                ended = yield from _read(reading, hold, source.moved)
                if not ended:
                    code = running.wait(PAUSE_S)
                    log.error("taking a source apart: %s %s", code, running.ended(code).errors)
                    raise TooLarge(
                        "Reading this source takes more memory or time than it may.",
                        hint="Send it in several parts, or as JSON lines.",
                    )

    @contextmanager
    def _source(self, hold: Hold, order: ScreenOrder, before: Job) -> Iterator[Source]:
        """Where it is, and of what kind."""
        if order.location is None:
            yield Source(self._own(hold.claim, order))
        elif order.location.startswith(S3):
            begin, first = _begin(before)
            with self.places.feed(hold, before.id, order.location, begin) as feed:
                words = ("feed", str(feed.descriptor), f"--first={first}")
                yield Source(words, (feed.descriptor,), lambda: feed.moved)
        elif before.last and "\0" not in before.last:
            yield Source(("place", order.location, f"--last={before.last}"))
        else:
            yield Source(("place", order.location))

    def _own(self, claim: Claim, order: ScreenOrder) -> tuple[str, str]:
        """What the store has, and what never changes."""
        if order.dataset is not None:
            folder = self.files.fetch_all(self.files.dataset(order.dataset)).resolve()
            if not (folder / MANIFEST).exists():  # deleted since, and this is a retry
                raise UnknownDataset(f"The data set {order.dataset} is no longer here.")
            return "dataset", str(folder)
        try:
            return "pack", str(self.files.fetch(self.files.upload(claim.id)).resolve())
        except FileNotFoundError as error:
            raise ModelError(f"The upload of this job cannot be read: {error}") from error


def goal(number: int, told: Cut) -> tuple[int, float]:
    """Structures and bytes of the next chunk: at first few, then by what chunks have cost so far."""
    rows = min(MOST_ROWS, FIRST_ROWS << min(number, 10))
    if not told.took_s:
        return rows, MOST_BYTES
    return rows, min(MOST_BYTES, AIM_S * told.took_bytes / told.took_s)


def _begin(before: Job) -> tuple[int, int]:
    """The object of a place with which cutting goes on, and how many pieces lay before it."""
    if before.last is None:
        return 0, 0
    number, at = map(int, before.last.split(":"))
    return number, before.items - 1 - at


def _attempt(pack: Entry) -> tuple[int, float]:
    """Whose it is; a broker that lost its last second may give the same number twice."""
    return int(Path(pack.key).name.split(".")[1].partition("-")[0]), pack.changed


def _after(count: int, pieces: Iterator[Piece | None]) -> Iterator[Piece | None]:
    """Without the first ones."""
    for piece in pieces:
        if piece is None or not count:
            yield piece
        else:
            count -= 1


@contextmanager
def _piped() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe; who has closed the second one does so once."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)


def _read(
    reading: int, hold: Hold, moved: Callable[[], float]
) -> Generator[Piece | None, None, bool]:
    """The pieces as they come; returns whether the source told its end. Raises: what it told."""
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 30)
    last = time.monotonic()
    while True:
        hold.check()
        if not select.select([reading], [], [], 0.2)[0]:
            if time.monotonic() - max(last, moved()) > SILENT_S:
                return False
            yield None
            continue
        last = time.monotonic()
        data = os.read(reading, PIPE_BYTES)
        if not data:
            return False
        unpacker.feed(data)
        for found in unpacker:
            if isinstance(found, list):
                yield tuple(found)
            elif found is None:
                return True
            else:
                raise MatpropError.from_dict(found)
