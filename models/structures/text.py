"""Bytes of any usual encoding and line end to plain text."""

import codecs
import re

from models.errors import EmptyInput, TooLarge, UnknownFormat
from models.structures import bounds
from models.structures.formats import kind_of

DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"  # for the minus, as a range of a pattern
_MINUS = re.compile(rf"[{DASHES}](?=[\d.xyzXYZ])")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_NOTHING = re.compile("[\u200b-\u200d\u2060\ufeff]")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes, name: str) -> tuple[str, list[str]]:
    r"""The text with `\n` line ends, and what had to be mended.

    Raises: EmptyInput, TooLarge, UnknownFormat.
    """
    if len(data) > bounds.FILE_BYTES:
        raise TooLarge(
            f"The file has {len(data):,} bytes.",
            file=name,
            expected=f"at most {bounds.FILE_BYTES:,} bytes a structure file",
            got=f"{len(data):,}",
            hint="Send several structures as several files or as an archive.",
        )
    if data.isascii() and b"\0" not in data[:4096]:
        text = data.decode("ascii")
        notes: list[str] = []
    else:
        text, notes = _plain(_decoded(data))
    return _lines(text, data, name), notes


def check_lines(text: str, name: str) -> None:
    """Raises: TooLarge on a line that no structure file has (hostile to every tokeniser)."""
    if len(text) <= bounds.LINE_CHARS or max(map(len, text.split("\n"))) <= bounds.LINE_CHARS:
        return
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > bounds.LINE_CHARS:
            raise TooLarge(
                f"Line {number} has {len(line):,} characters.",
                file=name,
                place=f"line {number}",
                expected=f"at most {bounds.LINE_CHARS:,} characters a line",
                got=f"{len(line):,}",
            )


def _decoded(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    head = data[:4096]
    if head.count(0) > 0.3 * len(head):
        return data.decode("utf-16-le" if head[:1] != b"\0" else "utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _plain(text: str) -> tuple[str, list[str]]:
    notes = []
    text, signs = _MINUS.subn("-", text)
    if signs:
        notes.append(f"{signs} Unicode minus signs were read as '-'.")
    return _NOTHING.sub("", _SPACES.sub(" ", text)), notes


def _lines(text: str, data: bytes, name: str) -> str:
    if "\x1a" in text:  # the end of file of DOS
        text = text.partition("\x1a")[0]
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.rstrip("\0")
        if "\0" in text:
            looks = kind_of(data) or "binary data"
            raise UnknownFormat(
                f"The file looks like {looks}, not like text.",
                file=name,
                expected="text",
                got=looks,
            )
    if "\x0b" in text or "\x0c" in text:
        text = text.replace("\x0b", " ").replace("\x0c", "\n")
    if not text or text.isspace():
        raise EmptyInput("The file holds nothing but blanks.", file=name)
    return text
