"""The program that a worker runs, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from models.card import Card, Learned, learned
from models.checkpoint import load_networks
from models.errors import BadSetting
from models.settings.network import NetworkSettings, SiteNetworkSettings
from models.settings.training import TrainingSettings
from models.training.course import Work, learn
from models.training.judge import judge
from models.training.parts import chosen
from models.training.plan import Division, Plan
from models.training.reports import Reports

Ordered = Callable[..., Path]
TARGET = {"column": "energy", "property": "formation-energy-per-atom", "unit": "eV/atom"}
NETWORK = NetworkSettings(convolutions=1, width=8, hidden_width=8).model_dump(mode="json")
TRAINING = TrainingSettings(epochs=4, batch_size=8).model_dump(mode="json")
LONG = {"epochs": 100_000}


def started(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "models.training.program", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def run(folder: Path) -> dict[str, Any]:
    """Its result, from a training in this process."""
    learn(Work.of(folder), lambda: False)
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def ended(process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    """The result that a process has left."""
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "metric"]


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[str]) -> None:
    while not list(folder.glob("checkpoint/*.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def wait_for_epochs(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    """Read the reports until so many epochs are over."""
    while not ((folder / "reports.jsonl").exists() and len(metrics_so_far(folder)) >= count):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)  # and leave it the processor
            raise AssertionError(process.communicate())


def metrics_so_far(folder: Path) -> list[str]:
    text = (folder / "reports.jsonl").read_text()
    return [line for line in text.split("\n")[:-1] if '"metric"' in line]


def test_a_training_leaves_its_result_and_a_model_that_opens(ordered: Ordered) -> None:
    folder = ordered(seeds=[0, 1])

    result = run(folder)

    card, _ = load_networks(folder / "model")
    assert card.metrics == result["metrics"]
    assert card.baselines["mean"] == result["baselines"]["mean"]["test"]
    assert card.training is not None
    assert card.training.seeds == (0, 1)
    assert card.training.division == Division(by="random", val=0.2, test=0.2)
    assert result["spread"]["test"]["mae"]["std"] > 0
    assert [line["seed"] for line in metrics(folder)] == [0] * 4 + [1] * 4
    assert metrics(folder)[-1]["eta_s"] == 0


def test_a_training_loads_no_compiler(ordered: Ordered) -> None:
    program = """
