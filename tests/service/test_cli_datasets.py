"""`matprop datasets` against a service whose worker is played."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.client_errors import ServiceError


@pytest.fixture
def desk(open_door: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with open_door() as door:
        monkeypatch.setenv("MATPROP_URL", door.url)
        yield door


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "moduli.zip"
    path.write_bytes(b"rows")
    return path


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["datasets", *words])


def test_a_set_is_added_and_told_of(desk: Any, file: Path) -> None:
    done = run(
        "add", str(file), "--name", "mine", "--columns", "band_gap, phase", "--good-share", "0.5"
    )
    assert done.exit_code == 0, done.output
    assert "60 rows" in done.stdout
    assert "band_gap" in done.stdout
    (order,) = desk.worker.orders.values()
    assert (order["columns"], order["good_share"]) == (["band_gap", "phase"], 0.5)


def test_sets_are_listed_and_shown_as_a_table_and_as_json(desk: Any, file: Path) -> None:
    run("add", str(file))
    assert "moduli" in run("list").stdout.splitlines()[1]
    assert json.loads(run("list", "--json").stdout)[0]["name"] == "moduli"
    assert json.loads(run("show", "moduli", "--json").stdout)["rows"] == 60
    assert "hardness" in run("show", "moduli").stdout


def test_a_report_names_every_bad_row(desk: Any, file: Path) -> None:
    run("add", str(file))
    assert run("report", "moduli").stdout.splitlines() == ["row 1  a  empty_input: Nothing."] * 3
    assert json.loads(run("report", "moduli", "--json").stdout.splitlines()[0])["row"] == 1


def test_a_deleted_set_is_gone(desk: Any, file: Path) -> None:
    run("add", str(file))
    assert run("delete", "moduli").stdout == "moduli is deleted\n"
    assert isinstance(run("show", "moduli").exception, ServiceError)


def test_a_set_that_was_refused_says_why(desk: Any, file: Path) -> None:
    file.write_bytes(b"bad")
    assert "cannot be used" in str(run("add", str(file)).exception)
