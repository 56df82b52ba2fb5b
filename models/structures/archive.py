"""Zip, tar and gz: members read one after the other, every byte counted."""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, cast

import zstandard

from models.errors import BadArchive, EmptyInput, InputError, TooLarge, UnknownFormat
from models.structures import bounds
from models.structures.formats import ARCHIVES, PACKED, Format, recognise

_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, zstd
UTF8_NAME = 0x800  # a flag of zip members


@dataclass(frozen=True, slots=True)
class Member:
    """One file to read, or why it cannot be."""

    name: str
    data: bytes = b""
    format: Format | None = None
    error: InputError | None = None


_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, zstandard.ZstdError, EOFError, OSError, RuntimeError,
)  # fmt: skip
_CHUNK = 1 << 16
_READ_AT_ONCE = 16_000_000
# Files that lie beside structures; left out unless nothing else is there.
_BESIDE = frozenset(
    {".md", ".rst", ".csv", ".tsv", ".py", ".ipynb", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg",
     ".html", ".htm", ".log", ".yaml", ".yml", ".toml", ".ini", ".doc", ".docx", ".xls", ".xlsx",
     ".sh", ".bib", ".out", ".xml", ".dat", ".npy", ".npz", ".pkl", ".h5"}
)  # fmt: skip
_BESIDE_NAMES = frozenset({"atom_init.json", "readme", "license"})


@dataclass(frozen=True, slots=True)
class Most:
    """How much may be in an archive."""

    members: int = bounds.MEMBERS
    bytes: int = bounds.ARCHIVE_BYTES
    member_bytes: int = bounds.FILE_BYTES


USUAL = Most()


def contents(
    stream: IO[bytes],
    name: str,
    kind: Format,
    most: Most = USUAL,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Member]:
    """Every file of an archive as it is, in its order, or those whose names are wanted.

    Raises: BadArchive, TooLarge.
    """
    size = stream.seek(0, io.SEEK_END)
    with _sound(name):
        if kind is Format.ZIP:
            yield from _opened(_zip(stream, size, name, most, wanted), name, most)
        elif kind is Format.TAR or _holds_tar(stream):
            yield from _opened(_tar(stream, size, name, most, wanted), name, most)
        else:
            yield _single(stream, size, name, most)


def plain_name(name: str) -> str:
    """The name of a file that gzip or zstd packed alone, without what they append."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in (".gz", ".zst", ".zstd") else name


def _opened(found: Iterator[Member], name: str, most: Most) -> Iterator[Member]:
    """The members, those unpacked that are packed alone; these count as much as they become."""
    left = most.bytes
    for member in found:
        if not member.data.startswith(_PACKED):
            yield member
            continue
        ready = _unpacked_member(member, most)
        left -= len(ready.data)
        if left < 0:
            raise _too_big(name, most)
        yield ready


def _unpacked_member(member: Member, most: Most) -> Member:
    stream = io.BytesIO(member.data)
    try:
        return (
            member if _holds_tar(stream) else _single(stream, len(member.data), member.name, most)
        )
    except _DAMAGE as fault:
        return Member(
            member.name, error=_bad(member.name, f"The member is damaged: {_short(fault)}.")
        )


@contextmanager
def _sound(name: str) -> Iterator[None]:
    """Whatever the libraries raise says that the archive is damaged."""
    try:
        yield
    except _DAMAGE as fault:
        raise _bad(name, f"The archive is damaged: {_short(fault)}.") from None
    except (ValueError, IndexError, OverflowError):
        raise _bad(name, "The archive is damaged.") from None


def members(data: bytes, name: str, kind: Format, forced: Format | None) -> Iterator[Member]:
    """The structure files of an archive, in its order.

    Raises: BadArchive, TooLarge, EmptyInput.
    """
    inner = forced if forced and forced not in ARCHIVES else None
    stream = io.BytesIO(data)
    with _sound(name):
        one = kind in PACKED and not _holds_tar(stream)
    found = contents(stream, name, kind)
    yield from map(partial(_recognised, inner=inner), found) if one else _chosen(found, name, inner)


def _chosen(found: Iterator[Member], name: str, inner: Format | None) -> Iterator[Member]:
    """Members that are structures or claim to be; what merely lies beside them is left out."""
    any_structure = False
    beside: list[str] = []
    for member in found:
        own = member.name.removeprefix(f"{name}/")
        path = PurePosixPath(own)
        if own.startswith("__MACOSX/") or path.name.startswith("."):
            continue
        if path.suffix.lower() in _BESIDE or path.name.lower() in _BESIDE_NAMES:
            beside.append(own)
            continue
        ready = _recognised(member, inner)
        if isinstance(ready.error, UnknownFormat) and path.suffix.lower() in ("", ".txt"):
            beside.append(own)
            continue
        any_structure = True
        yield ready
    if not any_structure:
        held = f"It holds {', '.join(beside[:5])}." if beside else "It holds no file."
        raise EmptyInput(f"The archive holds no structure file. {held}", file=name)


def _recognised(member: Member, inner: Format | None) -> Member:
    if member.error:
        return member
    try:
        kind = recognise(member.name, member.data, inner)
        if kind in ARCHIVES:
            raise _bad(
                member.name, "An archive inside an archive is not read.", "Unpack the inner one."
            )
    except InputError as error:
        return Member(member.name, error=error.in_file(member.name))
    return Member(member.name, member.data, kind)


# -- zip -------------------------------------------------------------------------------------------


def _zip(
    stream: IO[bytes], size: int, name: str, most: Most, wanted: Callable[[str], bool]
) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as archive:
        listed = archive.infolist()
        _check_listing(listed, size, name, most)
        left = most.bytes
        for info in listed:
            own = _member_name(info)
            if own.endswith("/") or not wanted(own):
                continue
            member, used = _zip_member(archive, info, f"{name}/{own}", min(left, most.member_bytes))
            left -= used
            if left <= 0:
                raise _too_big(name, most)
            yield member


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    """The name's own bytes: without the flag for UTF-8 the library reads them as cp437."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & UTF8_NAME else "cp437")


