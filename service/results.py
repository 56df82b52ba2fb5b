"""The records that a job has written, read as they are: lines of JSON."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from service.problems import Problem
from workers.files import Files

PAGE_BYTES = 8_000_000
CURSOR = re.compile(rb"r(\d{1,15})")
CHUNK_BYTES = 256_000


@dataclass(frozen=True, slots=True)
class Records:
    """Some lines, and where the next one begins."""

    lines: list[bytes]
    cursor: str | None = None


def read(files: Files, path: Path, cursor: str | None, limit: int) -> Records:
    """A page of lines; none yet when there is no file. Raises: StoreAway."""
    start = place(cursor)
    lines: list[bytes] = []
    try:
        with files.fetch(path).open("rb") as file:
            file.seek(max(0, start - 1))
            check_start(start, file.read(1) if start else b"\n")
            size = 0
            for line in file:
                if len(lines) == limit or (lines and size + len(line) > PAGE_BYTES):
                    return Records(lines, as_cursor(start + size))
                lines.append(line.rstrip(b"\n"))
                size += len(line)
    except FileNotFoundError:
        pass
    return Records(lines)


def stream(path: Path) -> Iterator[bytes]:
    """The whole file in pieces."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def place(cursor: str | None) -> int:
    """The byte that a cursor stands for; raises `Problem` for one that is not ours."""
    if cursor is None:
        return 0
    try:
        found = CURSOR.fullmatch(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        found = None
    if found is None:
        raise Problem("invalid_cursor", "This cursor was not made here.", pointer="cursor")
    return int(found[1])


def check_start(start: int, before: bytes) -> None:
    """A page begins where a line does."""
    if before != b"\n":
        raise Problem("invalid_cursor", f"No record begins at {start}.", pointer="cursor")


def as_cursor(at: int) -> str:
    """An opaque name of a place."""
    return base64.urlsafe_b64encode(b"r%d" % at).decode().rstrip("=")


def errors_of(lines: list[bytes], most: int = 100) -> list[dict[str, object]] | None:
    """The error of each record when all of them failed; none when any has an answer."""
    found = []
    for line in lines:
        record = orjson.loads(line)
        if record["status"] != "failed" or not record.get("error"):
            return None
        found.append({"file": record["name"], **record["error"]})
    return found[:most]
