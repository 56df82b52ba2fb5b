"""The table of a screening: pages, orders, files, bounds, and that nothing else can be reached."""

import base64
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.card import Card
from service.asked import Asked, ask, checked, marked
from service.problems import Problem
from service.settings import ServiceSettings
from service.table import Tables
from service.table_sql import Question
from tests.service.conftest import put_model
from tests.service.shards import put_shard, row_of
from workers.columns import Column, columns
from workers.files import Files

JOB = "job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"
ROWS = [row_of(index) for index in range(100)]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> tuple[Column, ...]:
    """The columns of the model that tests use."""
    folder = tmp_path_factory.mktemp("models")
    put_model(folder, "tested", 1)
    card = Card.model_validate_json((folder / "tested" / "1" / "card.json").read_bytes())
    return columns([card])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, there: Sequence[Column]) -> Any:
    """A table of ten shards."""
    files = Files(tmp_path_factory.mktemp("state"))
    for number in range(10):
        put_shard(files.shards(JOB), number, there, ROWS[10 * number : 10 * number + 10])
    made = Tables(files, ServiceSettings(state=files.state))
    yield made
    made.close()


def paged(tables: Tables, asked: Asked, limit: int = 7) -> list[dict[str, Any]]:
    """All rows, page after page."""
    found, cursor = [], None
    while True:
        page = tables.page(JOB, asked, cursor, limit)
        found += page.rows
        if (cursor := page.cursor) is None:
            return found
        assert len(page.rows) == limit


def indices(rows: Sequence[dict[str, Any]]) -> list[int]:
    return [row["index"] for row in rows]


def test_pages_hold_every_row_once_in_the_order_of_the_source(
    tables: Tables, there: Sequence[Column]
) -> None:
    rows = paged(tables, ask(there, None, None, None, None))
    assert indices(rows) == list(range(100))
    assert list(rows[0]) == [column.name for column in there]
    assert rows[9]["error"]["code"] == "unreadable_structure"
    assert rows[1]["tested.reasons"] == ["It is small."]
    assert rows[0]["tested"] == ROWS[0]["tested"]


KEYS = ["tested", "name", "n_sites", "in_domain", "tested.std", "formula", "index", "code"]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(["", "-"]), st.sampled_from(KEYS)), max_size=3, unique_by=lambda key: key[1]),
    st.integers(1, 40),
)  # fmt: skip
def test_pages_in_any_order_are_the_rows_sorted(
    tables: Tables, there: Sequence[Column], keys: list[tuple[str, str]], limit: int
) -> None:
    sort = ",".join(sign + name for sign, name in keys)
    rows = paged(tables, ask(there, None, sort, "index", None), limit)
    expected = sorted(ROWS, key=lambda row: row["index"])
    for sign, name in reversed(keys):
        known = [row for row in expected if row.get(name) is not None]
        known.sort(key=lambda row: row[name], reverse=sign == "-")
        if sign == "-":  # ties stay in the order they had
            known = sorted(
                [row for row in expected if row.get(name) is not None],
                key=lambda row: -rank(name, row),
            )
        expected = known + [row for row in expected if row.get(name) is None]
    assert indices(rows) == indices(expected)


def rank(name: str, row: dict[str, Any]) -> int:
    """The place of a row's value among all values of a column."""
    return sorted({one[name] for one in ROWS if one.get(name) is not None}).index(row[name])


def test_a_filter_an_order_and_a_bound_go_together(tables: Tables, there: Sequence[Column]) -> None:
    asked = ask(there, "in_domain and formula has Na", "-tested", "name,tested", 5)
    rows = paged(tables, asked, 2)
    kept = [row for row in ROWS if row.get("in_domain")]
    best = sorted(kept, key=lambda row: (-row["tested"], row["index"]))[:5]
    assert rows == [{"name": row["name"], "tested": row["tested"]} for row in best]
    assert tables.count(JOB, asked) == len(kept)


def test_a_page_is_not_moved_by_rows_that_come_later(
    tmp_path: Path, there: Sequence[Column]
) -> None:
    files = Files(tmp_path)
    put_shard(files.shards(JOB), 1, there, ROWS[10:20])
    tables = Tables(files, ServiceSettings(state=tmp_path))
    asked = ask(there, None, "-tested", "index,tested", None)
    first = tables.page(JOB, asked, None, 4)
    put_shard(files.shards(JOB), 0, there, ROWS[:10])
    rows = first.rows + tables.page(JOB, asked, first.cursor, 100).rows
    assert len(set(indices(rows))) == len(rows)
    assert set(indices(rows)) >= set(range(10, 20))
    tables.close()


def test_a_table_without_shards_is_empty(tmp_path: Path, there: Sequence[Column]) -> None:
    tables = Tables(Files(tmp_path), ServiceSettings(state=tmp_path))
    asked = ask(there, "in_domain", "-tested", None, None)
    assert tables.page(JOB, asked, None, 10).rows == []
    assert tables.count(JOB, asked) == 0
    path = tables.export(JOB, asked, "csv", "tag")
    assert path.read_text().splitlines()[0].startswith("index,name,formula")
    tables.close()


