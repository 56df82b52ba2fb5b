"""The run of one chunk of a screening: the way of a prediction, but its records become a shard."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from models.errors import ModelError, UnreadableStructure
from models.settings.frozen import InputSettings
from models.structures.parse import ReadOptions
from workers.assembly import Line
from workers.contract import ChunkOrder, PredictOrder
from workers.jobs import Claim, Status
from workers.lanes import OwnerSide
from workers.owning import Hold, Outcome, Stopped
from workers.pack import PackEntry, read_pack
from workers.parser import Parsed, Source
from workers.predicting import Predictor, Reader, Run
from workers.shards import Sheet, about_shard, made_of

BULK = "bulk."  # how the names of those begin whose entries let others pass

TOGETHER = 128  # graphs of an entry: fewer round trips, and nobody waits for them


@dataclass(frozen=True, slots=True)
class Rows:
    """Records become rows."""

    sheet: Sheet

    def add(self, line: Line) -> None:
        """One that is complete."""
        self.sheet.add(line.record)


@dataclass(frozen=True, slots=True)
class OneEach:
    """A reader that gives one structure a source: that is what a chunk's indices are made of."""

    reader: Reader

    def read(
        self,
        sources: Iterable[Source],
        options: ReadOptions,
        graphs: Sequence[InputSettings],
        *,
        adsorbate: str | None,
    ) -> Iterator[Parsed]:
        """One item a source, in order."""
        found = self.reader.read(sources, options, graphs, adsorbate=adsorbate)
        for _, items in groupby(found, lambda item: item.source):
            first, *more = items
            yield _several(first, 1 + len(more)) if more else first


class Screener:
    """Runs chunks, one after the other, for one thread."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.predictor.reader = OneEach(predictor.reader)
        self.files = predictor.files

    def run(self, hold: Hold) -> Outcome:
        """From the pack to the shard. Raises: Stopped, MatpropError."""
        claim = hold.claim
        order = ChunkOrder.model_validate_json(claim.order)
        parent = str(claim.parent)
        shard = self.files.shard(parent, order.number)
        pack = self.files.chunk(parent, order.number, order.mark)
        if (
            made := made_of(self.files, shard, order)
        ) is not None:  # by an attempt that was lost at its very end
            return Outcome(Status.SUCCEEDED, counts=(made.rows, made.failed, made.rows))
        cards = [self.predictor.catalogue.get(model)[0] for model in order.models]
        lanes = OwnerSide(self.predictor.answers.redis, f"{BULK}{claim.id}.{_tail(claim)}")
        sheet = Sheet(cards)
        run = Run(
            self.predictor,
            hold,
            _asked(order),
            cards,
            lanes,
            sink=Rows(sheet),
            first=order.first,
            together=TOGETHER,
        )
        try:
            run.through(self._entries(pack))
            self._commit(hold, order, sheet, shard)
        except Stopped:
            lanes.forget()
            raise
        self.predictor.tally.spent("stage_seconds:read", run.read_s)
        self.predictor.tally.spent("stage_seconds:wait", run.wait_s)
        return Outcome(
            Status.SUCCEEDED,
            counts=(sheet.rows, sheet.failed, sheet.rows),
            afterwards=lambda: self._tidy(run, sheet, pack),
        )

    def _commit(self, hold: Hold, order: ChunkOrder, sheet: Sheet, shard: Path) -> None:
        """The shard appears whole, unless another worker has the chunk by now."""
        claim = hold.claim
        mark = f"{claim.attempt}.{_tail(claim)}"
        with self.files.written(shard, mark) as file:
            sheet.write(file, about_shard(sheet, order.first, order.mark))
            hold.tell((sheet.rows, sheet.failed, sheet.rows))

    def _entries(self, pack: Path) -> Iterator[PackEntry]:
        try:
            yield from read_pack(self.files.fetch(pack))
        except (FileNotFoundError, ValueError) as error:
            raise ModelError(f"A chunk of this screening cannot be read: {error}") from error

    def _tidy(self, run: Run, sheet: Sheet, pack: Path) -> None:
        """The pack stays where something is to be retried."""
        run.remember()
        if not sheet.failed:
            self.files.forget(pack)


def _asked(order: ChunkOrder) -> PredictOrder:
    return PredictOrder(
        models=order.models,
        disorder=order.disorder,
        primitive=order.primitive,
        level=order.level,
        adsorbate=order.adsorbate,
    )


def _tail(claim: Claim) -> str:
    """A name of this claim's own: even the attempt's number may come twice (see workers/lua)."""
    return str(claim.worker).rpartition(".")[2]


def _several(first: Parsed, count: int) -> Parsed:
    error: dict[str, Any] = UnreadableStructure(
        f"The text holds {count} structures.", file=first.name, expected="one structure"
    ).as_dict()
    return Parsed(first.source, first.name, None, None, "", (), b"", None, {}, {}, error)
