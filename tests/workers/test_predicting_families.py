"""Records of models that answer with more than a number."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from models.card import Card
from models.families.kinds import KINDS


def sites(count: int) -> tuple[float, ...]:
    """Two targets: the place of each site, and a hundred more."""
    return (*map(float, range(count)), *(100.0 + at for at in range(count)))


def bonds(count: int) -> tuple[float, ...]:
    """Four bonds of site 1."""
    return (1.9, 2.0, 2.1, 2.2, 0.0, 2.0, 0.0, 2.0, 1.0)


@dataclass
class Played:
    """A network that answers by the number of sites."""

    says: Callable[[int], tuple[float, ...]]
    batches: list[int] = field(default_factory=list)

    def answer(self, graphs: Any, **_: Any) -> list[Any]:
        self.batches.append(len(graphs))
        empty = dict.fromkeys(("features", "contributions", "error", "std", "trust"))
        return [SimpleNamespace(values=self.says(one.n_sites), **empty) for one in graphs]


@pytest.fixture
def rich(stage):
    """The stage, with `s@1` for sites and `b@1` for bonds."""
    plain = stage.predictor.catalogue.cards["two@1"].model_dump()
    for name, family, network in (("s", "site", Played(sites)), ("b", "bond", Played(bonds))):
        kind = KINDS[family]
        outputs = 2 if family == "site" else 1
        own = plain | {
            "name": name, "family": family, "input": kind.input(),
            "network": kind.network(outputs=outputs), "targets": plain["targets"][:outputs],
        }  # fmt: skip
        stage.predictor.catalogue.cards[f"{name}@1"] = Card.model_validate(own)
        stage.networks[f"{name}@1"] = network
    return stage


def test_a_site_model_gives_a_value_for_each_site(rich) -> None:
    _, (record,) = rich.predict(("a", "Na3"), models=("s@1",))

    assert [one["values"] for one in record["predictions"]] == [[0, 1, 2], [100, 101, 102]]
    assert [one["value"] for one in record["predictions"]] == [None, None]
    assert record["sites"][2] == {
        "index": 2, "element": "Na", "values": {"s@1/p0": 2.0, "s@1/p1": 102.0},
    }  # fmt: skip
    assert (record["status"], record["warnings"]) == ("succeeded", [])


def test_a_bond_model_gives_the_bonds_of_the_adsorbate(rich) -> None:
    _, (record,) = rich.predict(("a", "Na3"), models=("b@1",))

    (one,) = record["predictions"]
    assert (one["value"], one["adsorbate"]) == (None, 1)
    assert one["bonds"][0] == {
        "rank": 1, "site": 0, "element": "Na", "distance": 1.9, "interval": None, "std": None,
    }  # fmt: skip
    assert [bond["distance"] for bond in one["bonds"]] == [1.9, 2.0, 2.1, 2.2]


def test_models_of_all_families_answer_in_one_record(rich) -> None:
    _, (record,) = rich.predict(("a", "Na3"), models=("m@1", "s@1", "b@1"), sites=True)

    assert [one["value"] for one in record["predictions"]] == [3.0, None, None, None]
    assert record["sites"][0]["contributions"] == {"m@1/p0": 1.0}
    assert set(record["sites"][0]["values"]) == {"s@1/p0", "s@1/p1"}


def test_an_answer_for_another_adsorbate_is_not_taken_from_the_cache(rich) -> None:
    batches = rich.networks["b@1"].batches
    for adsorbate in ("1", "2", "1", None, None):
        rich.predict(("a", "Na3"), models=("b@1", "m@1"), adsorbate=adsorbate)

    assert len(batches) == 3  # for "1", for "2", and for the one that is found
    assert len(rich.networks["m@1"].batches) == 1  # to a crystal's model it is all the same
    assert len(rich.reader.read_texts) == 3