def test_files_of_each_form_hold_the_same(tables: Tables, there: Sequence[Column]) -> None:
    asked = ask(there, 'status = "failed" or tested < -4', "-tested,name", None, 12)
    rows = paged(tables, asked)
    assert len(rows) == 12
    lines = tables.export(JOB, asked, "jsonl", "a").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    with tables.export(JOB, asked, "csv", "a").open() as file:
        written = list(csv.DictReader(file))
    assert [int(row["index"]) for row in written] == indices(rows)
    assert written[0]["tested"] == str(rows[0]["tested"])
    kept = pq.read_table(tables.export(JOB, asked, "parquet", "a"))
    assert kept.column("index").to_pylist() == indices(rows)
    assert kept.schema.names == [column.name for column in there]


def test_a_file_without_an_order_has_that_of_the_source(
    tables: Tables, there: Sequence[Column]
) -> None:
    asked = ask(there, None, None, "index", None)
    lines = tables.export(JOB, asked, "jsonl", "b").read_text().splitlines()
    assert indices([json.loads(line) for line in lines]) == list(range(100))


def test_what_is_no_number_is_none(tmp_path: Path, there: Sequence[Column]) -> None:
    files = Files(tmp_path)
    rows = [row_of(index) | {"tested": value} for index, value in enumerate([float("nan"), 1.0, float("inf")])]  # fmt: skip
    put_shard(files.shards(JOB), 0, there, rows)
    tables = Tables(files, ServiceSettings(state=tmp_path))
    asked = ask(there, None, None, "tested", None)
    assert [row["tested"] for row in tables.page(JOB, asked, None, 5).rows] == [None, 1.0, None]
    lines = tables.export(JOB, asked, "jsonl", "a").read_text().splitlines()
    assert [json.loads(line)["tested"] for line in lines] == [None, 1.0, None]
    tables.close()


