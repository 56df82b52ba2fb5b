"""How far the trust in an answer can itself be trusted: domain scores, intervals, and what judging costs.

Run: python -m benchmarks.trust --data FOLDER [--only strained withheld intervals cost] [--table]
Small models are trained here, each in a minute or two. Every figure goes to benchmarks/results/trust.jsonl as soon as
it is there, and is not made again; remove its line to make it anew.

`withheld`: crystals that hold an element are taken out, a model is trained on the rest, and the score of its ordinary
test rows is compared with that of the crystals taken out. `strained`: the test rows, their sites moved by Gaussian
displacements or their lengths scaled. The figures are areas under the ROC curve.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.pairs import seconds
from benchmarks.rows import Row, read
from benchmarks.splits import split
from models.card import Card, Target
from models.families.family import family
from models.families.recipes import Settings, resolved
from models.graphs.elements import table_sha256
from models.infer import Resident, prepare_process
from models.samples import Sample, featurise
from models.settings.graph import GraphSettings
from models.structures.composition import NUMBERS
from models.structures.structure import Structure
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.split import Split
from models.trust.fitting import Fitted, fitted
from models.trust.ranks import auroc
from models.trust.rows import answered, part

RESULTS = Path(__file__).parent / "results" / "trust.jsonl"
EPOCHS = 60
GRAPH = GraphSettings()
ELEMENTS = ("O", "N", "Ti", "Al", "Fe", "S")
RATTLES = (0.1, 0.2, 0.3)  # Å
SCALES = (0.9, 0.95, 0.98, 1.02, 1.05, 1.1)  # of lengths
SETS = {
    "mp_cgcnn_elastic_3k": "formation_energy_per_atom",
    "perov_5_partial": "heat_all",
}

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A model, and how far to trust it."""

    card: Card
    members: list[torch.nn.Module]
    data: Dataset
    parts: Split
    trust: Fitted

    @property
    def resident(self) -> Resident:
        """Ready to answer."""
        return Resident(self.card, self.members, torch.device("cpu"), guide=self.trust.guide)

    def scores(self, samples: Sequence[Sample]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The domain score of each, and the distance of its vector alone."""
        labels = Labels.one_a_row(np.zeros((len(samples), 1)))
        data = Dataset(list(samples), labels, family("crystal"))
        bare = Resident(self.card, self.members, torch.device("cpu"))
        seen = part(self.trust.guide, answered(bare, data, np.arange(len(samples)))).looked
        return self.trust.guide.scores(seen)[1], seen.terms["features"]


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--elements", nargs="*", default=list(ELEMENTS))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        prepare_process()
        for way in given.only:
            for line in WAYS[way](given):
                print(json.dumps(line), flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
    print("\n".join(table()))


def withheld(given: argparse.Namespace) -> Iterator[Line]:
    """An element that the model has really never seen."""
    name = "mp_cgcnn_elastic_3k"
    for symbol in given.elements:
        if done("withheld", element=symbol):
            continue
        rows, samples = crystals(given.data, name)
        holds = np.array([NUMBERS[symbol] in row.structure.numbers for row in rows])
        learned = train(given, name, ~holds, members=1)
        yield {
            "what": "withheld",
            "data": name,
            "element": symbol,
            **_told(learned, [samples[at] for at in np.flatnonzero(holds)]),
        }


def strained(given: argparse.Namespace) -> Iterator[Line]:
    """Test rows moved from where they are at rest."""
    for name in ("mp_cgcnn_elastic_3k", "perov_5_partial"):
        rows, _ = crystals(given.data, name)
        for how, amount in [
            *(("rattled", each) for each in RATTLES),
            *(("scaled", each) for each in SCALES),
        ]:
            if done("strained", data=name, how=how, amount=amount):
                continue
            learned = train(given, name, np.ones(len(rows), bool), members=1)
            chance = np.random.default_rng(1)
            some = [rows[at].structure for at in learned.parts.test]
            moved = [
                rattled(each, amount, chance) if how == "rattled" else scaled(each, amount)
                for each in some
            ]
            samples = [featurise(each, GRAPH) for each in moved]
            yield {
                "what": "strained",
                "data": name,
                "how": how,
                "amount": amount,
                **_told(learned, samples),
            }


def intervals(given: argparse.Namespace) -> Iterator[Line]:
    """Coverage, and whether wider intervals are those of larger errors."""
    for name, most in (("mp_cgcnn_elastic_3k", 3), ("perov_5_partial", 1)):
        for members in sorted({1, most}):
            if done("intervals", data=name, members=members):
                continue
            rows, _ = crystals(given.data, name)
            learned = train(given, name, np.ones(len(rows), bool), members=members)
            [intervals] = learned.trust.intervals or (None,)
            assert intervals is not None
            told = intervals.model_dump(include={"rows", "judged", "coverage", "rank_correlation"})
            flagged = learned.trust.domain.flagged
            yield {
                "what": "intervals",
                "data": name,
                "members": members,
                **told,
                "flagged": flagged,
            }


def cost(given: argparse.Namespace) -> Iterator[Line]:
    """What judging adds to answering, in processor time."""
    name = "mp_cgcnn_elastic_3k"
    rows, samples = crystals(given.data, name)
    for members in (1, 3):
        if done("cost", members=members):
            continue
        learned = train(given, name, np.ones(len(rows), bool), members=members)
        plain, ratio = _paired(learned, samples[:1000])
        yield {"what": "cost", "members": members, "plain_us": plain, "added": ratio - 1}


def _paired(learned: Learned, samples: Sequence[Sample]) -> tuple[float, float]:
    """µs a crystal without judging, and how many times as much with it; the two in turn."""
    bare = Resident(learned.card, learned.members, torch.device("cpu"))
    judging, times = learned.resident, []
    for _ in range(8):
        plain = seconds(lambda: bare.answer(samples))
        times.append((plain, seconds(lambda: judging.answer(samples)) / plain))
    plain, ratio = np.median(times[1:], axis=0)
    return round(float(plain) * 1e6 / len(samples), 1), round(float(ratio), 3)


def rattled(structure: Structure, amount: float, chance: np.random.Generator) -> Structure:
    """Every coordinate moved by a Gaussian of so many Å."""
    moves = chance.normal(0, amount, structure.fractional.shape) @ np.linalg.inv(structure.lattice)
    return Structure(
        structure.name, structure.lattice, structure.numbers, structure.fractional + moves
    )


def scaled(structure: Structure, factor: float) -> Structure:
    """All lengths times this."""
    return Structure(
        structure.name, structure.lattice * factor, structure.numbers, structure.fractional
    )


WAYS = {"strained": strained, "withheld": withheld, "intervals": intervals, "cost": cost}


@cache
def crystals(data: Path, name: str) -> tuple[list[Row], list[Sample]]:
    """All rows with a label."""
    column = SETS[name]
    rows = [row for row in read(data, name) if row.figures[column] is not None]
    return rows, [featurise(row.structure, GRAPH) for row in rows]


def settings_of(**wanted: Any) -> Settings:
    """Those of the best recipe."""
    return resolved("crystal", "best", wanted, targets=1, classifies=False)


_trained: dict[tuple[Any, ...], Learned] = {}


def train(
    given: argparse.Namespace, name: str, kept: NDArray[np.bool_], *, members: int
) -> Learned:
    """A model of these rows; the same one is trained once."""
    key = (name, kept.tobytes(), members)
    if key not in _trained:
        _trained[key] = _learned(given, name, kept, members)
    return _trained[key]


def _learned(
    given: argparse.Namespace, name: str, kept: NDArray[np.bool_], members: int
) -> Learned:
    rows, samples = crystals(given.data, name)
    settings = settings_of(epochs=given.epochs)
    labels = np.array([[row.figures[SETS[name]]] for row in rows], float)
    whole = split(rows, name)
    parts = Split(*(each[kept[each]] for each in (whole.train, whole.val, whole.test)))
    data = Dataset(samples, Labels.one_a_row(labels), family("crystal"))
    trainings = [
        Training(data, parts, settings.network, settings.training, seed=seed)
        for seed in range(members)
    ]
    for training in trainings:
        for _ in training.run():
            pass
    scale = trainings[0].normaliser
    target = Target(property=name, unit="1", mean=float(scale.mean[0]), std=float(scale.std[0]))
    card = Card.model_validate(
        {
            "name": name.replace("_", "-"), "version": 1, "title": name, "origin": "trained", "members": members,
            "targets": (target,), "input": settings.input, "network": settings.network,
            "elements_sha256": table_sha256(), "weights_sha256": "", "created_at": "2000-01-01T00:00:00Z",
        }
    )  # fmt: skip
    networks: list[torch.nn.Module] = [training.average for training in trainings]
    names = [row.structure.name for row in rows]
    trust = fitted(card, networks, data, parts, torch.device("cpu"), names=names)
    assert trust is not None
    return Learned(card, networks, data, parts, trust)


def _told(learned: Learned, strange: Sequence[Sample]) -> Line:
    """How well the score tells them from the test rows."""
    ordinary = [learned.data.samples[row] for row in learned.parts.test]
    (score, alone), (other, other_alone) = learned.scores(ordinary), learned.scores(strange)
    return {
        "rows": len(ordinary),
        "strange": len(strange),
        "auroc": round(auroc(score, other), 4),
        "features_alone": round(auroc(alone, other_alone), 4),
        "flagged": round(float((other > 1).mean()), 4),
        "false_alarms": round(float((score > 1).mean()), 4),
    }


def results() -> list[Line]:
    """All that was measured so far."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def done(what: str, **which: Any) -> bool:
    """Whether it was measured already."""
    wanted = {"what": what, **which}
    return any(wanted.items() <= line.items() for line in results())


def table() -> Iterator[str]:
    """One line a result, as Markdown."""
    yield "| data | strange rows | AUROC | of the vector's distance alone | flagged | ordinary rows flagged |"
    yield "|---|---|---|---|---|---|"
    for line in results():
        if line["what"] == "withheld":
            which = f"hold {line['element']}, which was withheld ({line['strange']})"
        elif line["what"] == "strained":
            unit = " Å" if line["how"] == "rattled" else "×"
            which = f"{line['how']}, {line['amount']:g}{unit}"
        else:
            continue
        yield (
            f"| {line['data']} | {which} | {line['auroc']:.3f} | {line['features_alone']:.3f} "
            f"| {line['flagged']:.1%} | {line['false_alarms']:.1%} |"
        )
    yield ""
    yield "| data | members | calibrated on | judged on | coverage at 50, 80, 90, 95 % | rank correlation |"
    yield "|---|---|---|---|---|---|"
    for line in results():
        if line["what"] == "intervals":
            coverage = ", ".join(f"{each:.1%}" for each in line["coverage"].values())
            yield (
                f"| {line['data']} | {line['members']} | {line['rows']} | {line['judged']} | {coverage} "
                f"| {line['rank_correlation']:.2f} |"
            )
    for line in results():
        if line["what"] == "cost":
            yield (
                f"\nJudging adds {line['added']:.0%} to the {line['plain_us']:.0f} µs a crystal takes with "
                f"{line['members']} member{'s' * (line['members'] > 1)}."
            )


if __name__ == "__main__":
    main()
