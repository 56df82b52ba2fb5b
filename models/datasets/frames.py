"""Extended XYZ: a row a frame; what its comment and its columns say beside the structure are labels."""

from collections.abc import Iterator
from typing import IO, Any

from models.datasets.entries import LONGEST_NAME, NAMES, Row, Wishes
from models.datasets.labels import as_number, value_of
from models.datasets.text import utf8
from models.errors import InputError, UnreadableStructure
from models.structures import bounds
from models.structures.extxyz import columns, pairs

OF_THE_CELL = ("lattice", "cell", "properties", "pbc")
OF_THE_SITE = ("species", "element", "symbols", "z", "numbers", "pos", "positions")
LINE_BYTES = bounds.LINE_CHARS * 4 + 1  # what is longer has too many characters, however it is cut


def frames(file: IO[bytes], wishes: Wishes) -> Iterator[Row]:
    """A row a frame; a frame whose length is unknown is the last one."""
    file = utf8(file)
    number = 0
    while head := file.readline(bounds.LINE_CHARS):
        if not head.strip(b"\xef\xbb\xbf \t\r\n\0"):
            continue
        number += 1
        text = head.strip(b"\xef\xbb\xbf \t\r\n").decode("latin-1")
        if not (text.isascii() and text.isdigit()) or len(text) > 7:
            yield Row(number, f"frame {number}", error=_no_count(text))
            wishes.note("What follows the first broken frame could not be read.")
            return
        lines = [_line(file) for _ in range(int(text) + 1)]
        yield _row(number, [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines],
                   text, wishes)  # fmt: skip


def _line(file: IO[bytes]) -> bytes:
    """The beginning of the next line; the file is past all of it."""
    line = part = file.readline(LINE_BYTES)
    while part and not part.endswith(b"\n"):
        part = file.readline(LINE_BYTES)
    return line


def _row(number: int, lines: list[str], count: str, wishes: Wishes) -> Row:
    said = pairs(lines[0])
    by_name = {key.lower(): value for key, value in said.items()}
    name = next((by_name[key] for key in NAMES if by_name.get(key)), f"frame {number}")
    name = name[:LONGEST_NAME]
    labels: dict[str, Any] = {
        key: _of_comment(value)
        for key, value in said.items()
        if key.lower() not in (*OF_THE_CELL, *NAMES)
    }
    try:
        sites = _of_sites(lines[1:], by_name.get("properties", "species:S:1:pos:R:3"), wishes)
    except InputError as error:
        return Row(number, name, error=error)
    data = "\n".join([count, *lines, ""]).encode()
    return Row(number, name, data, "extxyz", wishes.kept(labels | sites))


def _of_comment(text: str) -> Any:
    """A number, some numbers, or a text."""
    numbers = [as_number(word) for word in text.strip("[]{} ").replace(",", " ").split()]
    if len(numbers) > 1 and None not in numbers:
        return numbers
    return text == "T" if text in ("T", "F") else value_of(text)  # as this format writes them


def _of_sites(lines: list[str], properties: str, wishes: Wishes) -> dict[str, list[float | None]]:
    """The columns of numbers beside element and position, each flat.

    Raises: UnreadableStructure.
    """
    wanted = [one for one in columns(properties) if one.name.lower() not in OF_THE_SITE]
    found: dict[str, list[float | None]] = {}
    words = [line.split() for line in lines]
    for one in wanted:
        if one.kind not in "RILril":
            wishes.left_out.add(one.name)
            continue
        values = [_value(word) for row in words for word in row[one.at : one.at + one.width]]
        if len(values) != one.width * len(lines):
            raise UnreadableStructure(
                f"{one.name} is not given for every site.",
                place=f"Properties {one.name}",
                expected=f"{one.width * len(lines)} numbers",
                got=str(len(values)),
            )
        wishes.per_site.add(one.name)
        found[one.name] = values
    return found


def _value(word: str) -> float | None:
    number = as_number(word)
    if number is not None:
        return number
    return (
        float(word.upper() in ("T", "TRUE"))
        if word.upper() in ("T", "F", "TRUE", "FALSE")
        else None
    )


def _no_count(text: str) -> UnreadableStructure:
    return UnreadableStructure(
        "The frame does not begin with the number of its sites.",
        expected="a whole number",
        got=text[:40],
    )
