from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from models.card import Card, Target
from models.errors import DamagedModel, OutOfMemory
from models.graphs.collate import Batch, collate
from models.graphs.elements import table_sha256
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.infer import Resident, cut, prepare_process
from models.networks.crystal import CrystalNetwork
from models.networks.readout import Output
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from models.structures.structure import Structure

CPU = torch.device("cpu")


GAP = Target(property="band-gap", unit="eV", mean=2.5, std=1.5)
MODULUS = Target(property="bulk-modulus", unit="GPa", mean=100, std=40)
METAL = Target(property="metal-probability", unit="probability")


def card(network: NetworkSettings) -> Card:
    classifies = network.task == "classification"
    return Card(
        name="test",
        version=1,
        title="A test",
        origin="trained",
        targets=(METAL,) if classifies else (GAP, MODULUS)[: network.outputs],
        classes=("no", "yes") if classifies else None,
        graph=GraphSettings(),
        network=network,
        elements_sha256=table_sha256(),
        weights_sha256="",
        created_at=datetime.now(UTC),
    )


def resident(**options: object) -> Resident:
    torch.manual_seed(0)
    prepare_process()
    settings = NetworkSettings(convolutions=3, width=32, hidden_width=16, **options)  # type: ignore[arg-type]
    return Resident(card(settings), [CrystalNetwork(settings)], CPU)


@pytest.fixture
def graphs(crystals: list[Structure]) -> list[Graph]:
    return [featurise(each, GraphSettings()) for each in crystals * 6]


@pytest.mark.parametrize("convolution", ["gated", "shared", "residual"])
@pytest.mark.parametrize("readout", ["mean", "full", "linear"])
def test_an_answer_does_not_depend_on_its_company(
    graphs: list[Graph], convolution: str, readout: str
) -> None:
    model = resident(convolution=convolution, readout=readout)
    alone = [model.answer([graph])[0].values[0] for graph in graphs]

    for size in (2, 3, 7, 16, len(graphs)):
        together = [
            answer.values[0]
            for start in range(0, len(graphs), size)
            for answer in model.answer(graphs[start : start + size])
        ]
        np.testing.assert_allclose(together, alone, rtol=1e-9)


def test_numbers_too_small_to_be_quick_are_zero_where_models_compute() -> None:
    prepare_process()

    assert not (torch.full((64,), 1e-37) * 1e-4).any()


def test_answers_come_in_the_order_of_the_graphs(graphs: list[Graph]) -> None:
    model = resident()

    forth = [answer.values for answer in model.answer(graphs, batch_edges=1_000)]
    back = [answer.values for answer in model.answer(graphs[::-1], batch_edges=1_000)]

    np.testing.assert_allclose(forth, back[::-1], rtol=1e-9)


def test_site_contributions_sum_to_the_value(graphs: list[Graph]) -> None:
    for answer, graph in zip(
        resident(readout="linear").answer(graphs, sites=True), graphs, strict=True
    ):
        assert answer.contributions is not None
        assert len(answer.contributions) == graph.n_sites
        assert sum(each[0] for each in answer.contributions) == pytest.approx(answer.values[0])


@pytest.mark.parametrize("convolution", ["gated", "shared", "residual"])
@pytest.mark.parametrize("readout", ["linear", "full"])
def test_contributions_of_an_ensemble_sum_to_the_mean_of_its_members(
    graphs: list[Graph], convolution: str, readout: str
) -> None:
    torch.manual_seed(0)
    settings = NetworkSettings(
        convolution=convolution, width=32, readout=readout, site_layers=1, hidden_layers=0,
        outputs=2,
    )  # type: ignore[arg-type]  # fmt: skip
    members = [CrystalNetwork(settings) for _ in range(5)]
    alone = [Resident(card(settings), [each], CPU).answer(graphs[:4]) for each in members]

    answers = Resident(card(settings), members, CPU).answer(graphs[:4], sites=True)

    for place, (answer, graph) in enumerate(zip(answers, graphs[:4], strict=True)):
        own = [each[place].values for each in alone]
        assert answer.contributions is not None
        assert answer.std is not None
        assert np.shape(answer.contributions) == (graph.n_sites, 2)
        np.testing.assert_allclose(np.sum(answer.contributions, axis=0), answer.values, rtol=1e-9)
        np.testing.assert_allclose(answer.values, np.mean(own, axis=0), rtol=1e-6)
        np.testing.assert_allclose(answer.std, np.std(own, axis=0, ddof=1), rtol=1e-3)


