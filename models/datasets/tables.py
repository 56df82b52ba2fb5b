"""Tables: Parquet, and CSV with a column of structures."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

from models.datasets.entries import EXPECTED, Row, Wishes, check_heads, row_of
from models.datasets.labels import pointed, value_of
from models.datasets.lines import LINE_BYTES
from models.datasets.text import table_text
from models.errors import BadDataset, UnreadableStructure
from models.structures.formats import is_whole

MOST_COLUMNS = 500
BATCH_ROWS = 64
GROUP_BYTES = 2_000_000_000  # of one row group as it is in memory
HEADER_CHARS = 100_000
HOLDING = frozenset(("structure", "cif", "poscar", "lattice", "atoms"))  # columns of structures


def parquet(file: IO[bytes], name: str, wishes: Wishes) -> Iterator[Row]:
    """A row a row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_memory_pool(
        pa.system_memory_pool()
    )  # the others reserve more than a limited process may
    pa.set_cpu_count(1)
    try:
        table = pq.ParquetFile(file, thrift_string_size_limit=50_000_000)
        _check(table.metadata, name)
        check_heads(table.schema_arrow.names, name)
        number = 0
        for batch in table.iter_batches(BATCH_ROWS, use_threads=False):
            for record in batch.to_pylist():
                number += 1
                yield row_of(number, record, wishes)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as fault:
        reason = str(fault).partition("\n")[0][:150] or type(fault).__name__
        raise BadDataset(f"The Parquet file cannot be read: {reason}.", file=name) from None


def _check(metadata: Any, name: str) -> None:
    if metadata.num_columns > 4 * MOST_COLUMNS:  # leaves: a structure's dictionary has many
        raise too_many_columns(name, metadata.num_columns)
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).total_byte_size
        if size > GROUP_BYTES:
            raise BadDataset(
                f"Row group {group} of the Parquet file takes {size:,} bytes.",
                file=name,
                expected=f"at most {GROUP_BYTES:,} bytes",
                hint="Write it again with smaller row groups.",
            )


def sheet(file: IO[bytes], name: str, wishes: Wishes) -> Iterator[Row]:
    """A row a line of a CSV, one of whose columns holds the structure."""
    csv.field_size_limit(LINE_BYTES)
    text = table_text(file)
    head = text.readline(HEADER_CHARS)
    if not head.endswith("\n") and len(head) >= HEADER_CHARS:
        raise too_many_columns(name, head.count(",") + 1)
    between, heads = _heads(head)
    if len(heads) > MOST_COLUMNS:
        raise too_many_columns(name, len(heads))
    check_heads(heads, name)
    if not HOLDING & set(heads):
        raise BadDataset(
            "The table has no column of structures.",
            file=name,
            expected=EXPECTED,
            got=", ".join(heads[:12])[:200],
            hint="To send structure files with a table, put both into a zip.",
        )
    rows = csv.reader(text, delimiter=between)
    try:
        for number, row in enumerate(rows, 1):
            if row:
                yield _line(number, heads, [pointed(word, between) for word in row], wishes)
    except csv.Error as fault:
        raise BadDataset(f"The table is broken: {fault}.", file=name,
                         place=f"line {rows.line_num + 1}") from None  # fmt: skip


def holds_structures(data: bytes) -> bool:
    """Whether a column of this CSV is called so and holds structures, not words."""
    text = io.StringIO(table_text(io.BytesIO(data)).read(HEADER_CHARS))
    between, heads = _heads(text.readline())
    return any(
        head in HOLDING and is_whole(word)
        for row in csv.reader(text, delimiter=between)
        for head, word in zip(heads, row, strict=False)
    )


def _heads(line: str) -> tuple[str, list[str]]:
    """What stands between the columns, and their names."""
    between = max(",;\t", key=line.count)
    return between, [one.strip() for one in next(csv.reader([line], delimiter=between), [])]


def _line(number: int, heads: list[str], row: list[str], wishes: Wishes) -> Row:
    if len(row) > len(heads):
        return Row(number, f"row {number}", error=too_wide(row, len(heads)))
    record = {
        head: value
        if head in ("structure", "cif", "poscar", "id", "material_id")
        else value_of(value)
        for head, value in zip(heads, row, strict=False)
    }
    return row_of(number, record, wishes)


def too_wide(row: Sequence[str], columns: int) -> UnreadableStructure:
    """The error for a line whose values belong to no column."""
    return UnreadableStructure(
        "The line has more values than the table has columns.",
        expected=str(columns),
        got=f"{len(row)}: {', '.join(row)[:100]}",
        hint="Write numbers with a decimal point, and texts that hold a comma in quotes.",
    )


def too_many_columns(name: str, count: int) -> BadDataset:
    """More labels than anybody learns from."""
    return BadDataset(
        f"The table has {count:,} columns.",
        file=name,
        expected=f"at most {MOST_COLUMNS}",
        got=f"{count:,}",
        hint="Leave out what is not to be learned.",
    )
