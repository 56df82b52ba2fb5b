"""The run of one predict job: sources in, graphs to the lanes, records out in the order of the input."""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import BinaryIO, Protocol

from models.card import Card
from models.catalogue import Catalogue
from models.errors import EmptyInput, InputError, ModelError, WorkLost, error_classes
from models.families.kinds import KINDS
from models.samples import cost_of
from models.settings.frozen import InputSettings
from models.structures.parse import ReadOptions
from workers import assembly, tracing
from workers.answers import Answers, said_of
from workers.assembly import Line
from workers.chunks import CHUNK, Ask, Chunk
from workers.contract import PredictOrder
from workers.exchange import Found, Work, pack_work, unpack_found
from workers.files import Files
from workers.jobs import Beat, Status
from workers.lanes import OwnerSide, Reply
from workers.metrics import Tally
from workers.owning import Hold, Outcome, Stopped
from workers.pack import PackEntry, read_pack
from workers.parsed import ParsedCache, source_key
from workers.parser import Parsed, Source
from workers.telling import Asked, teller

IN_FLIGHT = 24  # entries of one run that may wait for answers; bounds its memory
KEEP = 256  # answers remembered in one round trip
GROUP = 64  # sources handed to the reader at once
BLOCK_S = 0.5
TELL_S = 0.5

INPUT_CODES = frozenset(
    code for code, found in error_classes().items() if issubclass(found, InputError)
)

log = logging.getLogger("matprop.predict")


class Reader(Protocol):
    """Sources to structures and graphs, in order; never raises for what strangers send."""

    def read(
        self,
        sources: Iterable[Source],
        options: ReadOptions,
        graphs: Sequence[InputSettings],
        *,
        adsorbate: str | None,
    ) -> Iterator[Parsed]:
        """At least one item a source."""


class Sink(Protocol):
    """Where records go, in the order of the input."""

    def add(self, line: Line) -> None:
        """One that is complete."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A file of one JSON line a record."""

    file: BinaryIO

    def add(self, line: Line) -> None:
        """One that is complete."""
        self.file.write(assembly.as_bytes(line))


class Predictor:
    """Runs predict jobs, one after another, for one thread."""

    def __init__(
        self,
        *,
        files: Files,
        catalogue: Catalogue,
        reader: Reader,
        parsed: ParsedCache,
        answers: Answers,
        tally: Tally,
    ) -> None:
        self.files = files
        self.catalogue = catalogue
        self.reader = reader
        self.parsed = parsed
        self.answers = answers
        self.tally = tally

    def run(self, hold: Hold) -> Outcome:
        """From the upload to the result file. Raises: Stopped, MatpropError."""
        claim = hold.claim
        if (before := self.files.answered(claim.id)) is not None:
            with before.open("rb") as lines:
                records = sum(1 for _ in lines)
            return Outcome(Status.SUCCEEDED, counts=(records, 0, records))
        order = PredictOrder.model_validate_json(claim.order)
        cards = [self.catalogue.get(model)[0] for model in order.models]
        upload = self._upload(claim.id)
        # A name of this claim's own: even the attempt's number may come twice (see workers/lua).
        lanes = OwnerSide(self.answers.redis, f"{claim.id}.{str(claim.worker).rpartition('.')[2]}")
        # Small jobs are answered at once and their files live shortly; only big ones wait for the disk.
        with self.files.written(
            self.files.result(claim.id), str(claim.attempt), sync=not claim.direct
        ) as file:
            run = Run(self, hold, order, cards, lanes, sink=Lines(file))
            try:
                run.through(upload)
            except Stopped as stop:
                lanes.forget()
                if stop.beat is not Beat.CANCELLED:
                    raise
                run.keep()
                hold.counts = run.counts
                return Outcome(Status.CANCELLED, counts=run.counts)
        self.tally.spent("stage_seconds:read", run.read_s)
        self.tally.spent("stage_seconds:wait", run.wait_s)
        return replace(run.outcome(), afterwards=run.tidy)

    def _upload(self, job: str) -> Iterator[PackEntry]:
        try:
            entries = read_pack(self.files.fetch(self.files.upload(job)))
            first = next(entries, None)
        except (OSError, ValueError) as error:
            raise ModelError(f"The upload of this job cannot be read: {error}") from error
        if first is None:
            raise EmptyInput("The call holds no file.", hint="Send at least one structure.")
        return _from(first, entries)


