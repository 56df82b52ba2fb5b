"""Screenings from Python and from the command line, against a service whose worker is played."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from service.cli import screen
from service.cli.main import app
from service.client import Client, Progress
from service.client_errors import InvalidRequest, JobCancelled, NotFound, UnreadableInput
from tests.service.conftest import put_dataset
from tests.service.shards import row_of
from tests.service.test_client import JOB, client_of

CIF = "data_x\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty files."""
    made = tmp_path_factory.mktemp("cifs")
    for number in range(30):
        (made / f"s-{number:02d}.cif").write_text(CIF)
    return made


@pytest.fixture
def client(door: Any) -> Iterator[Client]:
    with Client(door.url) as made:
        yield made


def run(door: Any, *words: str) -> Any:
    return CliRunner().invoke(app, list(words), env={"MATPROP_URL": door.url})


def test_a_folder_is_screened_and_its_table_read(client: Client, folder: Path) -> None:
    heard: list[Progress] = []
    rows = client.screen(folder, "tested", progress=heard.append, label="mine")
    found = list(rows)
    assert len(found) == 30
    assert found[9]["error"]["code"] == "unreadable_structure"
    assert rows.count() == 30


def test_questions_are_asked_of_the_table(client: Client, folder: Path) -> None:
    job = client.submit_screening(folder, ["tested"], level=0.8, primitive=True)
    client.resume_screening(job)
    best = client.screened(
        job, where="in_domain and tested < 0", sort=["-tested", "name"], top=4, columns=["name", "tested"]
    )  # fmt: skip
    values = [row["tested"] for row in best]
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    assert best.count() > 4
    assert list(best.to_pandas().columns) == ["name", "tested"]
    assert [one.index for one in client.screening_errors(job)] == [9, 19, 29]
    assert "tested.std" in [one.name for one in client.screening_columns(job)]
    view = client.screening(job)
    assert (view.level, view.primitive, view.complete) == (0.8, True, True)


def test_a_data_set_is_screened(client: Client, door: Any) -> None:
    made = put_dataset(door.settings.state, "set_01JD3Q5T8Z6M4W2K7N9V1X3B5D", name="candidates")
    job = client.submit_screening(dataset="candidates", model="tested")
    assert client.screening(job).dataset == made
    assert len(list(client.resume_screening(job))) == 25


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_table_is_saved_as_a_file(
    client: Client, folder: Path, tmp_path: Path, ending: str
) -> None:
    rows = client.screen(folder, "tested")
    saved = rows.save(tmp_path / f"table.{ending}")
    count = {
        "csv": lambda: len(list(csv.DictReader(saved.read_text().splitlines()))),
        "jsonl": lambda: len(saved.read_text().splitlines()),
        "parquet": lambda: pq.read_table(saved).num_rows,
    }[ending]()
    assert count == 30
    assert [one.name for one in tmp_path.iterdir()] == [saved.name]


def test_what_cannot_be_done_is_said_before_it_is_sent(client: Client, folder: Path) -> None:
    with pytest.raises(UnreadableInput, match="csv"):
        client.screened(JOB).save("table.xlsx")
    with pytest.raises(UnreadableInput, match="one source"):
        client.submit_screening(folder, "tested", dataset="a")
    with pytest.raises(NotFound):
        list(client.screened(JOB))


def test_a_question_that_cannot_be_asked_is_refused(client: Client, folder: Path) -> None:
    job = client.submit_screening(folder, "tested")
    with pytest.raises(InvalidRequest, match="Did you mean `tested`"):
        list(client.screened(job, where="tasted > 1"))


def test_a_cancelled_screening_keeps_its_rows(client: Client, folder: Path) -> None:
    job = client.submit_screening(folder, "tested", label="halfway")
    while not client.job(job).progress.done:
        pass
    client.cancel(job)
    with pytest.raises(JobCancelled):
        client.resume_screening(job)
    assert len(list(client.screened(job))) == 30


