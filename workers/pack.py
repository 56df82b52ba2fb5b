"""One file for all that came with a job: the bodies one after another, then a list of them."""

import io
import json
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from models.errors import InputError, MatpropError

if TYPE_CHECKING:  # a process that reads a pack needs no store
    from workers.store import Filling

TAIL = struct.Struct("<Q8s")  # length of the list, magic
MAGIC = b"mppack01"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One file of an upload; `error` says why its bytes are not here."""

    index: int
    name: str
    format: str | None
    data: bytes
    error: dict[str, Any] | None = None


class PackWriter:
    """Fills a pack while the files arrive; at most one is open at a time."""

    def __init__(self, file: "BinaryIO | Filling") -> None:
        self._file = file
        self._rows: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._at = 0

    @property
    def count(self) -> int:
        """Entries so far, the open one among them."""
        return len(self._rows) + (self._open is not None)

    @property
    def names(self) -> list[str]:
        """What the files are called."""
        return [row["name"] for row in self._rows]

    def begin(self, name: str, format: str | None = None) -> None:  # noqa: A002 - the word of the API
        """The next file starts."""
        if self._open is not None:
            raise ValueError("the entry before is still open")
        self._open = {"name": name, "format": format, "at": self._at, "size": 0}

    def write(self, chunk: bytes) -> int:
        """More of the open file; returns its size so far."""
        row = self._opened()
        self._file.write(chunk)
        self._at += len(chunk)
        row["size"] += len(chunk)
        return int(row["size"])

    def end(self) -> None:
        """The open file is complete."""
        self._rows.append(self._opened())
        self._open = None

    def drop(self, error: dict[str, Any]) -> None:
        """The open file was refused: it keeps its place and its name, its bytes go."""
        row = self._opened()
        if self._file.seekable():  # what is on its way to an object store stays, read by nobody
            self._file.seek(row["at"])
            self._file.truncate()
            self._at = row["at"]
        self._rows.append({**row, "size": 0, "error": error})
        self._open = None

    def read_as(self, format: str) -> None:  # noqa: A002
        """Every entry so far that names no format of its own takes this one."""
        for row in self._rows:
            row["format"] = row["format"] or format

    def close(self) -> None:
        """Write the list; the file itself stays its owner's."""
        if self._open is not None:
            raise ValueError("an entry is still open")
        listed = json.dumps(self._rows, separators=(",", ":")).encode()
        self._file.write(listed)
        self._file.write(TAIL.pack(len(listed), MAGIC))

    def _opened(self) -> dict[str, Any]:
        if self._open is None:
            raise ValueError("no entry is open")
        return self._open


def read_pack(path: Path) -> Iterator[PackEntry]:
    """The entries in order. Raises: ValueError when the file is no whole pack."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        for index, row in enumerate(_listed(view)):
            data = view[row["at"] : row["at"] + row["size"]]
            yield PackEntry(index, row["name"], row["format"], data, row.get("error"))


def take_out(path: Path, target: Path) -> str:
    """The one file of a pack as a file of its own; its name.

    Raises: ValueError when the pack is not whole, MatpropError when it holds no file, or several.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        rows = _listed(view)
        if len(rows) != 1:
            raise InputError("One file a call.", got=f"{len(rows)} files")
        (row,) = rows
        if row.get("error"):
            raise MatpropError.from_dict(row["error"])
        file.seek(row["at"])
        with target.open("wb") as out:
            left = row["size"]
            while left and (chunk := file.read(min(left, CHUNK))):
                out.write(chunk)
                left -= len(chunk)
    return str(row["name"])


def listed(path: Path) -> list[dict[str, Any]]:
    """What lies in a pack: `name`, `format`, `at`, `size`, perhaps `error`. Raises: ValueError, OSError."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return _listed(view)


class Window(io.RawIOBase):
    """A part of a file, read as if it were one."""

    def __init__(self, path: Path, at: int, size: int) -> None:
        self._file = path.open("rb")
        self._begin, self._size, self._at = at, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Never before its begin."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("before the begin")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._at

    def readinto(self, into: Any) -> int:
        """What is left of it at most."""
        most = max(0, min(len(into), self._size - self._at))
        self._file.seek(self._begin + self._at)
        data = self._file.read(most)
        into[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
        super().close()


def _listed(view: mmap.mmap) -> list[dict[str, Any]]:
    if len(view) < TAIL.size:
        raise ValueError("not a pack: too short")
    length, magic = TAIL.unpack(view[-TAIL.size :])
    start = len(view) - TAIL.size - length
    if magic != MAGIC or start < 0:
        raise ValueError("not a whole pack")
    rows: list[dict[str, Any]] = json.loads(view[start : -TAIL.size])
    return rows
