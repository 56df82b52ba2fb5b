"""The command `matprop` against a small real server."""

import csv
import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.cli.start import checked, shown
from service.cli.watching import counts_of
from workers.machine import alone
from workers.supervisor import StartError

JOB = "job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"
Run = Callable[..., Any]


def record(index: int, name: str) -> dict[str, Any]:
    if "bad" in name:
        error = {
            "code": "unreadable_structure",
            "detail": "2 numbers where a position has 3",
            "place": "line 14",
            "hint": "write three numbers",
        }
        return {
            "index": index,
            "name": name,
            "status": "failed",
            "predictions": [],
            "error": error,
        }
    prediction = {
        "model": "fe@1",
        "property": "formation-energy",
        "value": -2.05,
        "unit": "eV/atom",
        "std": None,
    }
    if "metal" in name:
        prediction |= {
            "value": 0.03,
            "unit": "probability",
            "of_class": "metal",
            "label": "semiconductor",
        }
    if "sure" in name or "far" in name:
        prediction |= {
            "interval": [-2.3, -2.0] if "far" in name else [-2.14, -1.96],
            "level": 0.9, "std": 0.02, "in_domain": "far" not in name, "domain_score": 0.5,
            "reasons": ["It is far.", "2 sites of Tc."] if "far" in name else [],
        }  # fmt: skip
    return {
        "index": index,
        "name": name,
        "formula": "NaCl",
        "n_sites": 8,
        "status": "succeeded",
        "predictions": [prediction],
        "warnings": ["deuterium was read as H"] if "odd" in name else [],
    }


MODELS = {
    "models": [
        {
            "name": "fe",
            "latest": 2,
            "versions": [1, 2],
            "aliases": {"prod": 1},
            "title": "Formation energy",
            "family": "crystal",
            "origin": "released",
            "properties": [{"property": "formation-energy", "unit": "eV/atom"}],
            "metrics": {"test": {"mae": 0.0712}},
            "links": {},
        }
    ]
}


ELEMENTS = {
    "model": "fe@1",
    "kind": "contributions",
    "meaning": "The mean over sites.",
    "structures": 2,
    "perovskites": 0,
    "properties": [
        {
            "property": "formation-energy",
            "unit": "eV/atom",
            "tables": [
                {
                    "site": "any",
                    "elements": [
                        {"element": "Sr", "mean": 0.3, "std": None, "n": 1},
                        {"element": "Ti", "mean": -1.1, "std": 0.2, "n": 2},
                    ],
                }
            ],
        }
    ],
    "links": {},
}


