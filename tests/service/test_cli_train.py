"""`matprop train` and `matprop evaluate` against a service whose worker is played."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.cli.train import figures, judged
from service.cli.watching import figures_of, line_of, minutes
from service.client import Client, Event
from service.client_errors import InvalidRequest, JobFailed, ServiceError
from tests.service.labelled import SET


@pytest.fixture
def desk(
    open_door: Any, put_set: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    put_set(tmp_path / "state")
    with open_door() as door:
        monkeypatch.setenv("MATPROP_URL", door.url)
        yield door


def run(*words: str) -> Any:
    return CliRunner().invoke(app, [*words])


def test_a_file_that_is_not_there_is_called_so(desk: Any) -> None:
    refused = run("train", "nofile.zip", "--target", "band_gap")
    assert "'nofile.zip' is neither a file here nor a data set there." in str(refused.exception)


def test_trials_without_a_search_are_refused(desk: Any) -> None:
    refused = run("train", SET, "--target", "band_gap", "--trials", "3")
    assert refused.exit_code == 2
    assert "--search" in refused.output


def test_a_model_whose_data_set_is_not_there_has_no_learning_curve_and_that_is_told(
    desk: Any,
) -> None:
    refused = run("evaluate", "formation-energy", "--sizes", "10,20")
    assert isinstance(refused.exception, ServiceError)
    assert refused.exception.code == "unknown_dataset"
    assert "was trained on is not kept here" in str(refused.exception)


def test_a_deleted_model_is_gone(desk: Any) -> None:
    for _ in range(3):
        run("train", SET, "--target", "band_gap")
    name = "hard-things-band-gap"
    assert run("models", "delete", f"{name}@2").stdout == f"{name}@2 is deleted\n"
    assert desk.client.get(f"/v1/models/{name}").json()["versions"] == [3, 1]
    run("models", "alias", name, "prod", "1")
    refused = run("models", "delete", name)
    assert isinstance(refused.exception, ServiceError)
    assert "prod" in str(refused.exception)
    assert run("models", "unalias", name, "prod").stdout == f"{name}@prod is forgotten\n"
    assert run("models", "delete", name).exit_code == 0
    assert desk.client.get(f"/v1/models/{name}").status_code == 404


def test_a_training_ends_with_a_table_and_the_way_to_predict(desk: Any) -> None:
    done = run("train", SET, "--target", "band_gap")
    assert done.exit_code == 0, done.output
    assert re.search(r"network, test +0\.1000", done.stdout)
    assert re.search(r"mean, test +0\.4000", done.stdout)
    assert "mae (eV)" in done.stdout
    assert "matprop predict FILE --model hard-things-band-gap" in done.stdout
    assert "epoch 1/3: loss 0.5000, val mae 0.2000, rate 0.001, 0:02 left" in done.stderr


def test_the_table_of_an_ensemble_tells_of_its_members_and_its_intervals(desk: Any) -> None:
    job = run("train", SET, "-t", "band_gap", "--members", "2", "--detach").stdout.strip()
    mae = {"test": {"mae": {"mean": 0.2, "std": 0.01}}}
    trust = {"intervals": [{"judged": 30, "coverage": {"0.9": 0.875}}]}
    with Client() as client:
        view = client.training(job)
    result = {"metrics": {"test": {"mae": 0.1}}, "spread": mae, "trust": trust}
    text = figures(view.model_copy(update={"result": result}))
    assert re.search(r"ensemble, test +0\.1000", text)
    assert re.search(r"each member, test +0\.2000 ± 0\.0100", text)
    assert (
        "90 % intervals of band-gap hold the true value of 87.5% of the 30 test structures" in text
    )


def test_every_option_reaches_the_order(desk: Any, tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"width": [8, 16]}))
    done = run(
        "train", "Hard things", "-t", "hardness", "--unit", "GPa", "--property", "vickers",
        "--set", "epochs=50", "--set", "optimiser=adam", "--register-as", "hard", "--seeds", "0,1",
        "--split", "composition", "--val", "0.2", "--recipe", "paper", "--search", str(space),
        "--trials", "3", "--rows", "20", "--title", "T", "--label", "L", "--detach",
    )  # fmt: skip
    job = done.stdout.strip()
    with Client() as client:
        view = client.training(job)
    assert (view.register_as, view.recipe, view.seeds, view.rows) == ("hard", "paper", [0, 1], 20)
    assert (view.targets[0].property, view.targets[0].unit) == ("vickers", "GPa")
    assert (view.settings["epochs"], view.settings["optimiser"]) == (50, "adam")
    assert (view.split["by"], view.split["val"]) == ("composition", 0.2)
    assert view.search is not None
    assert view.search["trials"] == 3
    assert (view.title, view.job.label) == ("T", "L")


def test_a_split_names_its_column(desk: Any) -> None:
    done = run("train", SET, "-t", "band_gap", "--split", "group:colour", "--detach")
    assert isinstance(done.exception, InvalidRequest)
    assert done.exception.errors[0]["pointer"] == "/split/column"


def test_a_failed_training_is_status_1(desk: Any) -> None:
    done = run("train", SET, "-t", "band_gap", "--label", "diverges")
    assert done.exit_code == 1
    assert "The loss is no number any more. [diverged]" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "epochs"),
        ("--seeds", "one"),
        ("--unit", "eV", "--unit", "eV"),
        ("--search", "nowhere.json"),
        ("--devices", "0"),
    ],
)
def test_wrong_usage_is_status_2(desk: Any, words: tuple[str, ...]) -> None:
    assert run("train", SET, "-t", "band_gap", *words).exit_code == 2


def test_a_job_can_be_watched_later(desk: Any) -> None:
    job = run("train", SET, "-t", "band_gap", "--detach").stdout.strip()
    done = run("jobs", "watch", job)
    assert done.exit_code == 0
    assert "epoch 1/3" in done.stdout


def test_a_model_is_judged(desk: Any) -> None:
    told = run("evaluate", "tested", SET, "--column", "formation-energy-per-atom=band_gap")
    assert told.exit_code == 0, told.output
    assert re.search(r"all +0\.1000", told.stdout)
    assert re.search(r"row-1 +band-gap +1\.0000 +2\.0000 +1\.0000", told.stdout)
    assert "note: trained on it" in told.stdout


def test_a_learning_curve_is_a_table() -> None:
    points = [
        {"rows": 10, "metrics": {"test": {"mae": 0.5}}, "error": None},
        {"rows": 30, "metrics": None, "error": {"code": "diverged"}},
    ]
    lines = judged({"curve": points}).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["10", "rows", "0.5000"],
        ["30", "rows", "diverged"],
    ]


def test_an_event_is_told_in_words() -> None:
    metric = {
        "seed": 1,
        "epoch": 2,
        "epochs": 9,
        "loss": 0.5,
        "figures": {"rmse": 0.5, "mae": 0.25},
    }
    assert line_of(Event("1", "metric", metric)) == "seed 1, epoch 2/9: loss 0.5000, val mae 0.2500"
    assert line_of(Event("1", "log", {"text": "30 rows"})) == "30 rows"
    assert line_of(Event("1", "status", {"status": "running", "attempt": 1})) == "running"
    assert figures_of({"eta_s": 3700}) == "1:01:40 left"
    assert minutes(59.6) == "1:00"


def test_the_client_trains_and_waits(desk: Any) -> None:
    heard: list[Event] = []
    with Client() as client:
        made = client.train(SET, "band_gap", settings={"epochs": 3}, progress=heard.append)
        assert made.id == "hard-things-band-gap@1"
        assert [one.model for one in client.trainings()] == [made.id]
    assert [event.data["loss"] for event in heard if event.kind == "metric"] == [0.5]
    assert heard[-1].kind == "done"


def test_the_client_judges(desk: Any) -> None:
    with Client() as client:
        view = client.evaluate("tested", SET, columns={"formation-energy-per-atom": "band_gap"})
    assert view.result is not None
    assert view.result["metrics"] == {"mae": 0.1}


def test_the_client_raises_what_went_wrong(desk: Any) -> None:
    with Client() as client:
        with pytest.raises(InvalidRequest, match="no column"):
            client.train(SET, "bandgap")
        with pytest.raises(JobFailed, match="no number any more"):
            client.train(SET, "band_gap", label="diverges")