@pytest.mark.parametrize(
    ("question", "code", "words"),
    [
        ({"where": "tasted > 1"}, "unknown_column", "Did you mean `tested`?"),
        ({"where": "tested >"}, "invalid_filter", "sign 9"),
        ({"sort": "-tasted"}, "unknown_column", "Did you mean `tested`?"),
        ({"sort": "tested,-tested"}, "invalid_field", "once"),
        ({"sort": "warnings"}, "invalid_field", "no order"),
        ({"columns": "name,nome"}, "unknown_column", "nome"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_with_the_columns_there_are(
    there: Sequence[Column], question: dict[str, str], code: str, words: str
) -> None:
    given_ = {"where": None, "sort": None, "columns": None, "top": None} | question
    with pytest.raises(Problem) as caught:
        ask(there, **given_)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert words in f"{caught.value.detail} {caught.value.hint}"
    assert caught.value.members["columns"] == [column.name for column in there]


def test_a_cursor_that_was_changed_or_is_of_another_question_is_refused(
    tables: Tables, there: Sequence[Column]
) -> None:
    asked = ask(there, None, "-tested", None, None)
    cursor = tables.page(JOB, asked, None, 3).cursor
    assert cursor is not None
    other = ask(there, "in_domain", "-tested", None, None)
    cases = [(other, cursor), (asked, cursor[:-3]), (asked, cursor[:20] + "A" + cursor[21:]), (asked, ""),
             (asked, "%%%"), (asked, "é"), (asked, "A" * 999)]  # fmt: skip
    for question, wrong in cases:
        with pytest.raises(Problem) as caught:
            tables.page(JOB, question, wrong, 3)
        assert caught.value.code == "invalid_cursor"


def test_a_cursor_that_somebody_made_himself_is_refused(
    tables: Tables, there: Sequence[Column]
) -> None:
    asked = ask(there, None, "tested,name,in_domain", None, None)
    mark = marked(JOB, asked)
    for forged in (
        b"5", b"[" * 4000, [mark, 0, 0], [mark, "a", 0, 0, 1, "a", True], [mark, 0, 0, 0, 1, "a"],
        [mark, 0, 0, -1, 1, "a", True], [mark, 0, 0, 0, "a", 1, True], [mark, 0, 0, 0, 1, "a", 1],
        [mark, 0, 0, 0, {}, "a", True], [mark, 0, 0, 0, 1, "\ud800", True], [mark, 0, 0, 0, 10**400, "a", True],
    ):  # fmt: skip
        raw = forged if isinstance(forged, bytes) else json.dumps(forged).encode()
        with pytest.raises(Problem) as caught:
            tables.page(JOB, asked, base64.urlsafe_b64encode(checked(raw) + raw).decode(), 3)
        assert caught.value.code == "invalid_cursor"


@pytest.mark.parametrize("sort", ["tested", "-tested"])
def test_pages_hold_rows_once_also_where_a_column_holds_no_number(
    tmp_path: Path, there: Sequence[Column], sort: str
) -> None:
    values = [1.0, float("nan"), 2.0, None, float("inf"), float("-inf"), 0.0, float("nan")]
    rows = [row_of(index) | {"tested": value} for index, value in enumerate(values)]
    files = Files(tmp_path)
    put_shard(files.shards(JOB), 0, there, rows)
    tables = Tables(files, ServiceSettings(state=tmp_path))
    asked = ask(there, None, sort, "index", None)
    whole = indices(tables.page(JOB, asked, None, 100).rows)
    assert indices(paged(tables, asked, 1)) == whole
    assert sorted(whole) == list(range(8))
    tables.close()


class FullDisk:
    """A database that cannot write; its words are those that DuckDB has then."""

    def cursor(self) -> "FullDisk":
        return self

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""

    def interrupt(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def execute(self, *_: object) -> None:
        import duckdb

        raise duckdb.IOException('IO Error: Could not write file "x": No space left on device')


def test_a_full_disk_is_no_fault_of_ours(tmp_path: Path, there: Sequence[Column]) -> None:
    tables: Any = Tables(Files(tmp_path), ServiceSettings(state=tmp_path))
    tables._database = FullDisk()
    put_shard(tables.files.shards(JOB), 0, there, ROWS)
    with pytest.raises(Problem) as caught:
        tables.export(JOB, ask(there, None, None, None, None), "csv", "tag")
    assert caught.value.code == "storage_full"
    assert list(tables.files.exports().iterdir()) == []


def test_the_database_reaches_its_folders_only(
    tables: Tables, there: Sequence[Column], tmp_path: Path
) -> None:
    import duckdb

    outside = tmp_path / "secret.csv"
    outside.write_text("a\n1\n")
    tables.page(JOB, ask(there, None, None, None, None), None, 1)
    inside = tables.files.shards(JOB)
    for statement in (
        f"SELECT * FROM read_csv('{outside}')",
        f"SELECT * FROM read_csv('{inside}/../../../{outside}')",
        f"COPY (SELECT 1) TO '{outside}'",
        "SELECT * FROM read_text('/etc/hostname')",
        f"ATTACH '{tmp_path}/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_parquet('https://127.0.0.1:1/a.parquet')",
        "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SET threads = 64",
        "RESET lock_configuration",
        "SET allowed_directories = ['/']",
    ):
        with pytest.raises(duckdb.Error):
            tables._open().cursor().execute(statement)
    assert outside.read_text() == "a\n1\n"


def test_what_is_half_written_is_no_shard(tmp_path: Path, there: Sequence[Column]) -> None:
    files = Files(tmp_path / "state")
    put_shard(files.shards(JOB), 0, there, ROWS[:10])
    (files.shards(JOB) / ".00000001.parquet.1.77").write_bytes(b"half")
    (files.shards(JOB) / "other.parquet").write_bytes(b"no shard")
    tables = Tables(files, ServiceSettings(state=files.state))
    assert len(tables.shards(JOB)) == 1
    assert len(tables.page(JOB, ask(there, None, None, None, None), None, 100).rows) == 10
    tables.close()


def test_a_question_that_takes_too_long_is_given_up(tables: Tables) -> None:
    endless = Question("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", [])
    with pytest.raises(Problem) as caught:
        tables._rows(endless, 0.3)
    assert caught.value.code == "query_too_heavy"
    assert tables._rows(Question("SELECT 1", [])) == [(1,)]


def test_a_table_that_is_deleted_meanwhile_is_a_conflict(
    tmp_path: Path, there: Sequence[Column], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path)
    shard = put_shard(files.shards(JOB), 0, there, ROWS)
    tables = Tables(files, ServiceSettings(state=tmp_path))
    listed = tables.shards(JOB)
    shard.unlink()
    monkeypatch.setattr(tables, "shards", lambda _: listed)
    with pytest.raises(Problem) as caught:
        tables.page(JOB, ask(there, None, None, None, None), None, 10)
    assert caught.value.code == "conflict"
    tables.close()


def test_old_downloads_are_removed(tables: Tables, there: Sequence[Column]) -> None:
    import os

    asked = ask(there, None, None, "index", 1)
    old = tables.export(JOB, asked, "csv", "old")
    os.utime(old, (1, 1))
    tables.export(JOB, asked, "csv", "new")
    assert not old.exists()


def test_questions_bring_no_numbers_into_the_service(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from service.asked import Asked, ask, checked, marked
from service.settings import ServiceSettings
from service.table import Tables
from workers.columns import FIRST
from workers.files import Files
assert "duckdb" not in sys.modules
files = Files(Path(sys.argv[1]))
tables = Tables(files, ServiceSettings(state=files.state))
asked = ask(FIRST, 'name contains "s"', "-n_sites", None, None)
print(len(tables.page(sys.argv[2], asked, None, 50).rows), tables.count(sys.argv[2], asked))
tables.export(sys.argv[2], asked, "csv", "a")
print(*({"numpy", "pandas", "pyarrow", "torch"} & set(sys.modules)))
"""
    files = Files(tmp_path)
    from workers.columns import FIRST

    put_shard(files.shards(JOB), 0, FIRST, ROWS)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), JOB],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["50", "100"]
