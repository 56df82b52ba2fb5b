from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import paper_tables
from benchmarks.paper_tables import TABLES, chosen, study
from benchmarks.papers import doing
from benchmarks.papers.document import FOLDER, document
from benchmarks.papers.figures import Results
from benchmarks.papers.keeping import keep, results
from benchmarks.papers.run import Run, Size
from benchmarks.papers.sources import Pairs, Set
from benchmarks.papers.table import Cell, Line, Table
from models.training import checkpoints

NEAR = Pairs("dimer_distance", seen=((1.0, 2.0),))
SMALL = Size(4, 24)
TINY = Run("tiny/near", NEAR, SMALL, SMALL, {"pixels": 8, "reducing_layers": 1, "hidden_width": 4})


def test_a_key_tells_apart_whatever_makes_another_result() -> None:
    key = TINY.key("short", 0, 24, "data")

    assert key == replace(TINY, name="another").key("short", 0, 24, "data")
    others = [
        TINY.key("short", 1, 24, "data"),
        TINY.key("short", 0, 25, "data"),
        TINY.key("short", 0, 24, "other data"),
        replace(TINY, short=Size(5, 24)).key("short", 0, 24, "data"),
        replace(TINY, settings={"pixels": 16}).key("short", 0, 24, "data"),
        replace(TINY, source=Pairs("dimer_energy", seen=NEAR.seen)).key("short", 0, 24, "data"),
        replace(TINY, method="random forest").key("short", 0, 24, "data"),
    ]
    assert len({key, *others}) == len(others) + 1


def test_runs_of_one_name_are_one_run() -> None:
    by_name: dict[str, Run] = {}
    for table in TABLES:
        for run in (cell.run for line in table.lines for cell in line.cells):
            assert by_name.setdefault(run.name, run) == run
    assert len({table.name for table in TABLES}) == len(TABLES)


def test_runs_are_chosen_by_table_or_by_the_beginning_of_a_name() -> None:
    assert [run.name for run in chosen(["dimers/grid/32", "beyond"])] == [
        "dimers/grid/32", "dimers/range/1-2", "dimers/range/2-3", "dimers/range/gap",
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="nonsense"):
        chosen(["nonsense"])


def test_settings_of_all_runs_are_possible() -> None:
    for run in paper_tables.every():
        for size in ("short", "full"):
            assert doing.settings(run, size).training.epochs == run.size(size).epochs


def test_pairs_are_learned_within_and_judged_beyond() -> None:
    lines = NEAR.lines(Path(), 100, 0)

    parts = {part: [each for each, of in zip(lines.labels, lines.parts, strict=True) if of == part] for part in set(lines.parts)}  # fmt: skip
    assert set(parts) == {"train", "val", "test", "beyond"}
    assert max(parts["train"] + parts["val"] + parts["test"]) <= 2 < min(parts["beyond"])
    assert len(parts["train"]) == pytest.approx(100, abs=15)


def _crystals(folder: Path, folds: int) -> Set:
    chance = np.random.default_rng(0)
    rows = [
        {
            "id": f"crystal-{at}",
            "lattice": (np.eye(3) * (3 + at / 10)).ravel().tolist(),
            "numbers": [11, 17],
            "frac_coords": [0.0, 0.0, 0.0, 0.5, 0.5, 0.5],
            "cv_fold": at % folds,
            "charge": chance.normal(size=2).tolist(),
        }
        for at in range(12)
    ]
    (folder / "some").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "some" / "structures.parquet")
    return Set("charge", "some", "e", lambda row: row.figures["charge"], "site", folds=folds)


def test_every_row_is_judged_in_one_fold(tmp_path: Path) -> None:
    source = _crystals(tmp_path, 4)

    judged = [
        row.structure.name
        for fold in range(4)
        for row, part in zip(*_rows_and_parts(source, tmp_path, fold), strict=True)
        if part == "test"
    ]
    assert sorted(judged) == sorted(f"crystal-{at}" for at in range(12))


def _rows_and_parts(source: Set, data: Path, fold: int) -> tuple[Any, Any]:
    lines = source.lines(data, None, fold)
    return lines.rows, lines.parts