def _member_name(info: zipfile.ZipInfo) -> str:
    """The name; many programs write UTF-8 and forget the flag, some part folders by backslashes."""
    name = info.filename
    if not name.isascii():
        with suppress(UnicodeDecodeError):
            name = _raw_name(info).decode()
    return name.replace("\\", "/")


def _check_listing(listed: list[zipfile.ZipInfo], size: int, name: str, most: Most) -> None:
    if len(listed) > most.members:
        raise TooLarge(
            f"The archive has {len(listed):,} members.",
            file=name,
            expected=f"at most {most.members:,}",
            got=f"{len(listed):,}",
        )
    seen: set[str] = set()
    for info in listed:
        _check_name(info.filename, name, seen)
        mode = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _bad(name, f"The member {_shown(info.filename)} is a link or a device.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _bad(
                name,
                f"The member {_shown(info.filename)} is packed by a method that is not read here.",
                "Pack it with the usual method (deflate).",
            )
        if info.flag_bits & 1:
            detail = f"The member {_shown(info.filename)} is encrypted."
            raise _bad(name, detail, "Send it without a password.")
    end = 0
    for info in sorted(listed, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise _bad(name, f"The members of the archive overlap at {_shown(info.filename)}.")
        end = info.header_offset + 30 + len(_raw_name(info)) + info.compress_size
    if end > size:
        raise _bad(name, "The archive ends before its last member.")


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str, limit: int
) -> tuple[Member, int]:
    try:
        with archive.open(info) as file:
            data = _limited(file, limit)
    except zipfile.BadZipFile as fault:
        return Member(label, error=_bad(label, f"The member is damaged: {_short(fault)}.")), 0
    except zlib.error:
        return Member(label, error=_bad(label, "The member is damaged.")), 0
    _check_ratio(len(data), info.compress_size, label)
    if len(data) > limit:
        return Member(label, error=_big_member(label, limit)), len(data)
    return Member(label, data), len(data)


# -- tar -------------------------------------------------------------------------------------------


