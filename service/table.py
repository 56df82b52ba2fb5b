"""The table of a screening, asked where it lies: DuckDB over its shards, locked into their folder."""

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import orjson

from service.asked import Asked, Place, as_cursor, finite, holds_json, of_cursor
from service.problems import Problem
from service.settings import ServiceSettings
from service.table_sql import TYPES, Question, chosen_rows, counted, described, exported, found_rows
from workers.columns import Column
from workers.files import Files

if TYPE_CHECKING:  # loaded with the first question: most services are never asked one
    from duckdb import DuckDBPyConnection

SHARD = re.compile(r"\d{8}\.parquet")
MOST_WAITING = 8  # times those in turn
FIRST_SHARDS = 16  # looked into, then four times as many, as long as rows are wanting
KEPT_S = 900.0  # a file made for a download, so that a broken one goes on where it broke
FORMS = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}  # fmt: skip
DISK = ("No space left on device", "Disk quota exceeded")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows as JSON objects, and where to go on."""

    rows: list[dict[str, Any]]
    cursor: str | None = None


class Tables:
    """Asks the tables of all screenings, from threads; nothing is opened before the first question."""

    def __init__(self, files: Files, settings: ServiceSettings) -> None:
        self.files = files
        self.settings = settings
        self._opening = threading.Lock()
        self._turns = asyncio.Semaphore(settings.max_table_queries)
        self._files_turn = asyncio.Semaphore(1)
        self._waiting = 0
        self._database: DuckDBPyConnection | None = None

    async def answered(self, step: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        """What a step answers, in a thread; few at once, and one file at a time. Raises: Problem."""
        turns = self._files_turn if step == self.export else self._turns
        if self._waiting >= MOST_WAITING * self.settings.max_table_queries:
            raise Problem("busy", f"{self._waiting} questions to tables wait.")
        self._waiting += 1
        try:
            async with turns:
                return await asyncio.to_thread(step, *args, **more)
        finally:
            self._waiting -= 1

    def columns(self, job: str) -> tuple[Column, ...]:
        """The columns as the shards have them; none without a shard. Raises: Problem."""
        shards = self.shards(job)
        if not shards:
            return ()
        rows = self._rows(described(shards[0]))
        return tuple(Column(row[0], TYPES[row[1]], "") for row in rows if row[1] in TYPES)

    def shards(self, job: str) -> list[str]:
        """The parts of a table that are there now, in the order of their rows."""
        folder = self.files.fetch_all(self.files.shards(job))
        try:
            names = sorted(one.name for one in folder.iterdir() if SHARD.fullmatch(one.name))
        except FileNotFoundError:
            return []
        return [str(folder.resolve() / name) for name in names]

    def page(self, job: str, asked: Asked, cursor: str | None, limit: int) -> Rows:
        """Rows after the cursor. Raises: Problem."""
        place = None if cursor is None else of_cursor(job, asked, cursor)
        seen = place.seen if place else 0
        most = limit if asked.top is None else min(limit, asked.top - seen)
        shards = self.shards(job)
        if not shards or most < 1:
            return Rows([])
        found = self._found(asked, shards, place, most + 1)  # one more: is there a next?
        here = found[:most]
        if not here:
            return Rows([])
        last = Place(
            tuple(here[-1][2:]),
            here[-1][1],
            seen + len(here),
            number_of(here[-1][0]),
        )
        ends = len(found) == len(here) or last.seen == asked.top
        return Rows(self._whole(asked, here), None if ends else as_cursor(job, asked, last))

    def count(self, job: str, asked: Asked) -> int:
        """How many rows the filter keeps. Raises: Problem."""
        shards = self.shards(job)
        return int(self._rows(counted(asked, shards))[0][0]) if shards else 0

    def export(self, job: str, asked: Asked, form: str, tag: str) -> Path:
        """The whole answer as a file, which is kept for a while for this tag. Raises: Problem."""
        folder = self.files.exports()
        path = folder / f"{tag}.{form}"
        with suppress(FileNotFoundError):
            os.utime(path)
            return path
        folder.mkdir(parents=True, exist_ok=True)
        self.sweep()
        temporary = folder / f".{tag}.{threading.get_ident()}"
        try:
            question = exported(asked, self.shards(job), temporary.resolve(), form)
            self._rows(question, self.settings.export_s)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def sweep(self) -> None:
        """Removes downloads that nobody goes on with."""
        oldest = time.time() - KEPT_S
        for path in self.files.exports().glob("*.*"):
            with suppress(FileNotFoundError):
                if path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()

    def close(self) -> None:
        """Lets go of everything."""
        with self._opening:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _found(
        self, asked: Asked, shards: Sequence[str], place: Place | None, most: int
    ) -> list[tuple[Any, ...]]:
        """File, index and keys of the first rows; in the order of the source, few files hold them."""
        if asked.keys:
            return self._rows(found_rows(asked, shards, place, most))
        start, step = (place.shard if place else 0), FIRST_SHARDS
        left = [shard for shard in shards if number_of(shard) >= start]
        found: list[tuple[Any, ...]] = []
        while left and len(found) < most:
            found += self._rows(found_rows(asked, left[:step], place, most - len(found)))
            left, step = left[step:], 4 * step
        return found

    def _whole(self, asked: Asked, found: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """The rows that were found, with all that is wanted of them, in their order."""
        indices = [row[1] for row in found]
        shards = list(dict.fromkeys(row[0] for row in found))
        rows = {row[0]: row[1:] for row in self._rows(chosen_rows(asked, shards, indices))}
        lists = [holds_json(name) for name in asked.names]
        return [
            {
                name: loaded(value) if is_json else finite(value)
                for name, value, is_json in zip(asked.names, rows[index], lists, strict=True)
            }
            for index in indices
        ]

    def _rows(self, question: Question, seconds: float | None = None) -> list[tuple[Any, ...]]:
        """What the database answers in its time. Raises: Problem."""
        import duckdb

        allowed = seconds or self.settings.table_s
        with self._open().cursor() as cursor:
            alarm = threading.Timer(allowed, cursor.interrupt)
            alarm.start()
            try:
                return cursor.execute(question.sql, question.values).fetchall()
            except duckdb.InterruptException as error:
                raise too_heavy(f"It was not answered within {allowed:g} s.") from error
            except duckdb.OutOfMemoryException as error:
                raise too_heavy("It takes more memory than a question may.") from error
            except duckdb.IOException as error:
                if any(told in str(error) for told in DISK):
                    raise Problem("storage_full", "There is no room for this answer here.") from error  # fmt: skip
                shards = question.values[0] if question.values else []
                if all(Path(shard).exists() for shard in shards):
                    raise
                raise Problem("conflict", "The table is being deleted.") from error
            finally:
                alarm.cancel()

    def _open(self) -> "DuckDBPyConnection":
        """The one database of this process, which holds nothing and may read and write two folders."""
        import duckdb

        with self._opening:
            if self._database is None:
                database = duckdb.connect(":memory:")
                for statement in locked(self.files, self.settings):
                    database.execute(statement)
                self._database = database
            return self._database


def locked(files: Files, settings: ServiceSettings) -> list[str]:
    """Settings of the database, after which it takes no more of them."""
    folders = [files.screenings(), files.exports()]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    named = ", ".join(text(f"{folder.resolve()}/") for folder in folders)
    return [
        "SET threads = 1",
        f"SET memory_limit = '{settings.table_memory_bytes // 1_000_000}MB'",
        f"SET temp_directory = {text(str(folders[1].resolve() / 'spilled'))}",
        f"SET max_temp_directory_size = '{settings.table_disk_bytes // 1_000_000}MB'",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET allow_community_extensions = false",
        "SET enable_external_file_cache = false",
        f"SET allowed_directories = [{named}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ]


def number_of(shard: str) -> int:
    """The place of a shard among the others: its rows are behind those of all before it."""
    return int(Path(shard).stem)


def text(value: str) -> str:
    """A text in SQL; only for what the deployment has set."""
    return "'" + value.replace("'", "''") + "'"


def loaded(value: str | None) -> Any:
    """JSON out of a column of texts."""
    return None if value is None else orjson.loads(value)


def too_heavy(detail: str) -> Problem:
    """The question was given up."""
    return Problem("query_too_heavy", detail)