def test_a_download_goes_on_where_it_broke(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    asked: list[str | None] = []

    class Broken(httpx2.SyncByteStream):
        def __init__(self, part: bytes) -> None:
            self.part = part

        def __iter__(self) -> Iterator[bytes]:
            yield self.part
            raise httpx2.ReadError("cut")

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("Range"))
        start = int((asked[-1] or "bytes=0-")[6:-1])
        if start:
            assert request.headers["If-Range"] == '"tag"'
        headers, status = {"ETag": '"tag"'}, 206 if start else 200
        if len(asked) < 3:
            return httpx2.Response(
                status, headers=headers, stream=Broken(content[start : start + 1000])
            )
        return httpx2.Response(status, headers=headers, content=content[start:])

    client, slept = client_of(handler)
    saved = client.screened(JOB).save(tmp_path / "table.csv")
    assert saved.read_bytes() == content
    assert asked == [None, "bytes=1000-", "bytes=2000-"]
    assert len(slept) == 2


# The command line


def test_screen_shows_the_best_rows(door: Any, folder: Path) -> None:
    done = run(door, "screen", str(folder), "-m", "tested", "-w", "in_domain", "--sort", "-tested", "--top", "3")  # fmt: skip
    assert done.exit_code == 0, done.output
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["name", "formula", "in_domain", "tested"]
    values = [float(line.split()[-1]) for line in lines]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    assert "3 of 30 structures failed: matprop screenings errors job_" in done.stderr


def test_screen_tells_by_its_status_that_all_failed(
    door: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.service.conftest.row_of", lambda at, model: row_of(9, model) | {"index": at}
    )
    done = run(door, "screen", str(folder), "-m", "tested")
    assert done.exit_code == 1
    assert "30 of 30 structures failed" in done.stderr


def test_screen_writes_a_file(door: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.parquet"
    done = run(door, "screen", str(folder), "-m", "tested", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert pq.read_table(out).num_rows == 30


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-m", "tested"], "one of them"),
        (["x.cif", "--dataset", "y", "-m", "tested"], "one of them"),
        (["x.cif", "-m", "tested", "--out", "table.xlsx"], ".parquet"),
        (["x.cif", "-m", "tested", "--out", "/no/where/t.csv"], "no folder"),
    ],
)
def test_screen_refuses_what_cannot_be(door: Any, words: list[str], told: str) -> None:
    done = run(door, "screen", *words)
    assert done.exit_code == 2
    assert told in done.output.replace("\n", " ")


def test_a_wrong_question_is_told_at_once_and_the_screening_goes_on(
    door: Any, folder: Path
) -> None:
    done = run(door, "screen", str(folder), "-m", "tested", "-w", "tasted > 1")
    assert isinstance(done.exception, InvalidRequest)
    assert "screening" in done.stderr


def test_detach_prints_the_job_and_results_reads_it(door: Any, folder: Path) -> None:
    job = run(door, "screen", str(folder), "-m", "tested", "--detach").stdout.strip()
    with Client(door.url) as client:
        client.resume_screening(job)
    lines = run(door, "screenings", "results", job, "--json", "--top", "2").stdout.splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1]
    table = run(door, "screenings", "results", job)
    assert len(table.stdout.splitlines()) == 1 + screen.SHOWN
    assert f"{screen.SHOWN} of 30 rows" in table.stderr
    assert "no rows" in run(door, "screenings", "results", job, "-w", "index > 99").stderr
    assert "It is bad." in run(door, "screenings", "errors", job).stdout
    assert (
        json.loads(run(door, "screenings", "errors", job, "--json").stdout.splitlines()[0])["index"]
        == 9
    )
    assert "eV/atom" in run(door, "screenings", "columns", job).stdout
    assert job in run(door, "screenings", "list").stdout


def test_ctrl_c_leaves_the_screening_running(
    door: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "resume_screening", interrupted)
    done = run(door, "screen", str(folder), "-m", "tested", "--label", "halfway")
    assert done.exit_code == 130
    assert "matprop screenings results job_" in done.stderr
    job = done.stderr.split()[0].rstrip(":")
    with Client(door.url) as client:
        assert client.job(job).status in ("queued", "running")
        client.cancel(job)


def test_what_failed_is_done_again_and_all_is_forgotten_by_command(
    door: Any, client: Client, folder: Path
) -> None:
    job = client.screen(folder, "tested").job
    again = run(door, "jobs", "retry", job)
    assert again.exit_code == 0, again.output
    assert client.job(again.output.strip()).retry_of == job
    assert run(door, "jobs", "delete", job).exit_code == 0
    with pytest.raises(NotFound):
        client.job(job)