import sys
from models.training.program import main
assert main(sys.argv[1:]) == 0
print(*({"sympy", "torch._dynamo"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program, str(ordered())]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.slow  # with every change: the fault tests kill trainings too
def test_a_killed_training_ends_as_an_unbroken_one(ordered: Ordered) -> None:
    settings = {"epochs": 120, "patience": None}
    unbroken, broken = (
        ordered(name, network=NETWORK | {"width": 16}, training=TRAINING | settings)
        for name in ("one", "other")
    )
    wanted = run(unbroken)
    process = started(broken)
    wait_for_epochs(broken, process, 40)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    found = ended(started(broken), broken)

    assert found["metrics"] == wanted["metrics"]
    assert found["curves"][0]["points"][-1] == wanted["curves"][0]["points"][-1]


def test_one_who_is_told_to_end_keeps_the_best_so_far(ordered: Ordered) -> None:
    folder = ordered(training=TRAINING | LONG)
    process = started(folder)
    wait_for_epochs(folder, process, 3)

    process.send_signal(signal.SIGTERM)

    assert ended(process, folder)["stopped"]
    card, _ = load_networks(folder / "model")
    assert any("stopped" in note for note in card.notes)


def test_an_ensemble_that_is_told_to_end_leaves_out_the_member_under_way(ordered: Ordered) -> None:
    folder = ordered(seeds=[0, 1, 2], members=3)

    learn(Work.of(folder), lambda: any('"seed": 1' in line for line in metrics_so_far(folder)))

    card, networks = load_networks(folder / "model")
    result = json.loads((folder / "result.json").read_text())
    assert (card.members, len(networks), result["stopped"]) == (1, 1, True)
    assert [each["seed"] for each in result["seeds"]] == [0]
    assert any("stopped" in note for note in card.notes)


def test_one_who_is_told_to_end_before_it_goes_on_keeps_what_it_had(ordered: Ordered) -> None:
    folder = ordered(training=TRAINING | LONG)
    process = started(folder)
    wait_for_checkpoint(folder, process)
    process.kill()
    process.communicate()
    (folder / "reports.jsonl").unlink()
    process = started(folder)
    wait_for_epochs(folder, process, 0)  # it has begun to read, and to listen

    process.send_signal(signal.SIGTERM)

    assert ended(process, folder)["stopped"]


@pytest.mark.slow
def test_one_of_two_processes_that_is_killed_is_as_if_all_were(ordered: Ordered) -> None:
    folder = ordered(training=TRAINING | LONG, devices=2)
    process = started(folder)
    wait_for_epochs(folder, process, 2)
    ranks = [
        each
        for each in psutil.Process(process.pid).children(recursive=True)
        if "models.training.program" in each.cmdline()[-2:] and "RANK" in each.environ()
    ]

    ranks[1].kill()
    process.communicate(timeout=100)

    assert process.returncode == -signal.SIGKILL


def test_two_processes_learn_what_one_does(ordered: Ordered) -> None:
    one, folder = run(ordered("one")), ordered("two", devices=2)

    two = ended(started(folder), folder)

    for part, figures in one["metrics"].items():
        assert two["metrics"][part] == pytest.approx(figures, rel=1e-3, abs=1e-3)
    losses = [each["curves"][0]["points"][-1]["loss"] for each in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_two_processes_stop_together(ordered: Ordered) -> None:
    folder = ordered(training=TRAINING | LONG, devices=2)
    process = started(folder)
    wait_for_epochs(folder, process, 2)

    process.send_signal(signal.SIGTERM)

    assert ended(process, folder)["stopped"]


def test_a_training_that_diverges_says_so(ordered: Ordered) -> None:
    wild = {"optimiser": "sgd", "loss": "squared", "learning_rate": 10, "clip": 1e30, "warm_up": 0}
    folder = ordered(training=TRAINING | wild | {"epochs": 50, "schedule": "constant"})

    output, _ = (process := started(folder)).communicate(timeout=100)

    error = json.loads(output.splitlines()[-1])
    assert process.returncode == 1
    assert error["code"] == "diverged"
    assert "learning_rate" in error["hint"]
    assert not (folder / "model").exists()


def test_sites_are_learned_and_held_against_their_elements(ordered: Ordered) -> None:
    target = {"column": "charge", "property": "ddec-charge", "unit": "e"}
    network = SiteNetworkSettings(convolutions=1, width=8, site_width=8)

    result = run(ordered(family="site", targets=[target], network=network.model_dump(mode="json")))

    assert set(result["baselines"]) == {"mean", "element average", "mlp"}
    assert result["baselines"]["element average"]["train"]["mae"] < 1e-6
    assert result["elements"]


def test_classes_are_learned_from_words(ordered: Ordered) -> None:
    network = NETWORK | {"task": "classification", "outputs": 2}
    target = {"column": "word", "property": "metal-probability", "unit": "probability"}
    folder = ordered(targets=[target], network=network)

    result = run(folder)

    assert set(result["metrics"]["test"]) == {"auc", "accuracy"}
    assert load_networks(folder / "model")[0].classes == ("no", "yes")


def test_several_targets_have_figures_of_their_own(ordered: Ordered) -> None:
    gap = {"column": "gap", "property": "band-gap", "unit": "eV"}
    folder = ordered(targets=[TARGET, gap], network=NETWORK | {"outputs": 2})

    result = run(folder)

    assert {"mae:formation-energy-per-atom", "mae:band-gap"} <= set(result["metrics"]["train"])


def test_a_model_can_be_gone_on_from(ordered: Ordered) -> None:
    first = ordered("first")
    run(first)
    second = ordered(
        "second", training=TRAINING | {"learning_rate": 1e-9}, start_from=str(first / "model")
    )

    found, wanted = run(second), json.loads((first / "result.json").read_text())

    # Its weights hardly move: only BatchNorm's figures are taken anew.
    assert found["metrics"]["test"]["mae"] == pytest.approx(
        wanted["metrics"]["test"]["mae"], rel=0.2
    )
    assert load_networks(second / "model")[0].training.start_from == "little-energy@1"  # type: ignore[union-attr]


def test_a_model_of_other_targets_can_be_gone_on_from(ordered: Ordered) -> None:
    first = ordered("first")
    run(first)
    two = [TARGET, {"column": "gap", "property": "band-gap", "unit": "eV"}]
    more = {"targets": two, "network": NETWORK | {"outputs": 2}, "start_from": str(first / "model")}
    second = ordered("second", training=TRAINING | {"learning_rate": 1e-9}, **more)

    result = run(second)

    (_, [before]), (card, [after]) = (load_networks(each / "model") for each in (first, second))
    old, new = before.state_dict(), after.state_dict()
    other = {name for name, value in new.items() if old[name].shape != value.shape}
    assert other == {"readout.out.weight", "readout.out.bias"}
    kept = [name for name, _ in after.named_parameters() if name not in other]
    assert all(torch.allclose(new[name], old[name], atol=1e-5) for name in kept)
    assert [each.property for each in card.targets] == ["formation-energy-per-atom", "band-gap"]
    assert "mae:band-gap" in result["metrics"]["test"]
    with pytest.raises(BadSetting, match="another one"):
        run(ordered("judged", training=TRAINING | {"epochs": 0}, **more))


def test_an_ensemble_holds_all_its_members_and_is_judged_as_one(ordered: Ordered) -> None:
    folder = ordered(seeds=[0, 1, 2], members=3)

    result = run(folder)

    card, members = load_networks(folder / "model")
    assert (card.members, len(members)) == (3, 3)
    weights = [next(each.parameters()) for each in members]
    assert not torch.equal(weights[0], weights[1])
    assert card.metrics == result["metrics"]
    # The squared error of the mean is never above the mean of the members' squared errors.
    assert result["metrics"]["test"]["rmse"] < max(
        seed["metrics"]["test"]["rmse"] for seed in result["seeds"]
    )
    assert result["metrics"]["test"] not in [seed["metrics"]["test"] for seed in result["seeds"]]


def test_no_epoch_judges_anew_what_it_goes_on_from(ordered: Ordered) -> None:
    first = ordered("first", seeds=[0, 1], members=2)
    before = run(first)
    again = ordered(
        "again",
        seeds=[5, 6],
        members=2,
        training=TRAINING | {"epochs": 0},
        start_from=str(first / "model"),
    )

    found = run(again)

    assert found["metrics"]["test"] == pytest.approx(before["metrics"]["test"])
    assert found["curves"][0]["points"] == []
    cards = [load_networks(each / "model")[0] for each in (first, again)]
    made = [(one.training.seeds, one.training.settings, one.training.curve) for one in cards]  # type: ignore[union-attr]
    assert made[0] == made[1]  # the weights are those of then
    old, new = (load_networks(each / "model")[1] for each in (first, again))
    for one, other in zip(old, new, strict=True):
        assert all(map(torch.equal, one.parameters(), other.parameters()))


def notes(folder: Path) -> str:
    return " ".join(load_networks(folder / "model")[0].notes)


def test_a_card_says_if_rows_that_judge_may_have_taught_its_model_before(ordered: Ordered) -> None:
    first = ordered("first")
    run(first)
    start = str(first / "model")
    same, other = (
        ordered("same", start_from=start),
        ordered(
            "other", start_from=start, split={"by": "random", "val": 0.2, "test": 0.2, "seed": 1}
        ),
    )
    run(same)
    run(other)

    assert "divided otherwise" not in notes(same)
    assert "little-energy@1 has learned from this very data set, divided otherwise" in notes(other)


def test_a_card_says_if_nothing_was_learned_from_its_data(ordered: Ordered) -> None:
    start = Path(__file__).parents[2] / "data" / "checkpoints" / "crystal"
    card = load_networks(start)[0]
    target = {"column": "energy", "property": "p", "unit": "eV"}
    network = card.network.model_dump(mode="json")
    folder = ordered(
        network=network, targets=[target], training=TRAINING | {"epochs": 0}, start_from=str(start)
    )
    run(folder)

    assert "Nothing was learned from little: it judged test@1" in notes(folder)
    made = load_networks(folder / "model")[0]
    assert made.title == "p of test@1, judged by little"
    assert made.training is not None
    assert (made.training.start_from, made.training.judged) == ("test@1", True)
    assert made.training.before == learned(card)


def told_of(model: Path, **changes: Any) -> None:
    """Write something else into the card of a model."""
    path = model / "card.json"
    card = Card.model_validate_json(path.read_bytes())
    assert card.training is not None
    record = card.training.model_copy(update=changes)
    path.write_text(card.model_copy(update={"training": record}).model_dump_json())


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_card_keeps_what_was_learned_before_it(ordered: Ordered, epochs: int) -> None:
    first = ordered("first", settings={"epochs": 1})
    run(first)
    told_of(
        first / "model",
        dataset="Old rows",
        dataset_sha256="0" * 64,
        licence="MIT",
        citation="A. Body",
    )
    second = ordered("second", settings={"epochs": epochs}, start_from=str(first / "model"))
    run(second)
    told_of(second / "model", dataset_sha256="1" * 64)
    third = ordered("third", settings={"epochs": epochs}, start_from=str(second / "model"))
    run(third)

    record = load_networks(third / "model")[0].training

    assert record is not None
    old = Learned(
        model="little-energy@1", dataset="Old rows", citation="A. Body", licence="MIT", rows=24
    )
    then = Learned(model="little-energy@1", dataset="little", rows=24)
    assert record.before == ((old, then) if epochs else (old,))
    assert record.judged is not bool(epochs)
    assert "has learned from rows that judge here" in notes(third)


@pytest.mark.parametrize("older", [None, "old@1"])
def test_a_model_that_goes_on_with_the_same_rows_knows_no_more_than_before(
    ordered: Ordered, older: str | None
) -> None:
    first = ordered("first", settings={"epochs": 1})
    run(first)
    told_of(first / "model", start_from=older)
    second = ordered("second", settings={"epochs": 1}, start_from=str(first / "model"))
    run(second)

    record = load_networks(second / "model")[0].training

    assert record is not None
    assert record.start_from == "little-energy@1"
    assert record.before == ((Learned(model="old@1"),) if older else ())
    assert ("Where old@1 has learned from rows that judge here" in notes(second)) is bool(older)


@pytest.mark.parametrize(
    "other", [{"width": 12}, {"edge_start": 0.2, "edge_stop": 8.2}], ids=["shapes", "meaning"]
)
def test_a_model_with_another_network_cannot_be_gone_on_from(
    ordered: Ordered, other: dict[str, Any]
) -> None:
    first = ordered("first")
    run(first)
    folder = ordered("other", network=NETWORK | other, start_from=str(first / "model"))

    with pytest.raises(BadSetting) as error:
        run(folder)

    assert "taken over" in str(error.value.hint)


def test_a_network_that_could_not_be_kept_is_refused(ordered: Ordered) -> None:
    large = {"width": 1024, "convolutions": 16, "hidden_width": 4096, "hidden_layers": 8}

    with pytest.raises(BadSetting, match="too large") as error:
        run(ordered(network=NETWORK | large))

    assert str(error.value.got).endswith("MB")


def test_what_is_to_be_beaten_is_said_in_words(ordered: Ordered) -> None:
    folder = ordered(rows=12)

    result = run(folder)

    lines = [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]
    logs = [line["text"] for line in lines if line["kind"] == "log"]
    mae = result["baselines"]["mean"]["test"]["mae"]
    assert "12 rows to learn from, 8 to choose the epoch by, 8 to judge by" in logs
    assert f"to beat: mean, mae {mae:.4g} on the test rows" in logs


def test_a_model_is_judged_by_a_data_set(ordered: Ordered, stored: Path) -> None:
    folder = ordered()
    trained = run(folder)
    told = {"dataset": str(stored), "model": str(folder / "model"), "device": "cpu"}
    told["columns"] = {TARGET["property"]: "energy"}  # type: ignore[assignment]

    result = judge(told, Reports(None)).result()

    sizes = trained["rows"]
    mean = sum(trained["metrics"][part]["mae"] * sizes[part] for part in sizes) / 40
    assert result["metrics"]["mae"] == pytest.approx(mean, rel=1e-3)
    assert len(result["worst"]) == 10
    assert len(result["parity"]["lines"]) == result["n"] == 40
    assert "trained on this very data set" in result["warnings"][0]
    told_of(folder / "model", judged=True)
    assert judge(told, Reports(None)).result()["warnings"] == []


def test_a_learning_curve_takes_growing_parts_of_the_same_rows() -> None:
    assert set(chosen(range(100), 10, 1)) < set(chosen(range(100), 30, 1))
    assert chosen(range(100), 10, 1) != chosen(range(100), 10, 2)


def test_an_order_is_read_whatever_else_is_in_it() -> None:
    parts = {"input": {}, "network": {}, "training": {}, "dataset": "set_1", "trial": 3}

    plan = Plan.model_validate({"family": "crystal", "targets": [TARGET], **parts})

    assert plan.targets[0].column == "energy"
