"""What comes in is written once, to one pack file, while it comes; size and number are bounded here."""

import asyncio
import errno
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from models.errors import TooLarge
from models.structures.formats import ARCHIVES
from service.multipart import FormReader, PartBegins, PartEnds, boundary_of, shown_name
from service.near import refuse_unknown
from service.problems import Problem, brief
from service.settings import ServiceSettings
from workers.files import Files
from workers.pack import PackWriter
from workers.store import Filling

BULK_BYTES = 1_000_000  # from here on the disk is written by a thread, in pieces of this size
STALE_S = 3_600
LONGEST_PATH = 300
HEAD_BYTES = 512
# Enough to grant a file the larger bound; what it really is, its reader finds out in a child with limits.
ARCHIVE_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@dataclass(frozen=True, slots=True)
class FormShape:
    """The fields of a form: which one holds files, and which others there are."""

    files: str
    fields: frozenset[str]
    most_files: int
    largest_file: int
    largest_archive: int


@dataclass(slots=True)
class Upload:
    """A pack that is being filled; it takes its place only by `keep`."""

    job: str
    files: Files
    fields: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0
    archives: int = 0
    digest: "hashlib.blake2b" = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    _filling: Filling | None = None
    _pack: PackWriter | None = None

    @property
    def pack(self) -> PackWriter:
        """The pack; its file is made when something is to be written."""
        if self._pack is None:
            self._filling = self.files.filling(self.files.upload(self.job), "upload")
            self._pack = PackWriter(self._filling)
        return self._pack

    @property
    def count(self) -> int:
        """Files so far."""
        return self._pack.count if self._pack else 0

    def note(self, *parts: str | bytes) -> None:
        """Makes the parts count for whether two requests are the same."""
        for part in parts:
            raw = part.encode() if isinstance(part, str) else part
            self.digest.update(len(raw).to_bytes(8, "big") + raw)

    def keep(self, *, sync: bool) -> None:
        """Completes the pack and gives it its name; without `sync` it outlives processes only.

        A job without files has no pack.
        """
        if self._pack is None:
            return
        self.pack.close()
        assert self._filling is not None
        self._filling.commit(sync=sync)

    def close(self) -> None:
        """Leaves nothing behind, unless it was kept."""
        if self._filling is not None:
            self._filling.discard()


class Uploads:
    """Takes uploads in, so many at once as memory and disk allow."""

    def __init__(self, files: Files, settings: ServiceSettings) -> None:
        self.files = files
        self.settings = settings
        self.large = 0

    @asynccontextmanager
    async def open(self, job: str) -> AsyncIterator[Upload]:
        """A pack for this job; a full disk is an answer, and what is not kept is removed."""
        upload = Upload(job, self.files)
        try:
            yield upload
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise Problem(
                "storage_full", "There is no room for this upload; nothing was kept."
            ) from error
        finally:
            if self.files.shared and upload.size > BULK_BYTES:  # a store has parts to forget
                await asyncio.shield(asyncio.to_thread(upload.close))
            else:
                upload.close()

    async def form(self, request: Request, upload: Upload, shape: FormShape) -> None:
        """Reads multipart/form-data into the pack and the fields; raises `Problem`."""
        reader = FormReader(boundary_of(request.headers["content-type"]))
        intake = Intake(upload, shape, self.settings)
        async with self._room(request):
            waiting: list[PartBegins | bytes | PartEnds] = []
            size = 0
            async for chunk in request.stream():
                waiting += reader.feed(chunk)
                size += len(chunk)
                upload.size += len(chunk)
                if upload.size <= BULK_BYTES:
                    intake.take(waiting)
                elif size >= BULK_BYTES:
                    await asyncio.to_thread(intake.take, waiting)
                else:
                    continue
                waiting, size = [], 0
            if waiting:
                await asyncio.to_thread(intake.take, waiting)
        if not reader.complete:
            raise Problem("malformed_multipart", "The form ends before its closing boundary.")

    @asynccontextmanager
    async def _room(self, request: Request) -> AsyncIterator[None]:
        """A place among the large uploads, and room on the disk."""
        refuse_encoded(request)
        length = request.headers.get("content-length")
        if length is not None and int(length) <= BULK_BYTES:
            yield
            return
        if self.large >= self.settings.max_uploads:
            raise Problem("busy", f"{self.large} large uploads are being received.")
        self.refuse_full()
        self.large += 1
        try:
            yield
        finally:
            self.large -= 1

    def refuse_full(self) -> None:
        """Raises `Problem` when the disk is nearly full."""
        free = self.files.store.free()
        if free is not None and free < self.settings.min_free_bytes:
            raise Problem(
                "storage_full", f"Only {free:,} bytes are free for uploads; nothing was kept."
            )

    async def json(self, request: Request, most_bytes: int) -> bytes:
        """A JSON body, held in memory; raises `Problem` when it is too large for that."""
        body = bytearray()
        async with self._room(request):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    raise Problem(
                        "body_too_large",
                        f"A JSON body may have {most_bytes:,} bytes.",
                        expected=f"at most {most_bytes} bytes",
                        hint="Send the structures as files in multipart/form-data.",
                    )
        return bytes(body)

    def sweep(self) -> None:
        """Removes what a killed service left half-written."""
        for path in (self.files.root / "uploads").glob("*/.*.pack.*"):
            if time.time() - path.stat().st_mtime > STALE_S:
                path.unlink(missing_ok=True)


