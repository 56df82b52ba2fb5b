"""The run of a data set job: rows from the upload, each structure through the guarded parser, into a folder.

The upload is taken apart in a limited process; what it gives is read twice from the disk: once for the structures,
which tell what kind each column of labels is, and once to write rows and labels down.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import msgpack
import numpy as np

from models.datasets.columns import Columns
from models.datasets.manifest import Manifest
from models.datasets.writing import About, Writer
from models.errors import (
    BadDataset,
    InputError,
    MatpropError,
    ModelError,
    UnreadableStructure,
)
from models.structures.parse import ReadOptions
from models.structures.structure import Structure
from workers import limited
from workers.contract import DatasetOrder
from workers.files import Files
from workers.ids import set_of
from workers.jobs import Claim, Status
from workers.limited import Bounds, Ended
from workers.owning import Hold, Outcome
from workers.pack import take_out
from workers.parser import Parsed, Parser, Source
from workers.shelf import MANIFEST, Shelf

MODULE = "models.datasets.rows"
SPLITTING = Bounds(cpu_s=900, wall_s=1800.0, file_bytes=8_000_000_000)
TELL_EVERY = 100  # rows
FIRST = 20  # bad rows that the error of a refused set names
LARGEST = 1 << 30  # of one message
AT_LIMIT = ("MemoryError", "File too large")  # how a limit shows itself where it does not kill

log = logging.getLogger("matprop.worker")

Packed = list[Any]  # number, name, format, structure, labels, error


@dataclass(slots=True)
class Counted:
    """How the rows of the source fared; the first bad ones in full."""

    good: int = 0
    refused: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Rows of the source."""
        return self.good + self.refused

    def refuse(self, number: int, name: str, error: dict[str, Any]) -> None:
        """One more bad row."""
        self.refused += 1
        if self.refused <= FIRST:
            self.first.append({**error, "file": name, "pointer": f"/rows/{number}"})


class Gatherer:
    """Runs data set jobs."""

    def __init__(self, files: Files, reader: Parser, bounds: Bounds = SPLITTING) -> None:
        self.files = files
        self.reader = reader
        self.bounds = bounds

    def run(self, hold: Hold) -> Outcome:
        """From the upload to the set's folder. Raises: Stopped, MatpropError."""
        claim = hold.claim
        order = DatasetOrder.model_validate_json(claim.order)
        home = self.files.dataset(set_of(claim.id))
        if not self.files.is_there(home / MANIFEST):  # else a lost attempt has got as far as that
            with self.files.scratch(claim.id, claim.attempt) as folder:
                staged = folder / "set"
                counted = self._gather(hold, order, folder, staged)
                if counted.good < max(1, order.good_share * counted.total):
                    return self._refused(claim, order, counted, staged / "refused.jsonl")
                hold.tell((counted.total, counted.refused, counted.total))
                self._settle(claim, order, staged, home)
        manifest = self._answer(claim, home)
        upload = self.files.upload(claim.id)
        rows = manifest.rows + manifest.refused
        return Outcome(
            Status.SUCCEEDED,
            counts=(rows, manifest.refused, rows),
            afterwards=lambda: self.files.forget(upload),
        )

    def _gather(self, hold: Hold, order: DatasetOrder, folder: Path, staged: Path) -> Counted:
        """Everything but the decision whether the set is good enough."""
        with ExitStack() as stack:
            name, told = self._split(hold, order, folder)
            rows = stack.enter_context((folder / "rows").open("rb"))
            read = stack.enter_context((folder / "read").open("w+b"))
            columns = Columns(told["per_site"])
            self._read(hold, rows, read, columns, told["rows"])
            about = _about(hold.claim, order, name, told)
            return _write(hold, (rows, read), columns, staged, about)

    def _split(self, hold: Hold, order: DatasetOrder, folder: Path) -> tuple[str, dict[str, Any]]:
        """The upload's rows, in the file `rows`."""
        source, out = folder / "source", folder / "rows"
        try:
            name = take_out(self.files.fetch(self.files.upload(hold.claim.id)), source)
        except (OSError, ValueError) as error:
            raise ModelError(f"The upload of this job cannot be read: {error}") from error
        wishes = [f"--name={name}"]
        wishes += [f"--format={order.format}"] if order.format else []
        wishes += [f"--coordinates={order.coordinates}"] if order.coordinates else []
        wishes += [f"--column={column}" for column in order.columns or ()]
        ended = limited.run(MODULE, [str(source), str(out), *wishes], self.bounds, hold.check)
        source.unlink()
        return name, _told(ended, name)

    def _read(
        self, hold: Hold, rows: IO[bytes], read: IO[bytes], columns: Columns, total: int
    ) -> None:
        """Each structure into the file `read`, in the order of the rows."""
        failed = 0
        labels: dict[int, dict[str, Any]] = {}  # of the rows on their way through the parser

        def sources() -> Iterator[Source]:
            for at, (_, name, kind, data, cells, error) in enumerate(_unpacked(rows)):
                if error is None:
                    labels[at] = cells
                    yield Source(at, name, kind, data)

        found = self.reader.read(sources(), ReadOptions(), fractional=True)
        for done, (at, items) in enumerate(groupby(found, lambda item: item.source), 1):
            one = _only(list(items))
            cells = labels.pop(at)
            if one.error is None and one.n_sites:
                columns.see(cells, one.n_sites)
            else:
                failed += 1
            read.write(msgpack.packb([one.error, one.numbers, one.lattice, one.fractional]))
            hold.check()
            if done % TELL_EVERY == 0:
                hold.tell((done, failed, total))

    def _refused(
        self, claim: Claim, order: DatasetOrder, counted: Counted, report: Path
    ) -> Outcome:
        """Too little is good; the report stays readable as the job's result."""
        with self.files.written(self.files.result(claim.id), str(claim.attempt)) as result:
            result.write(report.read_bytes())
        first = counted.first[0]
        row = first["pointer"].rpartition("/")[2]
        error = BadDataset(
            f"{counted.refused:,} of {counted.total:,} rows cannot be used, the first of them row {row} "
            f"({first['file']}): {first['detail']}",
            expected=f"at least {order.good_share:.0%} of the rows good",
            got=f"{counted.good:,} good rows",
            hint=first.get("hint")
            or f"`matprop datasets report {set_of(claim.id)}` names every bad row; mend them, or lower `good_share`.",
        )
        parts = error.as_dict() | {"errors": counted.first}
        counts = (counted.total, counted.refused, counted.total)
        return Outcome(Status.FAILED, parts, counts)

    def _settle(self, claim: Claim, order: DatasetOrder, staged: Path, home: Path) -> None:
        """The set takes its place, unless the same one of the same name is there already."""
        fresh = Manifest.model_validate_json((staged / "manifest.json").read_bytes())
        same = Shelf(self.files).page(claim.owner, name=order.name, limit=10_000).sets
        if any(one.sha256 == fresh.sha256 for one in same):
            with self.files.written(self.files.result(claim.id), str(claim.attempt)) as result:
                result.write(_line(next(one for one in same if one.sha256 == fresh.sha256)))
            return
        self.files.settle(staged, home, MANIFEST)

    def _answer(self, claim: Claim, home: Path) -> Manifest:
        """What the job has led to: its own set, or one that was there."""
        if self.files.is_there(home / MANIFEST):
            manifest = Manifest.model_validate_json((home / MANIFEST).read_bytes())
            with self.files.written(self.files.result(claim.id), str(claim.attempt)) as result:
                result.write(_line(manifest))
            return manifest
        known = json.loads(self.files.fetch(self.files.result(claim.id)).read_bytes())["dataset"]
        return Shelf(self.files).get(known, claim.owner)


