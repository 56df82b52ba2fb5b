"""The source of a screening taken apart: one structure a piece, still as text, as they come and never all at once.

What strangers send is opened here only, in a process of its own with limits on memory and time:

    python -m workers.pieces DESCRIPTOR KIND PATH [--format F] [--skip N] [--last NAME] [--first N]

writes msgpack to the descriptor: `[name, format, text, error, mark]` a piece, and at last nil, or the error that ended
it. KIND is `pack`, `dataset`, `place` or `feed`, whose PATH is the number of a socket; its first piece is number `first`.
"""

import argparse
import io
import json
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import msgpack

from models.datasets.archives import BESIDE
from models.datasets.entries import ODD, Row, Wishes
from models.datasets.frames import frames
from models.datasets.lines import document, lines
from models.datasets.tables import parquet, sheet
from models.errors import (
    EmptyInput,
    InputError,
    MatpropError,
    ModelError,
    SourceChanged,
    TooLarge,
    UnknownFormat,
    UnreadableStructure,
)
from models.structures import bounds
from models.structures.archive import Member, Most, contents
from models.structures.formats import ARCHIVES, HEAD_BYTES, Format, recognise
from workers.pack import Window, listed

MOST = Most(members=2_000_000, bytes=100_000_000_000, member_bytes=400_000_000)
MOST_PIECES = 2_000_000
HELD_BYTES = 1 << 16
TABLES = (".csv", ".tsv")
PARQUET = b"PAR1"
NUMBERED = re.compile(r"(?:row|frame) (\d+)$")  # what the readers of rows call one without a name
# A folder on the way need not be one whose content may be listed.
THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
BLOCK = re.compile(rb"[ \t]*data_(\S*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """One structure to be, or why there is none."""

    name: str
    format: str | None = None
    data: bytes = b""
    error: dict[str, Any] | None = None
    mark: str | None = None  # by what it is found again, if not by its name


def of_file(file: IO[bytes], name: str, forced: str | None) -> Iterator[Piece]:
    """The structures of a file of any kind. Raises: InputError for what cannot be opened at all."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if _is_table(name, head):
        yield from _of_plain(file, name, None, head)
        return
    inner = None if forced is None or forced in ARCHIVES else Format(forced)
    try:
        kind = recognise(name, head, None if inner is None else _outer(name, head) or inner)
    except InputError as error:
        yield _refused(name, error)
        return
    if kind not in ARCHIVES:
        yield from _of_plain(file, name, kind, head)
        return
    found = False
    for member in contents(file, name, kind, MOST, is_wanted):
        for piece in _of_member(member, inner):
            found = True
            yield piece
    if not found:
        raise EmptyInput("The archive holds no structure file.", file=name)


def _outer(name: str, head: bytes) -> Format | None:
    """A format that is given counts for what is in an archive, and not for the archive."""
    try:
        kind = recognise(name, head)
    except InputError:
        return None
    return kind if kind in ARCHIVES else None


def _of_member(member: Member, inner: Format | None) -> Iterator[Piece]:
    if member.error:
        yield _refused(member.name, member.error)
        return
    if _is_table(member.name, member.data):
        yield from _of_plain(io.BytesIO(member.data), member.name, None, member.data[:HEAD_BYTES])
        return
    try:
        kind = recognise(member.name, member.data, inner)
        if kind in ARCHIVES:
            raise UnknownFormat("An archive inside an archive is not read.", file=member.name)
    except InputError as error:
        lies_beside = PurePosixPath(member.name).suffix.lower() in ("", ".txt")
        if not (lies_beside and isinstance(error, UnknownFormat)):
            yield _refused(member.name, error)
        return
    yield from _of_plain(io.BytesIO(member.data), member.name, kind, member.data[:HEAD_BYTES])


def _of_plain(file: IO[bytes], name: str, kind: Format | None, head: bytes) -> Iterator[Piece]:
    """What is no archive. A table or document that breaks off has one bad piece more."""
    wishes = Wishes(columns=frozenset())  # labels are of no use here
    try:
        if head.startswith(PARQUET):
            yield from _named(parquet(file, name, wishes), name)
        elif kind is None:
            yield from _named(sheet(file, name, wishes), name)
        elif kind is Format.JSONL:
            yield from _named(lines(file, wishes), name)
        elif kind is Format.EXTXYZ:
            yield from _named(frames(file, wishes), name)
        elif kind in (Format.JSON, Format.OPTIMADE):
            yield from _named(document(file, name, wishes), name)
        elif kind is Format.CIF:
            yield from _blocks(file, name)
        else:
            yield _whole(file, name, kind)
    except InputError as error:
        yield _refused(name, error)
    except ODD as fault:  # of a reader that met what it does not expect; other files are fine
        broken = UnreadableStructure("The file is broken.", got=type(fault).__name__)
        yield _refused(name, broken)
    except MemoryError:
        yield _refused(name, TooLarge("Reading the file takes more memory than it may."))


def _whole(file: IO[bytes], name: str, kind: Format) -> Piece:
    data = file.read(bounds.FILE_BYTES + 1)
    if len(data) > bounds.FILE_BYTES:
        most = f"at most {bounds.FILE_BYTES:,} bytes a structure"
        return _refused(name, TooLarge("The file is too large.", file=name, expected=most))
    return Piece(name, str(kind), data)


# -- rows ------------------------------------------------------------------------------------------


def _named(rows: Iterator[Row], name: str) -> Iterator[Piece]:
    """As each row is called, or `file#12`; the only one of a file without a name, as the file."""
    first = next(rows, None)
    if first is None:
        yield _refused(name, EmptyInput("The file holds no structure.", file=name))
        return
    second = next(rows, None)
    yield _of_row(first, name, alone=second is None)
    if second is not None:
        yield _of_row(second, name)
    for row in rows:
        yield _of_row(row, name)


def _of_row(row: Row, name: str, *, alone: bool = False) -> Piece:
    own = row.name
    if numbered := NUMBERED.fullmatch(own):
        own = name if alone else f"{name}#{numbered[1]}"
    if row.error:
        return _refused(own, row.error)
    if len(row.data) > bounds.FILE_BYTES:
        most = f"at most {bounds.FILE_BYTES:,} bytes"
        return _refused(own, TooLarge("The structure is too large.", expected=most))
    return Piece(own, row.format, row.data)


# -- CIF -------------------------------------------------------------------------------------------


def _blocks(file: IO[bytes], name: str) -> Iterator[Piece]:
    """Each block that lists sites; a file with one of them, or none, stays as it is."""
    found = (block for block in _cut(file) if b"_atom_site" in block[1].lower())
    first = next(found, None)
    second = next(found, None)
    if first is None or second is None:
        file.seek(0)
        yield _whole(file, name, Format.CIF)
        return
    count: dict[str, int] = {}
    for place, (label, data) in enumerate(_chained(first, second, found), 1):
        word = label[:60] or str(place)
        count[word] = count.get(word, 0) + 1
        own = f"{name}#{word}" + (f"-{count[word]}" if count[word] > 1 else "")
        if len(data) > bounds.FILE_BYTES:
            yield _refused(own, TooLarge("The block is too large."))
        else:
            yield Piece(own, str(Format.CIF), data)


def _cut(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """The text between one `data_` and the next; what stands in a text field begins no block."""
    label, size, inside = "", 0, False
    held: list[bytes] = []
    while line := file.readline(HELD_BYTES):
        begins = None if inside else BLOCK.match(line)
        if line.startswith(b";"):
            inside = not inside
        if begins:
            if held:
                yield label, b"".join(held)
            label, held, size = begins[1].decode("utf-8", "replace"), [], 0
        size += len(line)
        if size <= bounds.FILE_BYTES + HELD_BYTES:  # of a block without end, no more than tells so
            held.append(line)
    if held:
        yield label, b"".join(held)


def _chained(
    first: tuple[str, bytes], second: tuple[str, bytes], rest: Iterator[tuple[str, bytes]]
) -> Iterator[tuple[str, bytes]]:
    yield first
    yield second
    yield from rest


# -- which files -----------------------------------------------------------------------------------


def _is_table(name: str, head: bytes) -> bool:
    return head.startswith(PARQUET) or name.lower().endswith(TABLES)


def is_wanted(path: str) -> bool:
    """Whether a file among others may hold structures, by its name."""
    plain = PurePosixPath(path)
    hidden = plain.name.startswith(".") or "__MACOSX" in plain.parts
    return not hidden and plain.suffix.lower() not in BESIDE and plain.name != "atom_init.json"


def _refused(name: str, error: InputError) -> Piece:
    return Piece(name, error=error.in_file(name).as_dict())


# -- sources ---------------------------------------------------------------------------------------


def of_pack(path: Path, forced: str | None) -> Iterator[Piece]:
    """The files of an upload, one after the other."""
    rows = listed(path)
    for row in rows:
        if row.get("error"):
            yield Piece(row["name"], error=row["error"])
            continue
        with Window(path, row["at"], row["size"]) as raw:
            file = cast("IO[bytes]", io.BufferedReader(raw, HELD_BYTES))
            found = of_file(file, row["name"], row["format"] or forced)
            yield from _to_its_end(found, row["name"], alone=len(rows) == 1)


def _to_its_end(found: Iterator[Piece], name: str, *, alone: bool = False) -> Iterator[Piece]:
    """An archive that breaks off is one bad piece more, unless nothing else can be had at all."""
    any_piece = False
    try:
        for piece in found:
            any_piece = True
            yield piece
    except InputError as error:
        if alone and not any_piece:
            raise
        yield _refused(name, error)


def of_place(path: Path, forced: str | None) -> Iterator[Piece]:
    """A file, or all files below a folder, in the order of their names.

    No link is followed, also none that has taken a folder's place since the service looked.
    """
    try:
        place = _opened(path)
    except OSError as fault:
        raise EmptyInput(f"Nothing can be read there any more: {fault.strerror}.", file=path.name) from None  # fmt: skip
    if stat.S_ISDIR(os.fstat(place).st_mode):
        try:
            yield from _of_folder(place, path.name, forced)
        finally:
            os.close(place)
        return
    with os.fdopen(place, "rb") as file:
        yield from _to_its_end(of_file(file, path.name, forced), path.name, alone=True)


def _of_folder(place: int, called: str, forced: str | None) -> Iterator[Piece]:
    found = False
    closed: list[OSError] = []
    for folder, folders, files, here in os.fwalk(".", onerror=closed.append, dir_fd=place):
        folders.sort()
        for name in sorted(files):
            plain = str(PurePosixPath(folder, name))
            if not is_wanted(plain) or not _is_file(name, here):
                continue
            found = True
            yield from _to_its_end(_of_own(name, here, plain, forced), plain)
    yield from (_unopened(str(fault.filename), fault) for fault in closed)
    if not (found or closed):
        raise EmptyInput("The folder holds no structure file.", file=called)


def _of_own(name: str, folder: int, plain: str, forced: str | None) -> Iterator[Piece]:
    """A file of a folder, which may be gone or closed to us by now."""
    try:
        file = os.fdopen(os.open(name, READ, dir_fd=folder), "rb")
    except OSError as fault:
        yield _unopened(plain, fault)
        return
    with file:
        yield from of_file(file, plain, forced)


def _is_file(name: str, folder: int) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def _opened(path: Path) -> int:
    """Part by part, each in the one before: what was no link when it was allowed must be none now."""
    here = os.open(path.anchor, THROUGH)
    for way, name in zip(
        (THROUGH,) * (len(path.parts) - 2) + (READ,), path.parts[1:], strict=False
    ):
        try:
            there = os.open(name, way, dir_fd=here)
        finally:
            os.close(here)
        here = there
    return here


def _unopened(name: str, fault: OSError) -> Piece:
    return _refused(name, UnreadableStructure(f"It cannot be opened: {fault.strerror}."))


def of_dataset(path: Path, _: str | None) -> Iterator[Piece]:
    """The rows of a data set of this service."""
    from models.datasets.stored import Stored

    stored = Stored(path)
    for row in range(stored.rows):
        one = stored.structure(row)
        arrays = {
            "lattice": one.lattice.tolist(),
            "numbers": one.numbers.tolist(),
            "frac_coords": one.fractional.tolist(),
        }
        yield Piece(one.name, "json", json.dumps(arrays, separators=(",", ":")).encode())


def of_feed(path: Path, forced: str | None) -> Iterator[Piece]:
    """Files that come through the socket with this number, each when it is asked for."""
    with socket.socket(fileno=int(path.name)) as feed:
        while came := _asked(feed):
            number, name, alone, descriptor = came
            with os.fdopen(descriptor, "rb") as file:
                found = _to_its_end(of_file(file, name, forced), name, alone=alone)
                for at, piece in enumerate(found):
                    yield replace(piece, mark=f"{number}:{at}")


def _asked(feed: socket.socket) -> tuple[int, str, bool, int] | None:
    """The next file, none at the end. Raises: what the other side tells."""
    feed.send(b"?")
    data, descriptors, _, _ = socket.recv_fds(feed, HELD_BYTES, 1)
    if not data:
        raise ModelError("The files of the place have ceased to come.")
    told = msgpack.unpackb(data)
    if isinstance(told, dict):
        raise MatpropError.from_dict(told)
    return told and (*told, *descriptors)


SOURCES: dict[str, Callable[[Path, str | None], Iterator[Piece]]] = {
    "pack": of_pack,
    "place": of_place,
    "feed": of_feed,
    "dataset": of_dataset,
}


def tell(
    out: IO[bytes], pieces: Iterator[Piece], skip: int, last: str | None = None, first: int = 0
) -> None:
    """All pieces but those before `skip`, the last of which was called so; then how it ended."""
    end: dict[str, Any] | None = None
    number = -1
    try:
        for number, piece in enumerate(pieces, first):
            if number == skip - 1 and last not in (None, _plain(piece.name)):
                raise _changed(last, _plain(piece.name))
            if number >= MOST_PIECES:
                raise TooLarge(f"The source holds more than {MOST_PIECES:,} structures.")
            if number >= skip:
                mark = piece.mark or piece.name
                out.write(_packed([piece.name, piece.format, piece.data, piece.error, mark]))
        if last is not None and number < skip - 1:
            raise _changed(last, "nothing")
    except MatpropError as error:
        end = error.as_dict()
    out.write(_packed(end))


def _changed(last: str | None, found: str) -> SourceChanged:
    return SourceChanged(
        "The place has become another one while it was read: what was read last is no longer where it was.",
        expected=last,
        got=found,
    )


def _plain(name: str) -> str:
    """As the other side has it."""
    return name.encode("utf-8", "replace").decode()


def _packed(message: Any) -> bytes:
    """Names of files may hold bytes, and JSON may hold signs, that no text has."""
    return bytes(msgpack.packb(message, unicode_errors="replace"))


def main(arguments: list[str] | None = None) -> int:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m workers.pieces")
    parser.add_argument("descriptor", type=int)
    parser.add_argument("kind", choices=SOURCES)
    parser.add_argument("path", type=Path)
    parser.add_argument("--format")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last")
    given = parser.parse_args(arguments)
    with open(given.descriptor, "wb", HELD_BYTES) as out:  # noqa: PTH123 - no path
        pieces = SOURCES[given.kind](given.path, given.format)
        tell(out, pieces, given.skip, given.last, given.first)
    return 0


if __name__ == "__main__":
    status = main()
    os._exit(status)  # at an ordinary end pyarrow's threads now and then take the process down