class _Counted(io.RawIOBase):
    """A stream that stops when it gives more than it may."""

    def __init__(self, stream: IO[bytes], packed: int, name: str, most: Most) -> None:
        self.stream, self.packed, self.name, self.most = stream, packed, name, most
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; a header that wants more than a structure has is hostile."""
        if size < 0 or size > _READ_AT_ONCE:
            raise _bad(self.name, "The archive holds a header of absurd size.")
        data = self.stream.read(size)
        self.given += len(data)
        _check_ratio(self.given, self.packed, self.name)
        if self.given > self.most.bytes:
            raise _too_big(self.name, self.most)
        return data


def _tar(
    stream: IO[bytes], size: int, name: str, most: Most, wanted: Callable[[str], bool]
) -> Iterator[Member]:
    counted = _Counted(_unpacked(stream), size, name, most)
    seen: set[str] = set()
    with tarfile.open(fileobj=counted, mode="r|", bufsize=_CHUNK) as archive:
        for count, info in enumerate(archive, 1):
            if count > most.members:
                raise TooLarge(
                    "The archive has too many members.",
                    file=name,
                    expected=f"at most {most.members:,}",
                )
            _check_name(info.name, name, seen)
            if info.isdir() or not wanted(info.name):
                continue
            if not info.isreg() or info.issparse():
                raise _bad(name, f"The member {_shown(info.name)} is a link or a device.")
            label = f"{name}/{info.name}"
            if info.size > most.member_bytes:
                yield Member(label, error=_big_member(label, most.member_bytes))
                continue
            file = archive.extractfile(info)
            yield Member(label, _limited(file, most.member_bytes) if file else b"")


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    stream.seek(0)
    magic = stream.read(4)
    stream.seek(0)
    if magic.startswith(_PACKED[0]):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if magic == _PACKED[1]:
        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        return cast("IO[bytes]", unpacker.stream_reader(stream, closefd=False))
    return stream


def _holds_tar(stream: IO[bytes]) -> bool:
    return _unpacked(stream).read(512)[257:262] == b"ustar"


# -- one compressed file ---------------------------------------------------------------------------


def _single(stream: IO[bytes], size: int, name: str, most: Most) -> Member:
    text = _limited(_unpacked(stream), most.member_bytes)
    if len(text) > most.member_bytes:
        _check_ratio(len(text), size, name)
        return Member(name, error=_big_member(name, most.member_bytes))
    return Member(plain_name(name), text)


# -- bounds ----------------------------------------------------------------------------------------


def _limited(file: IO[bytes], limit: int) -> bytes:
    """Everything, or one byte more than allowed."""
    parts: list[bytes] = []
    size = 0
    while size <= limit and (part := file.read(min(_CHUNK, limit + 1 - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _check_ratio(unpacked: int, packed: int, name: str) -> None:
    if unpacked > bounds.RATIO_FREE_BYTES and unpacked > bounds.RATIO * max(packed, 1):
        raise _bad(name, f"The archive grows more than {bounds.RATIO}-fold when unpacked.")


def _check_name(member: str, name: str, seen: set[str]) -> None:
    path = member.replace("\\", "/")
    parts = PurePosixPath(path).parts
    odd = any(ord(char) < 32 or ord(char) == 127 for char in member)
    if odd or ".." in parts or parts[:1] == ("/",) or (parts and parts[0][1:2] == ":"):
        raise _bad(name, f"The member {_shown(member)} has a path that leaves the archive.")
    if len(member) > 512:
        raise _bad(name, "A member has a name of more than 512 characters.")
    if path in seen:
        raise _bad(name, f"The member {_shown(member)} is there twice.")
    seen.add(path)


def _shown(member: str) -> str:
    return repr(member[:60])


def _short(fault: BaseException) -> str:
    text = str(fault).split("\n", maxsplit=1)[0].rstrip(".")[:100]
    return text or type(fault).__name__


def _bad(name: str, detail: str, hint: str | None = None) -> BadArchive:
    return BadArchive(detail, file=name, hint=hint)


def _too_big(name: str, most: Most) -> TooLarge:
    return TooLarge(
        f"The archive holds more than {most.bytes:,} bytes.",
        file=name,
        expected=f"at most {most.bytes:,} bytes unpacked",
    )


def _big_member(label: str, limit: int) -> TooLarge:
    return TooLarge(
        f"The member has more than {limit:,} bytes.",
        file=label,
        expected=f"at most {limit:,} bytes a file",
    )