@pytest.mark.parametrize("readout", ["mean", "full", "linear"])
def test_each_of_several_targets_has_its_own_normaliser(graphs: list[Graph], readout: str) -> None:
    model = resident(readout=readout, outputs=2)
    (raw,) = model._network(collate(graphs[:3])).values.double().numpy()

    answers = model.answer(graphs[:3], sites=True)

    wanted = raw * [1.5, 40] + [2.5, 100]
    np.testing.assert_allclose([answer.values for answer in answers], wanted, rtol=1e-6)
    if readout == "linear":
        sums = [np.sum(answer.contributions, axis=0) for answer in answers]
        np.testing.assert_allclose(sums, wanted, rtol=1e-6)


@pytest.mark.parametrize("options", [{"readout": "mean", "hidden_layers": 0}, {"readout": "full"}])
def test_where_more_than_sums_follows_the_sites_there_are_no_contributions(
    graphs: list[Graph], options: dict[str, object]
) -> None:
    assert resident(**options).answer(graphs[:1], sites=True)[0].contributions is None


def test_a_mean_readout_has_features_and_no_contributions(graphs: list[Graph]) -> None:
    answer = resident(readout="mean").answer(graphs[:1], sites=True, features=True)[0]

    assert answer.contributions is None
    assert answer.features is not None
    assert len(answer.features) == 32


def test_a_classifier_answers_with_the_probability_of_its_last_class(graphs: list[Graph]) -> None:
    model = resident(task="classification", outputs=2)
    (raw,) = model._network(collate(graphs)).values.double()

    answers = model.answer(graphs)

    wanted = torch.exp(raw[:, 1]) / torch.exp(raw).sum(1)
    np.testing.assert_allclose([answer.values[0] for answer in answers], wanted, rtol=1e-6)


def test_a_probability_is_no_sum_over_sites(graphs: list[Graph]) -> None:
    model = resident(task="classification", outputs=2, readout="linear")

    assert model.answer(graphs[:1], sites=True)[0].contributions is None


def test_batches_are_cut_by_edges(graphs: list[Graph]) -> None:
    limit = 3 * max(graph.n_edges for graph in graphs)

    parts = list(cut(graphs, limit))

    assert [graph for part in parts for graph in part] == graphs
    assert all(sum(graph.n_edges for graph in part) <= limit for part in parts)
    assert list(cut(graphs[:2], 1)) == [graphs[:1], graphs[1:2]]
    assert list(cut([], 10)) == []


def small_memory(sites: int, error: Exception) -> Callable[[Batch], Output]:
    """A network on a device that holds so many sites."""

    def run(batch: Batch) -> Output:
        if len(batch.numbers) > sites:
            raise error
        values = batch.n_sites[None, :, None]
        return Output(values, values)

    return run


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved(graphs: list[Graph], error: Exception) -> None:
    model = resident()
    model._network = small_memory(6, error)

    answers = model.answer(graphs[:5])

    assert [bool(answer.values) for answer in answers] == [True, True, True, True, False]
    assert isinstance(answers[4].error, OutOfMemory)
    assert answers[3].values[0] == pytest.approx(4 * 1.5 + 2.5)


def test_another_fault_is_not_taken_for_lack_of_memory(graphs: list[Graph]) -> None:
    model = resident()
    model._network = small_memory(0, RuntimeError("shapes differ"))

    with pytest.raises(RuntimeError, match="shapes differ"):
        model.answer(graphs[:2])


def test_a_network_gone_wild_is_an_error_not_a_number(graphs: list[Graph]) -> None:
    model = resident()
    model._network = lambda batch: Output(*[torch.full((1, batch.n_crystals, 1), np.nan)] * 2)

    assert isinstance(model.answer(graphs[:1])[0].error, DamagedModel)
