"""A shard: the records of one chunk as columns of a Parquet file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from models.card import Card
from models.families.kinds import KINDS
from workers.columns import FIRST, Column, answers, columns
from workers.contract import ChunkOrder
from workers.files import Files
from workers.telling import label_of

GROUP_ROWS = 4_096
OF_DOMAIN = 3  # columns at the end of each answer
OF_PYARROW = {"int64": "int64", "int32": "int32", "double": "float64", "bool": "bool_", "string": "string"}  # fmt: skip

Record = dict[str, Any]
Prediction = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one target of a model fills: so many columns, one after the other."""

    kind: str
    classes: tuple[str, ...] | None
    lists: tuple[list[Any], ...]

    def tell(self, told: Prediction | None) -> None:
        """One row."""
        if told is None:
            row: tuple[Any, ...] = (None,) * len(self.lists)
        else:
            domain = (told["in_domain"], told["domain_score"], _listed(told["reasons"]))
            row = (*self._values(told), *domain)
        for column, value in zip(self.lists, row, strict=True):
            column.append(value)

    def _values(self, told: Prediction) -> tuple[Any, ...]:
        if "error" in told:
            return (None,) * (len(self.lists) - OF_DOMAIN)
        if self.kind == "crystal":
            value, spread = told["value"], (told["std"], *(told["interval"] or (None, None)))
            if self.classes is not None:
                return (value, label_of(self.classes, value), *spread)
            return (value, *spread)
        values = told["values"] if self.kind == "sites" else _distances(told)
        if not values:
            return (None, None, None, "[]")
        return (sum(values) / len(values), min(values), max(values), _listed(values))


class Sheet:
    """Rows on their way into a shard, kept by column."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self.columns = columns(cards)
        self.rows = self.failed = 0
        self._lists: tuple[list[Any], ...] = tuple([] for _ in self.columns)
        self._own = self._lists[: len(FIRST)]
        self._answers = list(self._of(cards))

    def _of(self, cards: Sequence[Card]) -> Iterator[Answer]:
        at = len(FIRST)
        for card, names in zip(cards, answers(cards), strict=True):
            width = (len(columns([card])) - len(FIRST)) // len(names)
            for _ in names:
                lists = self._lists[at : at + width]
                yield Answer(KINDS[card.family].answers, card.classes, lists)
                at += width

    def add(self, record: Record) -> None:
        """One structure more."""
        predictions = record["predictions"]
        failed = record["status"] == "failed"
        error = record.get("error") or _first_error(predictions)
        row = (
            record["index"],
            record["name"],
            record["formula"],
            record["n_sites"],
            "failed" if failed else "ok",
            error and error.get("code"),
            error and orjson.dumps(error).decode(),
            _listed(record["warnings"]),
            _all([one["in_domain"] for one in predictions]),
        )
        for column, value in zip(self._own, row, strict=True):
            column.append(value)
        for place, answer in enumerate(self._answers):
            answer.tell(predictions[place] if predictions else None)
        self.rows += 1
        self.failed += failed

    def write(self, file: BinaryIO, about: dict[str, str]) -> None:
        """All rows; `about` is kept beside the schema."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(column.name, _type(pa, column)) for column in self.columns])
        arrays = [
            pa.array(held, type=field.type) for held, field in zip(self._lists, schema, strict=True)
        ]
        table = pa.Table.from_arrays(arrays, schema=schema.with_metadata(about))
        pq.write_table(
            table, file, row_group_size=GROUP_ROWS, compression="zstd", write_statistics=True
        )


def failed_record(index: int, name: str, error: dict[str, Any]) -> Record:
    """The record of a structure that was not even tried."""
    return {
        "index": index,
        "name": name,
        "formula": None,
        "n_sites": None,
        "status": "failed",
        "predictions": [],
        "warnings": [],
        "error": error,
    }


def about_shard(sheet: Sheet, first: int, mark: str) -> dict[str, str]:
    """What a shard says of itself."""
    return {
        "matprop.rows": str(sheet.rows),
        "matprop.failed": str(sheet.failed),
        "matprop.first": str(first),
        "matprop.mark": mark,
    }


@dataclass(frozen=True, slots=True)
class About:
    """What `about_shard` has written."""

    rows: int
    failed: int
    first: int
    mark: str


def look(path: Path) -> About:
    """What a shard says of itself."""
    import pyarrow.parquet as pq

    said = pq.read_schema(path).metadata
    rows, failed, first = (
        int(said[f"matprop.{name}".encode()]) for name in ("rows", "failed", "first")
    )
    return About(rows, failed, first, said[b"matprop.mark"].decode())


def made_of(files: Files, path: Path, order: ChunkOrder) -> About | None:
    """The shard of this very chunk: a broker that lost its last second may have had another one of its number."""
    if not files.is_there(path):
        return None
    found = look(path)
    return found if (found.first, found.mark) == (order.first, order.mark) else None


def failed_rows(path: Path) -> list[int]:
    """The places in a shard of the structures that failed."""
    import pyarrow.parquet as pq

    column = pq.read_table(path, columns=["status"]).column("status").to_pylist()
    return [place for place, status in enumerate(column) if status == "failed"]


def _first_error(predictions: Sequence[Prediction]) -> dict[str, Any] | None:
    return next((one["error"] for one in predictions if "error" in one), None)


def _all(known: Sequence[bool | None]) -> bool | None:
    if False in known:
        return False
    return True if known and None not in known else None


def _listed(values: Sequence[Any]) -> str:
    return orjson.dumps(values).decode() if values else "[]"


def _distances(told: Prediction) -> list[float]:
    return [bond["distance"] for bond in told["bonds"]]


def _type(pa: Any, column: Column) -> Any:
    return getattr(pa, OF_PYARROW[column.type])()
