"""The end of a screening: what was lost becomes rows, and the shards are counted."""

import json
import logging
from pathlib import Path
from typing import Any

from models.catalogue import Catalogue
from models.errors import MatpropError, ModelError
from workers.contract import ChunkOrder
from workers.files import Files
from workers.jobs import Beat, Status
from workers.owning import Counts, Hold, Outcome, Stopped
from workers.pack import listed
from workers.shards import Sheet, about_shard, failed_record, look, made_of

log = logging.getLogger("matprop.worker")


def closed(files: Files, job: str) -> Counts | None:
    """What a screening came to of whose end the broker knows nothing any more."""
    path = _whole(files, job)
    if not files.is_there(path):
        return None
    done, failed, total = json.loads(path.read_bytes())
    return done, failed, total


def _whole(files: Files, job: str) -> Path:
    return files.screening(job) / "closed.json"


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
            order = ChunkOrder.model_validate(chunk["order"])
            if made_of(self.files, self.files.shard(claim.id, number), order) is None:
                self._write_lost(hold, order, chunk["error"])
        counts, missing = self._counts(hold)
        self._tidy(hold)
        if claim.status is Status.CANCELLING:
            return Outcome(Status.CANCELLED, counts=counts)
        if missing:
            raise ModelError(
                f"{len(missing)} parts of the table are missing, the first is {missing[0]}."
            )
        return self._outcome(hold, counts, lost)

    def _tidy(self, hold: Hold) -> None:
        """What workers that were killed have left, and shards of chunks that a broker has forgotten. Raises: Stopped."""
        claim = hold.claim
        folder = self.files.shards(claim.id)
        for left in folder.glob(".*"):
            left.unlink(missing_ok=True)
        for entry in self.files.store.list(f"{self.files.key(folder)}/"):
            shard = self.files.root / entry.key
            if shard.stem.isdecimal() and int(shard.stem) >= claim.cut:
                if hold.jobs.beat(claim) is Beat.LOST:  # and so they may be of who has it now
                    raise Stopped(Beat.LOST)
                self.files.forget(shard)

    def _outcome(self, hold: Hold, counts: Counts, lost: dict[int, dict[str, Any]]) -> Outcome:
        claim = hold.claim
        if claim.fault is not None:
            return Outcome(Status.FAILED, claim.fault, counts)
        if lost and len(lost) == claim.cut:
            return Outcome(Status.FAILED, next(iter(lost.values()))["error"], counts)
        afterwards = None if counts[1] else lambda: self._forget_upload(claim.id, counts)
        return Outcome(Status.SUCCEEDED, None, counts, afterwards)

    def _forget_upload(self, job: str, counts: Counts) -> None:
        """What it came to stays: a broker that forgets its end would have it done again."""
        try:
            with self.files.written(_whole(self.files, job), "closed") as file:
                file.write(json.dumps(counts).encode())
        except (OSError, MatpropError) as error:
            log.warning("%s An upload is kept until its job goes.", error)
            return
        self.files.forget(self.files.upload(job))

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
