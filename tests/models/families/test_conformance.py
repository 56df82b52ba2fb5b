"""What every family must hold to; a new one is tested as soon as it is in KINDS."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.card import Card
from models.checkpoint import load_networks, save_model
from models.errors import DamagedModel
from models.infer import Resident, load
from models.samples import cost_of, unpack
from models.settings.training import TrainingSettings
from models.structures.structure import Structure
from models.training.dataset import Dataset
from models.training.loop import Training
from models.training.split import Split

CHECKPOINTS = Path(__file__).parents[2] / "data" / "checkpoints"
CPU = torch.device("cpu")
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def like(structure: Structure, **others: Any) -> Structure:
    had = {name: getattr(structure, name) for name in ("name", "lattice", "numbers", "fractional")}
    return Structure(**had | others)


def same(got: list[tuple[float, ...]], wanted: list[tuple[float, ...]]) -> None:
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


def test_a_moved_structure_has_the_same_answer(subject) -> None:
    moved = [
        like(each, fractional=each.fractional + np.array([0.13, 0.41, 0.27]))
        for each in subject.structures
    ]

    same(subject.answers(moved), subject.answers(subject.structures))


def test_a_turned_structure_has_the_same_answer(subject) -> None:
    if subject.kind.name == "image":
        pytest.skip("an image shows which way its structure is turned")
    turned = [like(each, lattice=each.lattice @ TURN) for each in subject.structures]

    same(subject.answers(turned), subject.answers(subject.structures))


def test_answers_follow_the_order_of_sites(subject) -> None:
    structure = subject.structures[0]
    order = np.random.default_rng(2).permutation(len(structure.numbers))
    mixed = like(
        structure, numbers=structure.numbers[order], fractional=structure.fractional[order]
    )
    (got,), (plain,) = subject.answers([mixed]), subject.answers([structure])

    wanted = np.array(plain)
    if subject.kind.answers == "sites":
        wanted = wanted[order]
    elif subject.kind.answers == "bonds":
        wanted[4:] = np.argsort(order)[wanted[4:].astype(int)]
    same([got], [tuple(wanted)])


def test_a_supercell_has_the_same_answer(subject, supercell) -> None:
    if subject.kind.name in ("bond", "image"):
        pytest.skip("twice the cell has two adsorbates, or other pixels")
    structure = subject.structures[0]
    (small,), (large,) = (
        subject.answers([each]) for each in (structure, supercell(structure, (2, 1, 1)))
    )

    same([large], [small * 2 if subject.kind.answers == "sites" else small])


def test_an_answer_does_not_depend_on_its_company(subject) -> None:
    alone = [subject.answers([each])[0] for each in subject.structures]

    same(subject.answers(subject.structures), alone)


def test_the_network_arranged_for_answering_is_the_trained_one(subject) -> None:
    samples, network = subject.samples(), subject.new().eval()
    with torch.inference_mode():
        wanted = network(subject.family.collate(samples)).values.double().numpy()
        ready = subject.family.ready([network], CPU)
        (got,) = ready(subject.family.collate(samples)).values.double().numpy()

    assert len(got) == subject.family.sizes(samples).sum()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_ten_structures_can_be_learned_by_heart(subject) -> None:
    samples, rows = subject.samples(), np.arange(10)
    data = Dataset(samples, subject.labels(samples), subject.family)
    settings = TrainingSettings(epochs=200, batch_size=5, learning_rate=1e-2, average=0.9)
    training = Training(data, Split(rows, rows, rows), subject.network, settings)
    before = training.evaluate(rows)["mae"]

    for _ in training.run():
        pass

    assert training.evaluate(rows)["mae"] < before / 5


def test_a_saved_model_answers_as_before(subject, tmp_path: Path) -> None:
    network = subject.new().eval()
    save_model(tmp_path, subject.card(), [network])

    same(
        [one.values for one in load(tmp_path, "cpu").answer(subject.samples())],
        subject.answers(subject.structures),
    )


def test_members_answer_with_their_mean(subject, tmp_path: Path) -> None:
    samples, members = subject.samples(), [subject.new().eval() for _ in range(3)]
    for member in members:  # three different ones
        for weight in member.parameters():
            weight.data += 0.05 * torch.randn_like(weight)
    save_model(tmp_path, subject.card(), members)

    found = load(tmp_path, "cpu")
    answers = found.answer(samples)

    assert found.card.members == 3
    batch = subject.family.collate(samples)
    with torch.inference_mode():
        each = np.stack([found._denormalised(member(batch)) for member in members])
    rows = np.cumsum([0, *subject.family.sizes(samples)])
    for at, answer in enumerate(answers):
        some = each[:, rows[at] : rows[at + 1]]
        told = subject.family.told(samples[at], some.mean(0))
        np.testing.assert_allclose(answer.values, told, rtol=1e-4, atol=1e-4)
        spread = subject.family.spread(samples[at], some.mean(0), some.std(0, ddof=1))
        np.testing.assert_allclose(answer.std, spread, rtol=1e-3, atol=1e-4)


def test_a_packed_sample_is_the_same_sample(subject) -> None:
    for sample in subject.samples():
        packed = sample.pack()
        again = unpack(packed)

        assert again.pack() == packed
        assert cost_of(packed) == again.cost == sample.cost
        assert again.numbers.tolist() == sample.numbers.tolist()


def test_a_checkpoint_of_earlier_opens_and_answers_as_then(subject) -> None:
    folder = CHECKPOINTS / subject.kind.name
    told = json.loads((folder / "answers.json").read_text())

    card, networks = load_networks(folder)

    model = Resident(card, networks, CPU)
    same([one.values for one in model.answer(subject.samples())], [tuple(each) for each in told])


def test_a_card_of_the_first_format_opens() -> None:
    card = Card.model_validate_json((CHECKPOINTS / "crystal-1" / "card.json").read_bytes())

    assert (card.format, card.input.kind, card.family) == (2, "graph", "crystal")


def test_a_card_of_a_network_that_is_not_there_makes_none(subject, tmp_path: Path) -> None:
    """The largest each family knows, of some GB, with weights of a few kB."""
    save_model(tmp_path, subject.card(), [subject.new()])
    card = json.loads((tmp_path / "card.json").read_text())
    card["network"] |= {"hidden_width": 4096} if subject.kind.name != "site" else {"width": 1024}
    (tmp_path / "card.json").write_text(json.dumps(card))
    made = torch.get_rng_state()

    with pytest.raises(DamagedModel, match="expected float32"):
        load_networks(tmp_path)

    assert torch.equal(made, torch.get_rng_state())  # no weight was drawn


def test_settings_of_another_family_are_refused(subject) -> None:
    card = json.loads(subject.card().model_dump_json())
    card["family"] = "bond" if subject.kind.name != "bond" else "crystal"

    with pytest.raises(ValueError, match=r"kind|family|Extra inputs"):
        Card.model_validate(card)