def _line(manifest: Manifest) -> bytes:
    line = {"dataset": manifest.id, "name": manifest.name, "rows": manifest.rows}
    return json.dumps(line).encode() + b"\n"


def _told(ended: Ended, name: str) -> dict[str, Any]:
    """What the process said of the rows. Raises: the error that it told, BadDataset at a limit."""
    if ended.code == 0:
        told: dict[str, Any] = json.loads(ended.output)
        return told
    if ended.code == 1 and ended.output:
        raise MatpropError.from_dict(json.loads(ended.output)).in_file(name)
    if ended.code is None or ended.code < 0 or any(sign in ended.errors for sign in AT_LIMIT):
        raise BadDataset(
            "Reading this file takes more memory, time or room than it may.",
            file=name,
            hint="Send it in several parts, or as JSON lines.",
        )
    log.error("taking %s apart ended with %s: %s", name, ended.code, ended.errors[-2000:])
    reason = ended.errors.strip().rpartition("\n")[2][:200]
    raise ModelError(f"Taking the upload apart ended with {ended.code}: {reason}")


def _unpacked(file: IO[bytes]) -> Iterator[Packed]:
    file.seek(0)
    yield from msgpack.Unpacker(file, max_buffer_size=LARGEST)


def _only(items: list[Parsed]) -> Parsed:
    """The one structure of a row."""
    if len(items) == 1:
        return items[0]
    error = UnreadableStructure(
        f"The row holds {len(items)} structures.", file=items[0].name, expected="one structure"
    ).as_dict()
    first = items[0]
    return Parsed(first.source, first.name, None, None, "", (), b"", None, {}, {}, error)


def _about(claim: Claim, order: DatasetOrder, source: str, told: dict[str, Any]) -> About:
    return About(
        id=set_of(claim.id),
        name=order.name,
        owner=claim.owner,
        source=source,
        notes=tuple(told["notes"]),
    )


def _write(
    hold: Hold,
    files: tuple[IO[bytes], IO[bytes]],
    columns: Columns,
    staged: Path,
    about: About,
) -> Counted:
    """Every row into the set or into its report."""
    plans = columns.plans()
    rows, read = files
    structures = _unpacked(read)
    counted = Counted()
    with Writer(staged, plans) as writer:
        for number, name, _, _, labels, fault in _unpacked(rows):
            error = fault
            if error is None:
                error, *arrays = next(structures)
            if error is None:
                error = _added(writer, columns, _structure(name, *arrays), labels)
            if error is None:
                counted.good += 1
            else:
                writer.refuse(number, name, error)
                counted.refuse(number, name, error)
            hold.check()
        if counted.good and not plans:
            raise _no_labels(about.source)
        writer.close(about)
    return counted


def _added(
    writer: Writer, columns: Columns, structure: Structure, labels: dict[str, Any]
) -> dict[str, Any] | None:
    """The row in the set, or why it cannot be."""
    try:
        writer.add(structure, columns.fitted(labels, len(structure.numbers)))
    except InputError as error:
        return error.in_file(structure.name).as_dict()
    return None


def _structure(
    name: str, numbers: bytes, lattice: list[float], fractional: list[float]
) -> Structure:
    return Structure(
        name,
        np.array(lattice).reshape(3, 3),
        np.frombuffer(numbers, np.uint8),
        np.array(fractional).reshape(-1, 3),
    )


def _no_labels(source: str) -> BadDataset:
    return BadDataset(
        "The data set holds structures, but no labels.",
        file=source,
        expected="columns of numbers or texts beside the structures",
        hint="In a zip, `id_prop.csv` holds them: lines like `mp-1,-3.24` for mp-1.cif. "
        "Elsewhere they are further keys, or columns, beside the structure.",
    )
