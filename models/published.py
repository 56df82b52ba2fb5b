"""Checkpoints of the published CGCNN code (`.pth.tar`), and our own exported ones, made models of ours.

No pickled code is ever run: torch's weights-only reader, then only the keys that are expected. To be run as a
process of its own, with limits on memory and time, since a hostile file may still ask for much of both:

    python -m models.published FILE FOLDER --name NAME [--file-name …] [--property …] [--unit …] …

stages the model in FOLDER, prints its card and ends with 0, or prints the error as JSON and ends with 1.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from models.card import Card, Target, TrainingRecord
from models.catalogue import GUIDE, card_bytes, check_name
from models.checkpoint import save_model
from models.errors import BadCheckpoint, InputError, WrongUnit
from models.exported import Exported, is_exported, open_exported
from models.figures.drawing import write as draw
from models.graphs.elements import table_sha256
from models.networks.crystal import CrystalNetwork
from models.networks.released import Layout, checked, layout_of, renamed
from models.pickled import Checkpoint, read_checkpoint
from models.properties import check_unit, default_unit, property_name
from models.settings.graph import GraphSettings, Ties
from models.settings.network import NetworkSettings

Task = Literal["regression", "classification"]

EDGE_WIDTH = (
    41  # Gaussians, 0 to 8 Å in steps of 0.2: what the published code cannot be told otherwise
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever imports a model says of it; the rest is found out."""

    name: str
    file_name: str = ""
    property: str | None = None
    unit: str | None = None
    title: str | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a published checkpoint is about."""

    property: str
    title: str
    classes: tuple[str, ...] | None = None


METAL = Known("metal-probability", "Metal or semiconductor", ("semiconductor", "metal"))
# By the file's name in the published repository, and by the name of the data inside the file.
PUBLISHED: dict[str, Known] = {
    "band-gap": Known("band-gap", "Band gap"),
    "bulk-moduli": Known("bulk-modulus-log", "Bulk modulus, logarithm"),
    "efermi": Known("fermi-energy", "Fermi energy"),
    "final-energy-per-atom": Known("energy-per-atom", "Energy per atom"),
    "formation-energy-per-atom": Known("formation-energy-per-atom", "Formation energy per atom"),
    "metal-semi": METAL,
    "poisson-ratios": Known("poisson-ratio", "Poisson ratio"),
    "semi-metal-classification": METAL,
    "shear-moduli": Known("shear-modulus-log", "Shear modulus, logarithm"),
}
CITATION = "T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018)"
ELEMENTS_NOTE = (
    "The checkpoint does not say which elements it was trained on: "
    "answers for rare elements may be guesses."
)
TIES_NOTE = (
    "Made for the published code's graphs, in which the order of equally far neighbours can matter; "
    "an answer that hangs on it carries a warning."
)


def import_model(path: Path, folder: Path, wishes: Wishes) -> Card:
    """Stage the checkpoint at `path` as a model of ours in `folder`.

    Raises: BadCheckpoint, WrongUnit, InputError for a name or property that is none.
    """
    check_name(wishes.name)
    if is_exported(path):
        return _taken_over(open_exported(path), folder, wishes)
    checkpoint = read_checkpoint(path)
    layout = layout_of(checkpoint.state)
    state = renamed(checked(checkpoint.state, layout), layout)
    card = _card(checkpoint, layout, wishes)
    assert isinstance(card.network, NetworkSettings)
    network = CrystalNetwork(card.network)
    network.load_state_dict(state, strict=False)
    return save_model(folder, card, [network])


def _taken_over(model: Exported, folder: Path, wishes: Wishes) -> Card:
    card = _renamed(model.card, wishes)
    folder.mkdir(parents=True, exist_ok=True)
    if model.guide is not None:
        (folder / GUIDE).write_bytes(model.guide)
    if model.figures is not None:
        card = draw(folder, card, model.figures)
    return save_model(folder, card, model.networks)


def _renamed(card: Card, wishes: Wishes) -> Card:
    """A model of ours knows what it predicts; it may be given another name and title."""
    only = card.targets[0] if len(card.targets) == 1 else None
    for said, is_so in (
        (wishes.property, only and only.property),
        (wishes.unit, only and only.unit),
        (wishes.classes, card.classes),
    ):
        if said and said != is_so:
            raise InputError(
                "An exported model says itself what it predicts.",
                expected=str(is_so),
                got=str(said),
                hint="Leave out property, unit and classes.",
            )
    changes = {"name": wishes.name, "origin": "imported", "title": wishes.title or card.title}
    return card.model_copy(update=changes)


def _card(checkpoint: Checkpoint, layout: Layout, wishes: Wishes) -> Card:
    task = _task(checkpoint, layout)
    known = _known_inside(checkpoint) or PUBLISHED.get(wishes.file_name.split(".")[0].lower())
    if known and (known.classes is None) != (task == "regression"):
        known = None
    target = _target(checkpoint, wishes, known, task)
    title = f"{known.title} (published CGCNN)" if known else wishes.name
    return Card(
        name=wishes.name,
        version=1,
        title=wishes.title or title,
        origin="imported",
        targets=(target,),
        classes=_classes(wishes, known) if task == "classification" else None,
        input=GraphSettings(ties=Ties.RELEASED),
        network=_network(checkpoint, layout, task),
        elements_sha256=table_sha256(),
        training=_training(checkpoint),
        metrics=_metrics(checkpoint, task),
        notes=(ELEMENTS_NOTE, TIES_NOTE),
        weights_sha256="",
        created_at=datetime.now(UTC),
    )


def _task(checkpoint: Checkpoint, layout: Layout) -> Task:
    said = checkpoint.args.get("task")
    task: Task = "classification" if layout.outputs == 2 else "regression"
    if layout.outputs in (1, 2) and said in (None, task):
        return task
    raise BadCheckpoint(
        "The network's outputs do not fit its task.",
        expected="one output for regression, two for classification",
        got=f"{layout.outputs} outputs, task {str(said)[:40]}",
    )


def _known_inside(checkpoint: Checkpoint) -> Known | None:
    """The published checkpoints name their data: [file, task, property]."""
    options = checkpoint.args.get("data_options")
    if not isinstance(options, list) or len(options) != 3:
        return None
    name = str(options[2]).replace("_", "-")
    return PUBLISHED.get(name)


def _target(checkpoint: Checkpoint, wishes: Wishes, known: Known | None, task: Task) -> Target:
    name = property_name(wishes.property) if wishes.property else known and known.property
    if not name:
        raise InputError(
            "The checkpoint does not say what it predicts.",
            expected="a property and its unit",
            got="neither",
            hint="Give them with the upload, for example property=band-gap and unit=eV.",
        )
    same = known if known and known.property == name else None
    usual = "probability" if task == "classification" else default_unit(name)
    unit = wishes.unit or (_unit_of(same) if same else usual)
    if unit is None:
        raise WrongUnit(
            f"The unit of {name} must be given.", expected="a unit such as eV/atom", got="none"
        )
    unit = check_unit(name, unit)
    inside = _known_inside(checkpoint)
    if inside is not None and unit != _unit_of(inside):
        raise WrongUnit(
            f"This is the published checkpoint of {inside.property}; its values are in {_unit_of(inside)}.",
            expected=_unit_of(inside),
            got=unit,
        )
    if task == "classification":
        return Target(property=name, unit=unit)
    return Target(property=name, unit=unit, mean=checkpoint.mean, std=checkpoint.std)


def _unit_of(known: Known) -> str:
    return default_unit(known.property) or "1"


def _classes(wishes: Wishes, known: Known | None) -> tuple[str, ...]:
    classes = wishes.classes or (known and known.classes) or ("0", "1")
    if len(classes) != 2 or len(set(classes)) != 2 or not all(classes):
        raise InputError(
            "A classifier has two classes.",
            expected="two different names, the one with label 1 last",
            got=", ".join(classes)[:80],
        )
    return tuple(classes)


def _network(checkpoint: Checkpoint, layout: Layout, task: Task) -> NetworkSettings:
    sizes = {
        "atom_fea_len": layout.width,
        "n_conv": layout.convolutions,
        "h_fea_len": layout.hidden_width,
        "n_h": layout.hidden_layers,
    }
    for name, size in sizes.items():
        said = checkpoint.args.get(name, size)
        if said != size:
            raise BadCheckpoint(
                f"The args and the weights disagree on {name}.",
                expected=str(said)[:40],
                got=str(size),
            )
    if layout.edge_width != EDGE_WIDTH:
        raise BadCheckpoint(
            "The network was trained with another expansion of distances.",
            expected=f"{EDGE_WIDTH} Gaussians, 0 to 8 Å in steps of 0.2",
            got=f"{layout.edge_width} edge features",
        )
    if checkpoint.args.get("enable_tanh"):
        raise BadCheckpoint("Networks with tanh in place of softplus cannot be read.")
    return NetworkSettings(
        convolutions=layout.convolutions,
        width=layout.width,
        hidden_layers=layout.hidden_layers,
        hidden_width=layout.hidden_width,
        task=task,
        outputs=layout.outputs,
    )


def _training(checkpoint: Checkpoint) -> TrainingRecord | None:
    if _known_inside(checkpoint) is None or checkpoint.args.get("dataset") != "matproj":
        return None
    rows = {part: checkpoint.args.get(f"{part}_size") for part in ("train", "val", "test")}
    return TrainingRecord(
        dataset="Materials Project, April 2017",
        citation=CITATION,
        rows={part: size for part, size in rows.items() if isinstance(size, int)},
    )


def _metrics(checkpoint: Checkpoint, task: Task) -> dict[str, dict[str, float]]:
    best = checkpoint.best
    if best is None or not 0 <= best < 1e6:
        return {}
    return {"val": {"auc" if task == "classification" else "mae": best}}


def main(arguments: list[str]) -> int:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m models.published")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    for option in ("--file-name", "--property", "--unit", "--title"):
        parser.add_argument(option)
    parser.add_argument("--class", dest="classes", action="append")
    given = parser.parse_args(arguments)
    wishes = Wishes(
        name=given.name,
        file_name=given.file_name or given.file.name,
        property=given.property,
        unit=given.unit,
        title=given.title,
        classes=tuple(given.classes) if given.classes else None,
    )
    try:
        card = import_model(given.file, given.folder, wishes)
    except InputError as error:
        sys.stdout.write(json.dumps(error.as_dict()) + "\n")
        return 1
    sys.stdout.write(card_bytes(card).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
