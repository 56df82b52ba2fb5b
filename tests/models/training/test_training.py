import numpy as np
import pytest
import torch

from models.families.family import family
from models.graphs.featurise import featurise
from models.infer import prepare_process
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from models.settings.training import TrainingSettings
from models.structures.structure import Structure
from models.training import metrics
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.normaliser import fit
from models.training.split import Split, split

NONE = np.array([], dtype=np.int64)


@pytest.fixture
def ten(crystals: list[Structure]) -> list[Structure]:
    """Five crystals, and the same five of other elements."""
    swapped = [
        Structure("other", each.lattice * 1.04, each.numbers + 1, each.fractional)
        for each in crystals
    ]
    return crystals + swapped


def everything(count: int) -> Split:
    return Split(np.arange(count), NONE, NONE)


def labelled(structures: list[Structure], targets: list[list[float]]) -> Dataset:
    prepare_process()
    graphs = [featurise(each, GraphSettings()) for each in structures]
    return Dataset(graphs, Labels.one_a_row(np.array(targets, float)), family("crystal"))


@pytest.mark.parametrize("readout", ["mean", "full", "linear"])
@pytest.mark.parametrize("convolution", ["gated", "shared", "residual"])
def test_ten_structures_are_learned_by_heart(
    ten: list[Structure], readout: str, convolution: str
) -> None:
    values = np.random.default_rng(1).normal(3, 2, 10)
    data = labelled(ten, values[:, None].tolist())
    network = NetworkSettings(
        convolution=convolution, readout=readout, convolutions=2, width=32, hidden_width=32
    )  # type: ignore[arg-type]
    settings = TrainingSettings(epochs=250, batch_size=10, learning_rate=0.02, average=0.9)
    training = Training(data, everything(10), network, settings)

    losses = [report.loss for report in training.run()]

    assert losses[-1] < 0.1 * losses[0]
    assert training.evaluate(np.arange(10))["mae"] < 0.3


def test_classes_are_learned_by_heart(ten: list[Structure]) -> None:
    data = labelled(ten, [[at % 2] for at in range(10)])
    network = NetworkSettings(
        task="classification", outputs=2, convolutions=2, width=16, hidden_width=16
    )
    settings = TrainingSettings(epochs=120, batch_size=10, learning_rate=0.02, average=0.9)
    training = Training(data, everything(10), network, settings)

    list(training.run())

    assert training.evaluate(np.arange(10)) == {"accuracy": 1.0, "auc": 1.0}


def test_missing_labels_are_passed_over(ten: list[Structure]) -> None:
    nan = float("nan")
    data = labelled(ten, [[1.0 + at, nan if at % 2 else 2.0 * at] for at in range(10)])
    network = NetworkSettings(outputs=2, convolutions=1, width=8, hidden_width=8)
    training = Training(data, everything(10), network, TrainingSettings(epochs=2, batch_size=5))

    reports = list(training.run())

    assert all(np.isfinite(report.loss) for report in reports)
    assert np.isfinite(training.evaluate(np.arange(10))["mae"])


def test_the_same_seed_trains_the_same_network(ten: list[Structure]) -> None:
    data = labelled(ten, [[float(at)] for at in range(10)])
    network = NetworkSettings(convolutions=1, width=8, hidden_width=8)

    def weights() -> list[torch.Tensor]:
        training = Training(data, everything(10), network, TrainingSettings(epochs=3, batch_size=4))
        list(training.run())
        return list(training.average.parameters())

    assert all(torch.equal(*pair) for pair in zip(weights(), weights(), strict=True))


def test_training_can_be_stopped_between_reports(ten: list[Structure]) -> None:
    data = labelled(ten, [[float(at)] for at in range(10)])
    network = NetworkSettings(convolutions=1, width=8, hidden_width=8)
    reports = Training(data, everything(10), network, TrainingSettings(epochs=10**5)).run()

    assert next(reports).epoch == 1
    reports.close()


def test_groups_are_never_divided() -> None:
    groups = [f"g{at % 23}" for at in range(400)]

    parts = split(groups, val=0.2, test=0.1, seed=4)

    of = [{groups[row] for row in rows} for rows in (parts.train, parts.val, parts.test)]
    assert of[0].isdisjoint(of[1] | of[2])
    assert of[1].isdisjoint(of[2])
    rows = np.concatenate([parts.train, parts.val, parts.test])
    assert sorted(rows.tolist()) == list(range(400))
    assert abs(len(parts.test) - 40) < 20


def test_a_split_is_repeatable() -> None:
    one, other, third = (split(range(100), 0.1, 0.1, seed) for seed in (1, 1, 2))

    assert np.array_equal(one.test, other.test)
    assert not np.array_equal(one.test, third.test)


def test_normalised_targets_come_back() -> None:
    targets = np.random.default_rng(0).normal(-2, 3, (50, 2))
    normaliser = fit(targets)
    values = torch.tensor(targets, dtype=torch.float32)

    there = normaliser.normalised(values)

    torch.testing.assert_close(there.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(normaliser.values(there), values)
    assert fit(np.ones((5, 1))).std.tolist() == [1.0]
    np.testing.assert_allclose(fit(1e-19 * targets).std, 1e-19 * normaliser.std)


def test_figures_of_a_regression() -> None:
    figures = metrics.regression(np.array([1.0, 2, 3, 9]), np.array([1.0, 2, 5, np.nan]))

    assert figures["mae"] == pytest.approx(2 / 3)
    assert figures["rmse"] == pytest.approx((4 / 3) ** 0.5)
    assert figures["r2"] == pytest.approx(1 - 4 / 8.6666667)


def test_figures_of_a_classification() -> None:
    figures = metrics.classification(np.array([0.1, 0.6, 0.4, 0.9]), np.array([0.0, 0, 1, 1]))

    assert figures == {"accuracy": 0.5, "auc": 0.75}