def test_folds_are_learned_beside_their_baselines(tmp_path: Path) -> None:
    size = Size(1, None, (0, 1))
    run = Run("some/charge", _crystals(tmp_path, 4), size, size, {"width": 4, "site_width": 4})
    study([run], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")

    found = results(tmp_path / "r.jsonl")
    assert [each["seed"] for each in found] == [0, 1]
    assert {"mean", "element average", "mlp"} == set(found[0]["baselines"])
    assert (found[0]["n"]["train"], found[0]["n"]["test"]) == (6, 3)


def test_a_set_that_is_not_there_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study(chosen(["bonds/best"]), "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")

    assert "left out" in capsys.readouterr().out
    assert results(tmp_path / "r.jsonl") == []


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doing, "CHECKPOINT_S", -1)
    monkeypatch.setattr("time.process_time", map(float, count()).__next__)
    study([TINY], "short", tmp_path, tmp_path / "whole.jsonl", tmp_path / "state")
    write, written = checkpoints.write, []

    def killed(path: Path, state: dict[str, Any]) -> None:
        write(path, state)
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        study([TINY], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")
    assert results(tmp_path / "r.jsonl") == []
    assert written[-1].exists()

    study([TINY], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")
    (whole,), (found,) = results(tmp_path / "whole.jsonl"), results(tmp_path / "r.jsonl")
    assert len(written) == 4  # two epochs were left
    assert (found["key"], found["figures"]) == (whole["key"], whole["figures"])
    assert found["processor_s"] == whole["processor_s"] == 5
    assert not written[-1].exists()


def test_what_is_there_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study([TINY], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")
    before = (tmp_path / "r.jsonl").read_bytes()
    monkeypatch.setattr(paper_tables, "done", None)

    study([TINY], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")
    assert (tmp_path / "r.jsonl").read_bytes() == before


def test_a_run_that_fails_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(run: Run, *given: Any, **named: Any) -> Any:
        if run.method != "network":
            raise ModuleNotFoundError("No module named 'sklearn'")
        return doing.done(run, *given, **named)

    monkeypatch.setattr(paper_tables, "done", failing)
    classic = replace(TINY, name="tiny/forest", method="random forest")
    study([classic, TINY], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")

    assert "failed: No module named 'sklearn'" in capsys.readouterr().out
    assert [each["name"] for each in results(tmp_path / "r.jsonl")] == ["tiny/near"]


def test_answers_beyond_what_was_seen_are_told_and_flagged(tmp_path: Path) -> None:
    more = replace(TINY, short=Size(4, 400))
    study([more], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")

    (found,) = results(tmp_path / "r.jsonl")
    assert 1 <= found["beyond"]["seen"][0] < found["beyond"]["seen"][1] <= 2
    assert found["beyond"]["nearest_seen_mae"] == pytest.approx(0.5, abs=0.2)
    assert found["n"]["beyond"] > 0
    assert found["beyond"]["flagged"]["test"] < 0.2
    assert found["beyond"]["flagged"]["beyond"] > 0.8
    known = Results([found | {"size": "full"}])
    assert known.value(Cell(TINY, "flagged beyond")) == found["beyond"]["flagged"]["beyond"]


def test_the_classic_methods_read_pixels(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    run = replace(TINY, short=Size(1, 200, settings={"pixels": 32}), method="kernel ridge, linear")
    study([run], "short", tmp_path, tmp_path / "r.jsonl", tmp_path / "state")

    (found,) = results(tmp_path / "r.jsonl")
    assert found["figures"]["test"]["mae"] < 0.1  # of the mean it is 0.25
    assert found["epochs"] is None


def test_a_line_that_was_half_written_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"key": "a"}\n{"key": ')
    keep({"key": "b"}, path)

    assert results(path) == [{"key": "a"}, {"key": "b"}]


def _result(seed: int, mae: float, size: str = "short", n: int = 24) -> dict[str, Any]:
    return {
        "name": TINY.name, "size": size, "seed": seed, "epochs": 4, "seconds": 36.0, "baselines": {"mlp": {"mae": 0.7}},
        "n": {"train": n, "val": 3, "test": 10, "beyond": 30, "all_train": n}, "figures": {"test": {"mae": mae}, "beyond": {"mae": 0.5}},
    }  # fmt: skip


def test_seeds_become_a_mean_and_a_deviation() -> None:
    table = Table("tiny", "Tiny", "Text.", ("error",), (Line("near", (Cell(TINY),), "0.1", 99),))
    drawn = document([table], [_result(0, 0.2), _result(1, 0.4)])["papers.md"]

    assert "| near | 0.300 ± 0.14 | 0.1 | 99 | 24 | 10 | 4 | shortened, 2 seeds | 1.2 |" in drawn


def test_of_the_same_seed_the_last_holds_and_full_runs_replace_shortened_ones() -> None:
    again = Results([_result(0, 0.2), _result(1, 0.2), _result(0, 0.4)])
    full = Results([_result(0, 0.2), _result(0, 0.1, "full"), _result(1, 0.2)])

    assert again.value(Cell(TINY)) == pytest.approx(0.3)
    assert full.value(Cell(TINY)) == 0.1


def test_figures_of_baselines_and_of_the_whole_range() -> None:
    known = Results([_result(0, 0.1)])

    assert known.value(Cell(TINY, "mlp/mae")) == 0.7
    assert known.value(Cell(TINY, "whole range")) == pytest.approx(0.4)
    assert known.value(Cell(TINY, "metal mean/mae")) is None


def test_what_was_not_run_is_said_and_its_time_follows_from_others() -> None:
    large = replace(TINY, name="tiny/large", full=Size(8, 2400, (0, 1), {"pixels": 16}))
    table = Table(
        "tiny", "Tiny", "Text.", ("error",),
        (Line("near", (Cell(TINY),)), Line("large", (Cell(large),))),
        curve="error",
    )  # fmt: skip
    drawn = document([table], [_result(0, 0.2)])

    assert "| large | not run yet |" in drawn["papers.md"]
    # 36 s; twice the epochs, a hundred times the rows, four times the pixels, two seeds, and the small one once.
    assert "| `tiny` | 3 | 16 |" in drawn["papers.md"]
    assert "papers-tiny.svg" not in drawn  # one point is no curve


def test_a_learning_curve_falls_to_the_right() -> None:
    more = replace(TINY, name="tiny/more")
    table = Table(
        "tiny", "Tiny", "Text.", ("error",),
        (Line("24", (Cell(TINY),)), Line("240", (Cell(more),))),
        curve="error",
    )  # fmt: skip
    drawn = document([table], [_result(0, 0.2), {**_result(0, 0.1, n=240), "name": "tiny/more"}])
    picture = drawn["papers-tiny.svg"]

    (x1, y1), (x2, y2) = (
        map(float, point.split(",")) for point in picture.split('points="')[1].split('"')[0].split()
    )
    assert x1 < x2
    assert y1 < y2  # downwards
    assert "![Tiny](papers-tiny.svg)" in drawn["papers.md"]


def test_the_committed_page_is_drawn_from_the_committed_results() -> None:
    for name, text in document(TABLES, results()).items():
        assert (FOLDER / name).read_text() == text
