"""The end of a screening: what was lost becomes rows, and the shards are counted."""

import logging
from typing import Any

from models.catalogue import Catalogue
from models.errors import ModelError
from workers.contract import ChunkOrder
from workers.files import Files
from workers.jobs import Status
from workers.owning import Counts, Hold, Outcome
from workers.pack import listed
from workers.shards import Sheet, about_shard, failed_record, look

log = logging.getLogger("matprop.worker")


class Closer:
    """Closes screenings whose chunks have all ended."""

    def __init__(self, files: Files, catalogue: Catalogue) -> None:
        self.files = files
        self.catalogue = catalogue

    def close(self, hold: Hold) -> Outcome:
        """Counts are those of the shards, whatever was told on the way. Raises: MatpropError."""
        claim = hold.claim
        lost = hold.jobs.lost(claim.id)
        for number, chunk in sorted(lost.items()):
            hold.grip.touch()
            if not self.files.is_there(self.files.shard(claim.id, number)):
                self._write_lost(hold, ChunkOrder.model_validate(chunk["order"]), chunk["error"])
        counts, missing = self._counts(hold)
        for left in self.files.shards(claim.id).glob(".*"):  # of workers that were killed
            left.unlink(missing_ok=True)
        if claim.status is Status.CANCELLING:
            return Outcome(Status.CANCELLED, counts=counts)
        if missing:
            raise ModelError(
                f"{len(missing)} parts of the table are missing, the first is {missing[0]}."
            )
        return self._outcome(hold, counts, lost)

    def _outcome(self, hold: Hold, counts: Counts, lost: dict[int, dict[str, Any]]) -> Outcome:
        claim = hold.claim
        if claim.fault is not None:
            return Outcome(Status.FAILED, claim.fault, counts)
        if lost and len(lost) == claim.cut:
            return Outcome(Status.FAILED, next(iter(lost.values()))["error"], counts)
        upload = self.files.upload(claim.id)
        afterwards = None if counts[1] else lambda: self.files.forget(upload)
        return Outcome(Status.SUCCEEDED, None, counts, afterwards)

    def _counts(self, hold: Hold) -> tuple[Counts, list[int]]:
        done = failed = 0
        missing = []
        for number in range(hold.claim.cut):
            hold.grip.touch()
            try:
                about = look(self.files.fetch(self.files.shard(hold.claim.id, number)))
            except FileNotFoundError:
                missing.append(number)
                continue
            done += about.rows
            failed += about.failed
        return (done, failed, hold.claim.items), missing

    def _write_lost(self, hold: Hold, order: ChunkOrder, error: dict[str, Any]) -> None:
        """A shard of errors for a chunk that cost its workers."""
        claim = hold.claim
        sheet = Sheet([self.catalogue.get(model)[0] for model in order.models])
        pack = self.files.fetch(self.files.chunk(claim.id, order.number, order.mark))
        for place, row in enumerate(listed(pack)):
            fault = row.get("error") or error
            sheet.add(failed_record(order.first + place, row["name"], fault))
        shard = self.files.shard(claim.id, order.number)
        with self.files.written(shard, f"lost.{claim.attempt}") as file:
            sheet.write(file, about_shard(sheet, order.first, order.mark))
