from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.make import app

CLI = CliRunner()


def test_dimers_are_made_into_the_file_that_was_named(tmp_path: Path) -> None:
    out = tmp_path / "dimers.extxyz"
    result = CLI.invoke(app, ["dimers", "--count", "3", "--out", str(out), "--dimensions", "3"])

    assert result.exit_code == 0, result.output
    assert out.read_text().count("distance=") == 3


def test_the_same_seed_makes_the_same_sheets_however_many_processes(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    small = ["--count", "3", "--columns", "2", "--rows", "2", "--kinds", "hbn"]
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for processes, out in enumerate(files, 1):
        words = ["sheets", *small, "--processes", str(processes), "--out", str(out)]
        assert CLI.invoke(app, words).exit_code == 0

    assert files[0].read_text() == files[1].read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--longest", "9"], "shortest < longest"),
        (["--out", "dimers.csv"], ".parquet"),
        (["--out", "nowhere/dimers.jsonl"], "No such file or directory"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CLI.invoke(app, ["dimers", "--count", "3", "--out", "dimers.jsonl", *words])

    assert result.exit_code == 1
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
