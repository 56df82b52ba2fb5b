"""multipart/form-data as a stream of events; nothing is kept but one part's header."""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.problems import Problem

MOST_HEADERS = 16
LONGEST_HEADER = 4_096
LONGEST_NAME = 255
EXTENDED = re.compile(r"filename\*\s*=\s*([\w!#$%&+^`{}~-]*)'[^']*'([^;\s]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part of the form: a field, or a file when it has a file name."""

    field: str
    file: str | None


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is complete."""


FormEvent = PartBegins | bytes | PartEnds


class FormReader:
    """Takes the body in pieces, gives the events in them."""

    def __init__(self, boundary: bytes) -> None:
        self.complete = False
        self._events: list[FormEvent] = []
        self._name = bytearray()
        self._value = bytearray()
        self._disposition = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": lambda data, at, to: self._name.extend(data[at:to]),
                    "on_header_value": lambda data, at, to: self._value.extend(data[at:to]),
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": lambda data, at, to: self._events.append(data[at:to]),
                    "on_part_end": lambda: self._events.append(PartEnds()),
                    "on_end": self._ends,
                },
                max_header_count=MOST_HEADERS,
                max_header_size=LONGEST_HEADER,
            )
        except FormParserError as error:
            raise damaged(str(error)) from error

    def feed(self, data: bytes) -> list[FormEvent]:
        """The events of the next piece of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise damaged(str(error)) from error
        events, self._events = self._events, []
        return events

    def _part_begins(self) -> None:
        self._disposition = b""

    def _header_ends(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if kind != b"form-data" or not name:
            raise damaged("a part has no Content-Disposition: form-data with a name")
        self._events.append(PartBegins(as_text(name), file_name(self._disposition, options)))

    def _ends(self) -> None:
        self.complete = True


def boundary_of(content_type: str) -> bytes:
    """The boundary named in the header; raises `Problem` when there is none."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise damaged("the Content-Type names no boundary")
    return boundary


def file_name(disposition: bytes, options: dict[bytes, bytes]) -> str | None:
    """The name a part's file came with, in whichever of the ways clients have."""
    if b"filename" in options:
        return as_text(options[b"filename"])
    found = EXTENDED.search(disposition.decode("latin-1"))
    if found is None:
        return None
    try:
        return unquote_to_bytes(found[2]).decode(found[1] or "utf-8", "replace")
    except LookupError:
        return as_text(unquote_to_bytes(found[2]))


def as_text(raw: bytes) -> str:
    """A header's bytes: UTF-8 from nearly everybody, Latin-1 from the rest."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def shown_name(name: str | None, index: int) -> str:
    """A file's name for display: no folders, nothing that steers a terminal, not too long."""
    last = re.split(r"[/\\]", name or "")[-1]
    plain = "".join(
        sign for sign in last if unicodedata.category(sign)[0] != "C" and sign.isprintable()
    )
    plain = unicodedata.normalize("NFC", plain).strip()[:LONGEST_NAME]
    return plain if plain.strip(".") else f"structure-{index + 1}"


def damaged(why: str) -> Problem:
    """The form cannot be taken apart."""
    return Problem("malformed_multipart", f"The form cannot be read: {why}.")
