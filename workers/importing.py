"""The run of an import job: the upload, read in a limited process, becomes a version of a model."""

import json
from collections.abc import Callable
from pathlib import Path

from models.card import Card
from models.catalogue import CARD
from models.errors import (
    BadCheckpoint,
    EmptyInput,
    InputError,
    MatpropError,
    ModelError,
)
from workers import limited
from workers.contract import ImportOrder
from workers.files import Files
from workers.jobs import Claim, Status
from workers.limited import Bounds, Ended
from workers.owning import Hold, Outcome
from workers.pack import PackEntry, read_pack
from workers.registering import registered

MODULE = "models.published"


class Importer:
    """Runs import jobs."""

    def __init__(self, files: Files, bounds: Bounds | None = None, module: str = MODULE) -> None:
        self.files = files
        self.module = module
        self.bounds = bounds or Bounds()

    def run(self, hold: Hold) -> Outcome:
        """From the upload to the registered version. Raises: Stopped, MatpropError."""
        claim = hold.claim
        if self.files.answered(claim.id) is not None:
            return Outcome(Status.SUCCEEDED, counts=(1, 0, 1))
        order = ImportOrder.model_validate_json(claim.order)
        entry = self._upload(claim.id)
        with self.files.scratch(claim.id, claim.attempt) as folder:
            file, staged = folder / "checkpoint", folder / "model"
            file.write_bytes(entry.data)
            arguments = [str(file), str(staged), *_wishes(order, entry.name)]
            card = _card(
                limited.run(self.module, arguments, self.bounds, hold.check), staged, entry.name
            )
            hold.tell((0, 0, 1))  # the last look before what cannot be taken back
            card = registered(self.files, staged, card, _made_by(claim), entry.name)
        with self.files.written(self.files.result(claim.id), str(claim.attempt)) as result:
            line = {"model": card.id, "name": card.name, "version": card.version}
            result.write(json.dumps(line).encode() + b"\n")
        upload = self.files.upload(claim.id)
        return Outcome(
            Status.SUCCEEDED, counts=(1, 0, 1), afterwards=lambda: self.files.forget(upload)
        )

    def _upload(self, job: str) -> PackEntry:
        try:
            entries = list(read_pack(self.files.fetch(self.files.upload(job))))
        except (OSError, ValueError) as error:
            raise ModelError(f"The upload of this job cannot be read: {error}") from error
        if len(entries) > 1:
            raise InputError("One checkpoint a call.", got=f"{len(entries)} files")
        if entries and entries[0].error is not None:
            raise MatpropError.from_dict(entries[0].error)
        if not entries or not entries[0].data:
            raise EmptyInput("The call holds no checkpoint.")
        return entries[0]


def _made_by(claim: Claim) -> Callable[[Card], bool]:
    """Whether a lost attempt of this job may have registered this version."""
    return lambda one: claim.attempt > 1 and one.created_at.timestamp() >= claim.created_at


def _wishes(order: ImportOrder, file_name: str) -> list[str]:
    # `--option=value`: a value that begins with a dash must not become an option.
    named = {
        "name": order.name,
        "file-name": file_name,
        "property": order.property,
        "unit": order.unit,
        "title": order.title,
    }
    classes = [f"--class={one}" for one in order.classes or ()]
    return [f"--{option}={value}" for option, value in named.items() if value] + classes


def _card(ended: Ended, staged: Path, file_name: str) -> Card:
    """The staged model's card. Raises: the error that the process told, BadCheckpoint at a limit."""
    if ended.code == 0:
        return Card.model_validate_json((staged / CARD).read_bytes())
    if ended.code == 1 and ended.output:
        try:
            told = MatpropError.from_dict(json.loads(ended.output))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"The import told nothing: {ended.errors[-2000:]}") from error
        raise told.in_file(file_name)
    if ended.code is None or ended.code < 0 or "MemoryError" in ended.errors:
        raise BadCheckpoint(
            "Reading this checkpoint takes more memory or time than it may.",
            file=file_name,
            hint="A published CGCNN checkpoint is a few MB and is read within seconds.",
        )
    raise ModelError(f"The import ended with {ended.code}: {ended.errors[-2000:]}")
