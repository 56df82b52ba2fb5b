"""The texts of data sets, however they are encoded. Light."""

import codecs
import io
from typing import IO

CHUNK = 1_000_000  # characters
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def utf8(file: IO[bytes]) -> IO[bytes]:
    """The same text as UTF-8; UTF-16 is known by its mark."""
    mark = file.read(2)
    file.seek(0)
    if mark not in WIDE:
        return file
    text = io.TextIOWrapper(file, "utf-16", "replace", newline="")
    found = io.BytesIO()
    while part := text.read(CHUNK):
        found.write(part.encode("utf-8", "replace"))
    text.detach()
    found.seek(0)
    return found


def table_text(file: IO[bytes]) -> io.TextIOWrapper:
    r"""The text of a table, each of its lines ended by `\n`."""
    return io.TextIOWrapper(utf8(file), "utf-8-sig", "replace")
