"""The loop: what is learned from labels of every kind, and what is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import Diverged
from models.families.family import family
from models.families.kinds import KINDS
from models.families.recipes import resolved
from models.graphs.featurise import featurise
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings, SiteNetworkSettings
from models.settings.training import TrainingSettings
from models.structures.structure import Structure
from models.training import checkpoints
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.loss import loss_for
from models.training.normaliser import Normaliser
from models.training.schedules import rate
from models.training.split import Split

NAN = float("nan")
NONE = np.array([], np.int64)
SMALL = NetworkSettings(convolutions=1, width=8, hidden_width=8)


def labelled(crystals: list[Structure], values: list[list[float]]) -> Dataset:
    graphs = [featurise(each, GraphSettings()) for each in crystals]
    return Dataset(graphs, Labels.one_a_row(np.array(values, float)), family("crystal"))


def training(data: Dataset, val: int = 0, network: Any = SMALL, **settings: Any) -> Training:
    count = len(data)
    parts = Split(np.arange(count - val), np.arange(count - val, count), NONE)
    return Training(data, parts, network, TrainingSettings(**{"batch_size": 2, **settings}))


def loss_of(
    values: list[list[float]], outputs: list[list[float]], *, classifies: bool = False, **more: Any
) -> float:
    at_least = more.pop("at_least", None)
    rows = np.arange(len(values))
    labels = Labels(np.array(values), np.arange(len(values) + 1), at_least)
    scale = Normaliser(torch.zeros(len(values[0])), torch.ones(len(values[0])))
    loss = loss_for(labels, rows, scale, TrainingSettings(**more), classifies=classifies)
    return float(loss(torch.tensor(outputs), rows)) / loss.weight(rows)


def test_a_target_with_few_labels_weighs_as_much_as_one_with_many() -> None:
    values = [[1.0, 1.0], [1.0, NAN], [1.0, NAN], [1.0, NAN]]
    right_in_one, right_in_other = [[1.0, 0.0]] * 4, [[0.0, 1.0]] * 4

    assert loss_of(values, right_in_one) == pytest.approx(0.5)
    assert loss_of(values, right_in_other) == pytest.approx(0.5)


def test_targets_can_be_given_weights() -> None:
    assert loss_of([[1.0, 1.0]], [[1.0, 0.0]], target_weights=(1, 3)) == pytest.approx(0.75)


def test_beyond_a_lower_bound_all_answers_are_right() -> None:
    bound = np.array([[True], [True]])

    assert loss_of([[2.0], [2.0]], [[2.5], [9.0]], at_least=bound) == 0
    assert loss_of([[2.0], [2.0]], [[1.5], [9.0]], at_least=bound) == pytest.approx(0.25)


def test_balanced_classes_weigh_the_same() -> None:
    values, certain = [[0.0]] * 9 + [[1.0]], [[0.0, 0.0]] * 9 + [[0.0, -2.0]]
    wrong_in_one = float(torch.logaddexp(torch.tensor(0.0), torch.tensor(2.0)))

    balanced = loss_of(values, certain, classifies=True, class_weights="balanced")

    assert balanced == pytest.approx((np.log(2) + wrong_in_one) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "error", "wanted"), [("absolute", 3, 3), ("squared", 3, 9), ("huber", 3, 2.5)]
)
def test_losses(kind: str, error: float, wanted: float) -> None:
    assert loss_of([[0.0]], [[error]], loss=kind) == pytest.approx(wanted)


def test_sites_without_a_label_are_passed_over(crystals: list[Structure]) -> None:
    graphs = [featurise(each, GraphSettings()) for each in crystals]
    first = np.cumsum([0, *(each.n_sites for each in graphs)])
    values = np.full((int(first[-1]), 1), NAN)
    values[::2] = 1.0
    data = Dataset(graphs, Labels(values, first), family("site"))
    one = training(data, network=SiteNetworkSettings(convolutions=1, width=8), epochs=3)

    losses = [report.loss for report in one.run()]

    assert np.isfinite(losses).all()
    assert one.evaluate(np.arange(len(data)))["mae"] < 2


def test_a_training_gone_on_with_equals_an_unbroken_one(
    crystals: list[Structure], tmp_path: Path
) -> None:
    data = labelled(crystals, [[float(at)] for at in range(5)])
    unbroken = training(data, val=1, epochs=6)
    wanted = list(unbroken.run())
    for stop_after in range(1, 6):
        broken, reports = training(data, val=1, epochs=6), []
        for report in broken.run():
            reports.append(report)
            if report.epoch == stop_after:
                checkpoints.write(tmp_path / "0.pt", broken.state())
                break
        again = training(data, val=1, epochs=6)
        again.restore(checkpoints.read(tmp_path / "0.pt") or {})
        reports += again.run()

        assert [(each.loss, each.figures) for each in reports] == [
            (each.loss, each.figures) for each in wanted
        ]
        assert np.array_equal(again.answers(np.arange(5)), unbroken.answers(np.arange(5)))


def test_a_damaged_checkpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / "0.pt").write_bytes(b"half of a file")

    assert checkpoints.read(tmp_path / "0.pt") is None
    assert checkpoints.read(tmp_path / "1.pt") is None


def test_the_weights_of_the_best_epoch_are_kept(crystals: list[Structure]) -> None:
    data = labelled(crystals, [[0.0], [1.0], [2.0], [5.0], [-9.0]])
    one = training(data, val=2, epochs=30, learning_rate=0.1, average=0.0)

    reports = list(one.run())

    best = min(reports, key=lambda report: report.figures["loss"])
    assert one.best_epoch == best.epoch < 30
    assert one.evaluate(one.parts.val)["mae"] == best.figures["mae"]


def test_patience_ends_what_no_longer_gets_better(crystals: list[Structure]) -> None:
    data = labelled(crystals, [[0.0], [1.0], [2.0], [5.0], [-9.0]])

    one = training(data, val=2, epochs=500, learning_rate=0.1, average=0.0, patience=5)

    assert len(list(one.run())) == one.best_epoch + 5 < 500


def test_a_loss_that_is_no_number_is_named_with_its_epoch(crystals: list[Structure]) -> None:
    data = labelled(crystals, [[float(at)] for at in range(5)])
    one = training(data, epochs=3)
    with torch.no_grad():
        next(one.network.parameters()).fill_(NAN)

    with pytest.raises(Diverged, match="epoch 1") as error:
        list(one.run())

    assert "learning_rate" in str(error.value.hint)


def test_a_cycle_rises_and_falls_and_a_step_drops() -> None:
    cycle = TrainingSettings(learning_rate=1.0, warm_up=0.25)
    steps = TrainingSettings(learning_rate=1.0, schedule="step", drops=(0.5, 0.8), warm_up=0)

    assert rate(cycle, 0.25) == pytest.approx(1)
    assert rate(cycle, 0.0) < rate(cycle, 0.1) < 1
    assert rate(cycle, 1.0) < 1e-5
    assert [rate(steps, done) for done in (0, 0.49, 0.5, 0.9)] == pytest.approx([1, 1, 0.1, 0.01])


@pytest.mark.parametrize("name", KINDS)
def test_the_papers_learn_at_a_constant_rate_from_the_first_step(name: str) -> None:
    made = resolved(name, "paper", {}, targets=1, classifies=False).training

    assert {rate(made, done) for done in (0.0, 0.05, 0.5, 1.0)} == {made.learning_rate}


def test_the_papers_sheets_are_learned_with_a_second_rate_after_300_epochs() -> None:
    """Network 2 reduces less than Network 1; 300 epochs with 1e-5, then 200 with 1e-6."""
    sheets = {
        "box": "cell", "periodicity": "shifted", "reducing_layers": 4, "epochs": 500, "learning_rate": 1e-5,
        "schedule": "step", "drops": [0.6],
    }  # fmt: skip

    made = resolved("image", "paper", sheets, targets=1, classifies=False)

    assert [rate(made.training, at / 500) for at in (0, 299, 300)] == pytest.approx(
        [1e-5, 1e-5, 1e-6]
    )
    assert made.network.features == 4 * 64 * 16**2
