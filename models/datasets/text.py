"""The texts of data sets, however they are encoded. Light."""

import codecs
import io
from typing import IO, Any, cast

CHUNK = 100_000  # characters
WIDE = {  # the longer marks first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class _Recoded(io.RawIOBase):
    """A text as UTF-8."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text, self.left = text, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As many bytes as there is room for; none at the end."""
        self.left = self.left or self.text.read(CHUNK).encode("utf-8", "replace")
        part, self.left = self.left[: len(buffer)], self.left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def utf8(file: IO[bytes]) -> IO[bytes]:
    """The same text as UTF-8; UTF-32 and UTF-16 are known by their marks."""
    head = file.read(4)
    file.seek(0)
    coded = next((coded for mark, coded in WIDE.items() if head.startswith(mark)), None)
    if coded is None:
        return file
    text = io.TextIOWrapper(file, coded, "replace", newline="")
    return cast("IO[bytes]", io.BufferedReader(_Recoded(text), CHUNK))


def table_text(file: IO[bytes]) -> io.TextIOWrapper:
    r"""The text of a table, each of its lines ended by `\n`."""
    return io.TextIOWrapper(utf8(file), "utf-8-sig", "replace")