class Service(BaseHTTPRequestHandler):
    """Answers every POST of files with a record a file."""

    last = ""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"])).decode()
        Service.last = content
        names = re.findall(r'filename="([^"]*)"', content)
        records = [record(i, Path(name).name) for i, name in enumerate(names)]
        links = {"self": "", "job": "", "results": "", "events": ""}
        self.answer({"job": JOB, "status": "succeeded", "records": records, "links": links})

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self.answer(MODELS)
        elif self.path == "/v1/models/fe@1/elements":
            self.answer(ELEMENTS)
        else:
            self.answer({"code": "not_found", "detail": "there is nothing here"}, 404)

    def answer(self, body: Any, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("MATPROP_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.chdir(tmp_path)
    for name in ("a.cif", "b.cif", "bad.cif", "odd.cif"):
        (tmp_path / name).write_text("data_x\n")

    def one(*words: str, stdin: str | None = None) -> Any:
        return CliRunner().invoke(app, list(words), input=stdin)

    yield one
    server.shutdown()
    server.server_close()


def test_a_table_is_for_people(run: Run) -> None:
    done = run("predict", "a.cif", "--model", "fe")
    assert done.exit_code == 0
    head, line = done.stdout.splitlines()
    assert head.split() == ["name", "formula", "value", "unit", "property", "model"]
    assert line.split() == ["a.cif", "NaCl", "-2.0500", "eV/atom", "formation-energy", "fe@1"]


@pytest.fixture
def unlike(tmp_path: Path) -> None:
    for name in ("sure.cif", "far.cif", "far2.cif"):
        (tmp_path / name).write_text("data_x\n")


def test_a_table_shows_intervals_marks_what_is_unlike_and_says_why(run: Run, unlike: None) -> None:
    head, *lines = run("predict", "sure.cif", "far.cif", "far2.cif", "-m", "fe").stdout.splitlines()
    assert "value ± 90 %" in head
    assert "-2.0500 ± 0.0900 " in lines[0]
    assert "!" not in lines[0]
    assert "-2.0500 (-2.3000 to -2.0000) !" in lines[1]
    assert lines[3:] == [
        "! far.cif and 1 more: unlike what fe@1 learned from", "    It is far.", "    2 sites of Tc.",
    ]  # fmt: skip


def test_csv_tells_how_far_to_trust_each_number(run: Run, unlike: None) -> None:
    done = run("predict", "a.cif", "sure.cif", "far.cif", "-m", "fe", "--csv")
    plain, sure, far = csv.DictReader(io.StringIO(done.stdout))
    known = ("low", "high", "level", "std")
    assert [plain[name] for name in (*known, "in_domain", "reasons")] == [""] * 6
    assert [sure[name] for name in known] == ["-2.14", "-1.96", "0.9", "0.02"]
    assert (sure["in_domain"], far["in_domain"]) == ("true", "false")
    assert far["reasons"] == "It is far. 2 sites of Tc."


def test_a_probability_is_told_with_its_class(run: Run, tmp_path: Path) -> None:
    (tmp_path / "metal.cif").write_text("data_x\n")
    assert " probability of metal " in run("predict", "metal.cif", "-m", "fe").stdout
    done = run("predict", "a.cif", "metal.cif", "-m", "fe", "--csv")
    plain, metal = csv.DictReader(io.StringIO(done.stdout))
    assert [plain["of_class"], plain["label"]] == ["", ""]
    assert [metal["of_class"], metal["label"]] == ["metal", "semiconductor"]


def test_the_level_and_what_to_include_are_handed_on(run: Run) -> None:
    run(
        "predict",
        "a.cif",
        "-m",
        "fe",
        "--level",
        "0.5",
        "--include",
        "neighbours",
        "--include",
        "sites,features",
        "--json",
    )
    assert 'name="level"\r\n\r\n0.5' in Service.last
    assert 'name="include"\r\n\r\nneighbours' in Service.last


def test_json_is_the_whole_records(run: Run) -> None:
    [one] = json.loads(run("predict", "a.cif", "-m", "fe", "--json").stdout)
    assert one["predictions"][0]["value"] == -2.05
    assert one["predictions"][0]["std"] is None
    assert "bonds" not in one["predictions"][0]


def test_csv_has_one_row_a_number(run: Run) -> None:
    done = run("predict", "a.cif", "b.cif", "-m", "fe", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["name"] for row in rows] == ["a.cif", "b.cif"]
    assert {row["unit"] for row in rows} == {"eV/atom"}


def test_some_failed_is_status_1_and_said_file_by_file_on_stderr(run: Run) -> None:
    done = run("predict", "a.cif", "bad.cif", "-m", "fe", "--csv")
    assert done.exit_code == 1
    assert "bad.cif (line 14): 2 numbers where" in done.stderr
    assert "write three numbers" in done.stderr
    assert "1 of 2 structures could not be predicted" in done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_a_file_that_is_not_there_fails_alone(run: Run) -> None:
    done = run("predict", "nope.cif", "a.cif", "no*pe.cif", "-m", "fe", "--json")
    assert done.exit_code == 1
    records = json.loads(done.stdout)
    assert [one["name"] for one in records] == ["a.cif", "nope.cif", "no*pe.cif"]
    assert [one["status"] for one in records] == ["succeeded", "failed", "failed"]
    assert [one["index"] for one in records] == [0, 1, 2]
    assert "nope.cif: There is no such file. [no_such_file]" in done.stderr
    assert run("predict", "nope.cif", "-m", "fe").exit_code == 1


def test_a_warning_is_said_without_failing(run: Run) -> None:
    done = run("predict", "odd.cif", "-m", "fe")
    assert done.exit_code == 0
    assert "deuterium was read as H" in done.stderr


def test_a_note_on_many_is_said_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd2.cif").write_text("data_x\n")
    told = run("predict", "odd.cif", "odd2.cif", "-m", "fe").stderr
    assert told == "odd.cif and 1 more: note: deuterium was read as H\n"


def test_patterns_and_folders_are_expanded(run: Run, tmp_path: Path) -> None:
    assert len(json.loads(run("predict", "*.cif", "-m", "fe", "--json").stdout)) == 4
    assert len(json.loads(run("predict", str(tmp_path), "-m", "fe", "--json").stdout)) == 4


def test_a_structure_can_come_from_stdin(run: Run) -> None:
    [one] = json.loads(run("predict", "-", "-m", "fe", "--json", stdin="data_x\n").stdout)
    assert one["name"] == "stdin"


def test_the_only_model_needs_no_name(run: Run) -> None:
    done = run("predict", "a.cif")
    assert done.exit_code == 0
    assert "model: fe" in done.stderr


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_the_ending_of_the_file_tells_its_form(run: Run, tmp_path: Path, ending: str) -> None:
    done = run("predict", "a.cif", "-m", "fe", "--out", f"out.{ending}")
    assert done.exit_code == 0
    start = {"csv": "name,", "json": "[\n", "jsonl": '{"index"'}[ending]
    assert (tmp_path / f"out.{ending}").read_text().startswith(start)


@pytest.mark.parametrize("out", ["nowhere/x.csv", "folder"])
def test_a_file_that_cannot_be_written_is_told_before_any_work(
    run: Run, tmp_path: Path, out: str
) -> None:
    (tmp_path / "folder").mkdir()
    done = run("predict", "missing.cif", "-m", "fe", "--out", out)
    assert done.exit_code == 2
    assert f"cannot write {out}" in done.stderr


def test_a_file_of_another_ending_is_refused_unless_its_form_is_said(
    run: Run, tmp_path: Path
) -> None:
    done = run("predict", "a.cif", "-m", "fe", "--out", "out.txt")
    assert done.exit_code == 2
    assert ".json, .jsonl, .csv" in done.stderr
    assert run("predict", "a.cif", "-m", "fe", "--out", "out.txt", "--table").exit_code == 0
    assert (tmp_path / "out.txt").read_text().startswith("name")


def test_a_failure_leaves_the_columns_narrow(run: Run) -> None:
    _, _, line = run("predict", "a.cif", "bad.cif", "-m", "fe").stdout.splitlines()
    assert line.split() == ["bad.cif", "failed", "unreadable_structure"]


def test_an_empty_name_is_not_the_working_folder(run: Run) -> None:
    assert run("predict", "", "-m", "fe").exit_code == 2


def test_an_event_is_told_in_words() -> None:
    assert counts_of({"status": "queued", "attempt": 0}) == "queued"
    assert counts_of({"status": "running", "attempt": 2}) == "running, attempt 2"
    assert counts_of({"done": 5, "total": 9, "failed": 1}) == "5 of 9, 1 failed"
    assert counts_of({"epoch": 3, "loss": 0.5}) == "epoch 3, loss 0.5"


def test_two_forms_at_once_are_wrong_usage(run: Run) -> None:
    assert run("predict", "a.cif", "-m", "fe", "--json", "--csv").exit_code == 2


def test_models_are_listed_with_what_they_predict(run: Run) -> None:
    told = run("models").stdout
    assert "formation-energy in eV/atom" in told
    assert "mae 0.0712 eV/atom" in told
    assert "@prod = 1" in told


def test_elements_are_told_with_what_the_numbers_are(run: Run) -> None:
    told = run("models", "elements", "fe@1").stdout
    assert told.index("Ti") < told.index("Sr"), "the lowest first"
    assert "-1.1000" in told
    assert told.endswith("The mean over sites.\n")


def test_a_new_key_is_long_and_never_the_same(run: Run) -> None:
    first, second = run("keys", "new").stdout, run("keys", "new").stdout
    assert first != second
    assert len(first.strip()) > 40


def test_up_refuses_a_taken_port_before_it_starts_anything(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("up", "--port", str(taken.getsockname()[1]), "--state", "state")
    assert done.exit_code == 1
    assert "address already in use" in done.stderr
    assert "--port 0" in done.stderr
    assert not (tmp_path / "state" / "broker").exists()


def test_up_refuses_a_state_folder_in_use(run: Run, tmp_path: Path) -> None:
    with alone(tmp_path / "state"):
        done = run("up", "--port", "0", "--state", "state")
    assert done.exit_code == 1
    assert "another `matprop up`" in done.stderr


def test_up_tells_when_the_users_own_broker_is_away(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATPROP_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    done = run("up", "--port", "0", "--state", "state")
    assert done.exit_code == 1
    assert "no broker answers at redis://:…@127.0.0.1:1/0 (MATPROP_REDIS_URL)" in done.stderr


def test_a_bad_setting_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATPROP_BATCH_EDGES", "many")
    with pytest.raises(StartError, match="MATPROP_BATCH_EDGES"):
        checked({})


def test_an_address_others_reach_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATPROP_ADMIN_KEY", raising=False)
    with pytest.raises(StartError, match=r"MATPROP_ADMIN_KEY=\$\(matprop keys new\)"):
        checked({"host": "0.0.0.0"})
    monkeypatch.setenv("MATPROP_ADMIN_KEY", "mp_0123456789abcdef")
    assert checked({"host": "0.0.0.0"}).admin_key is not None


def test_a_brokers_password_is_not_shown() -> None:
    assert shown("redis://me:secret@host:6379/0") == "redis://me:…@host:6379/0"