class Run:
    """One run: lines in order of the input, chunks to fill, entries under way."""

    def __init__(
        self,
        predictor: Predictor,
        hold: Hold,
        order: PredictOrder,
        cards: Sequence[Card],
        lanes: OwnerSide,
        *,
        sink: Sink,
        first: int = 0,
        together: int = CHUNK,
    ) -> None:
        self.predictor = predictor
        self.hold = hold
        self.order = order
        self.cards = cards
        self.lanes = lanes
        self.sink = sink
        self.first = first  # index of the first record
        self.together = together  # graphs of one entry at most
        self.graphs: list[InputSettings] = list(
            {card.input.key(): card.input for card in cards}.values()
        )
        self.keys = [card.input.key() for card in cards]
        asked = Asked(order.level, order.sites, order.neighbours)
        self.tellers = [teller(card, asked) for card in cards]
        self.cacheable = not (order.sites or order.features or order.neighbours)
        self.chunks = [Chunk(place) for place in range(len(cards))]
        self.fresh: list[dict[str, bytes]] = [{} for _ in cards]  # answers to be remembered
        self.under_way: dict[int, Chunk] = {}
        self.lines: deque[Line] = deque()
        self.begun = self.done = self.failed = 0
        self.sources = 0
        self.fault: dict[str, object] | None = None  # the first one that is not the sender's
        self.told_at = time.monotonic()
        self.read_s = self.wait_s = 0.0  # spent waiting for the reader and for the lanes

    @property
    def counts(self) -> tuple[int, int, int]:
        """Done, failed of these, total as far as it is known."""
        return (
            self.done,
            self.failed,
            max(self.begun, self.hold.claim.sent - self.sources + self.begun),
        )

    def through(self, upload: Iterator[PackEntry]) -> None:
        """All of it. While the reader is at the next sources, earlier ones are at inference."""
        for parsed in self._parsed(upload):
            self._begin(parsed)
            for chunk in self.chunks:
                if chunk.is_full(self.together):
                    self._send(chunk)
            self._get_on()
        for chunk in self.chunks:
            self._send(chunk)
        while self.under_way:
            self._collect(BLOCK_S)
            self._get_on()
        self._write()

    def keep(self) -> None:
        """Write all that is complete, behind what is not as well."""
        for line in self.lines:
            if not line.waits:
                self.sink.add(line)

    def outcome(self) -> Outcome:
        """A run that reached the end succeeded, unless all of it failed by a fault of ours."""
        if self.fault and self.failed == self.done:
            return Outcome(Status.FAILED, self.fault, self.counts)
        return Outcome(Status.SUCCEEDED, None, self.counts)

    def remember(self) -> None:
        """After the job's end: its answers."""
        for card, fresh in zip(self.cards, self.fresh, strict=True):
            pairs = iter(fresh.items())
            while some := dict(islice(pairs, KEEP)):
                self.predictor.answers.keep(card, some)

    def tidy(self) -> None:
        """After the job's end: remember its answers, and its upload unless there is something to retry."""
        self.remember()
        if not self.failed:
            files = self.predictor.files
            files.forget(files.upload(self.hold.claim.id))

    def _parsed(self, upload: Iterator[PackEntry]) -> Iterator[Parsed]:
        while entries := list(islice(upload, GROUP)):
            yield from self._parsed_group(entries)

    def _parsed_group(self, entries: list[PackEntry]) -> Iterator[Parsed]:
        options = ReadOptions(self.order.disorder, self.order.primitive)
        adsorbate = self.order.adsorbate
        how = (options, tuple(setting.key() for setting in self.graphs), adsorbate)
        cache = self.predictor.parsed
        sources = {
            entry.index: Source(entry.index, entry.name, entry.format, entry.data)
            for entry in entries
            if entry.error is None
        }
        keys = {index: source_key(source, how) for index, source in sources.items()}
        held = {
            index: items for index, key in keys.items() if (items := cache.get(key)) is not None
        }
        missing = [source for index, source in sources.items() if index not in held]
        self.predictor.tally.add("cache_hits:parsed", len(held))
        self.predictor.tally.add("cache_misses:parsed", len(missing))
        read = groupby(
            self.predictor.reader.read(missing, options, self.graphs, adsorbate=adsorbate)
            if missing
            else (),
            key=lambda item: item.source,
        )
        for entry in entries:
            self.sources += 1
            if entry.error is not None:
                yield _refused(entry)
            elif entry.index in held:
                yield from held[entry.index]
            else:
                fresh = []
                began = time.perf_counter()
                for item in next(read)[1]:
                    self.read_s += time.perf_counter() - began
                    fresh.append(item)
                    yield item
                    began = time.perf_counter()
                cache.keep(keys[entry.index], tuple(fresh))

    def _begin(self, parsed: Parsed) -> None:
        line = assembly.begin(self.first + self.begun, parsed, self.tellers)
        self.begun += 1
        self.lines.append(line)
        if parsed.error is not None:
            self._ended(line)
            return
        for place, (card, key) in enumerate(zip(self.cards, self.keys, strict=True)):
            if fault := parsed.faults.get(key):
                self._fill(line, place, Found(error=fault))
            else:
                digest = asked_digest(parsed.digest, card, self.order.adsorbate)
                self.chunks[place].add(Ask(line, digest, parsed.graphs[key]))

    def _send(self, chunk: Chunk) -> None:
        """Answer what is known, push the rest."""
        self.chunks[chunk.place] = Chunk(chunk.place)
        if not chunk.groups:
            return
        while len(self.under_way) >= IN_FLIGHT:
            self._collect(BLOCK_S)
            self._get_on()
        if not (self.cacheable and self._ask(chunk)):
            self._push(chunk)
        if len(self.under_way) > 1:
            self._collect(0)

    def _ask(self, chunk: Chunk) -> bool:
        """Whether nothing is left to push: all was known, or nothing and it is on its way."""
        card, digests = self.cards[chunk.place], list(chunk.groups)
        cache, content = self.predictor.answers.name(card), self._content(chunk)
        seq, found = self.lanes.ask(
            cache, digests, card.id, chunk.edges, content, lives=chunk.lives
        )
        if seq is not None:
            self.under_way[seq] = chunk
            return True
        for digest, said in zip(digests, said_of(found), strict=True):
            if said is not None:
                asks = chunk.groups.pop(digest)
                chunk.edges -= cost_of(asks[0].graph)
                self._answer(chunk.place, asks, Found(said))
        return not chunk.groups

    def _content(self, chunk: Chunk) -> bytes:
        graphs = [asks[0].graph for asks in chunk.groups.values()]
        order = self.order
        trace = tracing.current()
        return pack_work(Work(graphs, order.features, order.sites, order.neighbours, trace))

    def _push(self, chunk: Chunk, *, alone: bool = False) -> None:
        seq = self.lanes.push(
            self.cards[chunk.place].id,
            chunk.edges,
            self._content(chunk),
            losses=1 if alone else 0,
            lives=chunk.lives,
        )
        self.under_way[seq] = chunk

    def _collect(self, block_s: float) -> None:
        began = time.perf_counter()
        replies = self.lanes.collect(block_s)
        took = time.perf_counter() - began
        self.wait_s += took
        if block_s:
            tracing.record("wait", took, replies=len(replies))
        for reply in replies:
            self._receive(self.under_way.pop(reply.seq), reply)
        if block_s and not replies:
            self.lanes.keep()

    def _receive(self, chunk: Chunk, reply: Reply) -> None:
        groups = list(chunk.groups.values())
        if reply.content is None:
            self._lost(chunk, groups)
            return
        for asks, found in zip(groups, unpack_found(reply.content), strict=True):
            self._answer(chunk.place, asks, found)
            if self.cacheable and found.packed is not None:
                self.fresh[chunk.place][asks[0].digest] = found.packed

    def _lost(self, chunk: Chunk, groups: list[list[Ask]]) -> None:
        """It cost workers: one of its graphs did, so from here on each goes alone."""
        log.warning("an entry of %d structures cost its inference workers", len(groups))
        if len(groups) == 1:
            error = WorkLost("Every worker that computed this structure was lost.")
            self._answer(chunk.place, groups[0], Found(error=error.as_dict()))
            return
        for asks in groups:
            single = Chunk(chunk.place)
            for ask in asks:
                single.add(ask)
            self._push(single, alone=True)

    def _answer(self, place: int, asks: list[Ask], found: Found) -> None:
        for ask in asks:
            self._fill(ask.line, place, found)

    def _fill(self, line: Line, place: int, found: Found) -> None:
        assembly.fill(line, place, self.tellers[place], found)
        if not line.waits:
            self._ended(line)

    def _ended(self, line: Line) -> None:
        self.done += 1
        self.predictor.tally.add(f"structures:{'failed' if line.failed else 'succeeded'}")
        if not line.failed:
            return
        self.failed += 1
        error = line.record["error"]
        if self.fault is None and error["code"] not in INPUT_CODES:
            self.fault = error

    def _get_on(self) -> None:
        """Write what is complete, tell how far it is, learn whether to stop."""
        self.hold.check()
        if time.monotonic() - self.told_at < TELL_S:
            return
        self.told_at = time.monotonic()
        self._write()
        self.hold.tell(self.counts)

    def _write(self) -> None:
        while self.lines and not self.lines[0].waits:
            self.sink.add(self.lines.popleft())


def asked_digest(structure: str, card: Card, adsorbate: str | None) -> str:
    """What an answer is remembered by: with another adsorbate, a slab has another answer."""
    if KINDS[card.family].answers != "bonds" or not adsorbate:
        return structure
    return hashlib.blake2b(f"{structure} {adsorbate}".encode(), digest_size=16).hexdigest()


def _from(first: PackEntry, rest: Iterator[PackEntry]) -> Iterator[PackEntry]:
    yield first
    yield from rest


def _refused(entry: PackEntry) -> Parsed:
    """A file that the service refused at the door keeps its place in the answer."""
    return Parsed(
        source=entry.index,
        name=entry.name,
        formula=None,
        n_sites=None,
        digest="",
        warnings=(),
        numbers=b"",
        fractional=None,
        graphs={},
        faults={},
        error=entry.error,
    )