class Intake:
    """Puts the parts of a form where they belong."""

    def __init__(self, upload: Upload, shape: FormShape, settings: ServiceSettings) -> None:
        self.upload = upload
        self.shape = shape
        self.settings = settings
        self._field: str | None = None  # a field that is no file
        self._value = bytearray()
        self._name: str | None = None  # a file that is open
        self._sent_name: str | None = None
        self._size = 0
        self._limit = 0
        self._head = bytearray()

    def take(self, events: list[PartBegins | bytes | PartEnds]) -> None:
        """The next events of the form."""
        for event in events:
            if isinstance(event, bytes):
                self._data(event)
            elif isinstance(event, PartBegins):
                self._begins(event)
            else:
                self._ends()

    def _begins(self, part: PartBegins) -> None:
        if part.field != self.shape.files:
            refuse_unknown("form field", [part.field], self.shape.fields | {self.shape.files})
            if part.file is not None:
                raise Problem(
                    "invalid_field",
                    f"{part.field!r} is a plain field, not a file.",
                    pointer=part.field,
                )
            self._field = part.field
            self._value.clear()
            if len(self.upload.fields) >= self.settings.max_fields:
                raise Problem("invalid_field", f"More than {self.settings.max_fields} fields.")
            return
        if self.upload.count >= self.shape.most_files:
            raise too_many(self.shape.most_files)
        self._sent_name = part.file
        self._name = shown_name(part.file, self.upload.count)
        self._size, self._limit = 0, self.shape.largest_file
        self._head.clear()

    def _data(self, data: bytes) -> None:
        if self._field is not None:
            self._value += data
            if len(self._value) > self.settings.max_field_bytes:
                raise Problem(
                    "invalid_field",
                    f"The field {brief(self._field, 60)!r} has more than {self.settings.max_field_bytes} bytes.",
                    pointer=brief(self._field, 60),
                    hint=f"Files go into the field `{self.shape.files}`.",
                )
            return
        assert self._name is not None
        if self._size == 0:
            self._open()
        self._size += len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[:HEAD_BYTES]
        if self._limit and self._size > self._limit:
            self._limit = self._larger()
        if self._limit:
            self.upload.pack.write(data)
        self.upload.digest.update(data)

    def _open(self) -> None:
        assert self._name is not None
        self.upload.note(self.shape.files, self._name)
        self.upload.pack.begin(self._name)

    def _larger(self) -> int:
        """The bound of an archive, if it is one and still within; 0 when the file is too large."""
        if self._size <= self.shape.largest_archive and self._is_archive():
            return self.shape.largest_archive
        return 0

    def _is_archive(self) -> bool:
        if self.shape.largest_file >= self.shape.largest_archive:
            return True
        if dict(self.upload.fields).get("format") in {kind.value for kind in ARCHIVES}:
            return True
        return self._head.startswith(ARCHIVE_MAGIC) or self._head[257:262] == b"ustar"

    def _ends(self) -> None:
        if self._field is not None:
            value = self._value.decode("utf-8", "replace")
            self.upload.fields.append((self._field, value))
            self.upload.note(self._field, value)
            self._field = None
            return
        if self._size == 0:
            if self._sent_name == "":  # a browser's form with nothing chosen
                self._name = None
                return
            self._open()
        if self._sent_name is None and self._size < LONGEST_PATH and b"\n" not in self._head:
            raise self._forgotten_at()
        if self._limit:
            self.upload.archives += self._is_archive()
            self.upload.pack.end()
        else:
            self.upload.pack.drop(self._too_large().as_dict())
        self.upload.note(str(self._size))
        self._name = None

    def _forgotten_at(self) -> Problem:
        got = brief(self._head.decode("utf-8", "replace"))
        return Problem(
            "invalid_field",
            f"The field `{self.shape.files}` holds the text {got!r} instead of a file.",
            pointer=self.shape.files,
            hint=f"With curl, an @ sends the file itself: -F {self.shape.files}=@{got}",
        )

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The file has {self._size:,} bytes; one structure may have {self.shape.largest_file:,}.",
            file=self._name,
            expected=f"at most {self.shape.largest_file} bytes",
            got=f"{self._size} bytes",
            hint="Send the cell without volumetric data or trajectories, or several structures as a zip archive.",
        )


def refuse_encoded(request: Request) -> None:
    """Raises `Problem` for a body that was compressed as a whole."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise Problem(
            "unsupported_media_type",
            f"The body comes with Content-Encoding {brief(encoding, 40)!r}.",
            headers={"Accept-Encoding": "identity"},
            hint="Send the body as it is; files in it may be compressed (.gz, .zst, .zip).",
        )


def too_many(most: int) -> Problem:
    """More files than one call may have."""
    return Problem(
        "too_many_files",
        f"One call takes {most:,} files." if most > 1 else "One call takes one file.",
        expected=f"at most {most} files",
        hint="Send them as one zip archive, or in several calls."
        if most > 1
        else "Send one a call.",
    )
