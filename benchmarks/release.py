"""Trains the models that ship, through the service, and puts them where they are found.

Run: python -m benchmarks.release --data FOLDER [--only NAME …] [--state FOLDER] [--out FOLDER] [--members N]
[--again | --anew]. With `--state` the service keeps what it has learned, so that a run goes on where another ended:
a model that is there is only brought out. `--again` judges, calibrates and draws it anew without learning, `--anew`
trains it anew. One processor needs some hours for all of them.
"""

import argparse
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.running import service
from benchmarks.studies import STUDIES, Study
from models.card import Card, TrainingRecord
from models.catalogue import CARD, RELEASED, card_bytes
from models.figures import kept
from models.figures.drawing import write
from service.client import Client
from service.client_errors import NotFound

MEMBERS = 5
CC_BY, MIT = "CC BY 4.0", "MIT"


@dataclass(frozen=True, slots=True)
class About:
    """What a card says of a set beside what the training knows."""

    words: str
    citation: str
    licence: str = CC_BY


PROJECT = "A. Jain et al., APL Materials 1, 011002 (2013)"
ABOUT = {
    "mp_cgcnn_elastic_3k": About(
        "Materials Project, the materials with elastic constants of the CGCNN paper, current relaxed cells",
        f"{PROJECT}; list of materials: T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018); "
        "M. de Jong et al., Sci. Data 2, 150009 (2015)",
    ),
    "mp_20_fragment": About("a part of MP-20", f"{PROJECT}; T. Xie et al., ICLR 2022"),
    "mp_binary_elasticity": About(
        "Materials Project, elastic constants of binaries as in matcalc",
        "M. de Jong et al., Sci. Data 2, 150009 (2015); R. Liu et al., matcalc",
    ),
    "dielectric_petousis": About(
        "refractive indices and PBE gaps of semiconductors", "I. Petousis et al., Sci. Data 4, 160134 (2017)"
    ),
    "perov_5_partial": About(
        "cubic perovskites of Castelli et al., official test rows of perov_5",
        "I. E. Castelli et al., Energy Environ. Sci. 5, 5814 and 9034 (2012); T. Xie et al., ICLR 2022",
        "MIT as mirrored; the original database states none",
    ),
    "matbench_phonons": About(
        "phonons of semiconductors (Matbench)",
        "G. Petretto et al., Sci. Data 5, 180065 (2018); A. Dunn et al., npj Comput. Mater. 6, 138 (2020)",
    ),
    "alexandria_binary_cv": About(
        "Alexandria binaries, PBE phonons",
        "A. Loew et al., npj Comput. Mater. 11, 178 (2025); J. Schmidt et al., Adv. Mater. 35, 2210788 (2023)",
    ),
    "coremof_ddec": About(
        "CoRE MOF 2014 with DDEC charges (deduplicated part)",
        "D. Nazarian, J. S. Camp and D. S. Sholl, Chem. Mater. 28, 785 (2016), Zenodo 10.5281/zenodo.3986573; "
        "A. Raza et al., J. Phys. Chem. C 124, 19070 (2020)",
    ),
    "nrel_oxide_sites": About(
        "oxides of 16 elements, PBE+U",
        "M. D. Witman et al., Nat. Comput. Sci. 3, 675 (2023), Zenodo 5999073", MIT,
    ),
    "gamenet_fg": About(
        "GAME-Net FG: closed-shell C, H, N, O, S molecules on 14 metals, PBE-D2; starting slabs were constructed",
        "S. Pablo-García et al., Nat. Comput. Sci. 3, 433 (2023), ioChem-BD 10.19061/iochem-bd-1-257", MIT,
    ),
    "dimers": About(
        "pairs of atoms made by matprop's generator, Lennard-Jones (σ = ε = 1)",
        "after K. Ryczko et al., Comput. Mater. Sci. 149, 134 (2018)", "made by the project",
    ),
    "sheets": About(
        "graphene and boron nitride sheets made by matprop's generator, GFN1-xTB at Γ through tblite",
        "S. Grimme, C. Bannwarth and P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)",
        "made by the project",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Release:
    """How a study becomes a model that ships."""

    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    members: int = MEMBERS
    notes: Sequence[str] = ()
    after: str | None = None  # a model of another property, from which it goes on


RELAXED = "Learned from relaxed crystals: of others the error is larger."
TUNED = (
    "The recipe of crystals was compared on validation and test rows of this very set: "
    "the test error may be a little too good."
)
MOLECULES = (
    "All rows of a molecule are in one part: 133 molecules taught, 29 calibrated, 25 judged. The intervals are for new "
    "molecules; their coverage is known to about ten points only."
)
OXIDES = (
    "Learned from 180 oxides of 16 elements: a small set.",
    (
        "The kind of convolution was chosen by four other divisions of the same oxides, after the test rows had been "
        "seen to gain: the test error may be a little too good."
    ),
)
NO_METALS = "Learned from semiconductors and insulators alone: of metals its answers tell nothing."
SCALE = "Rows of MP-20, a little older in scale (mean difference 0.003 eV/atom), only teach; they judge nothing."
RESIDUAL = {  # better than the recipe for some: docs/explanation/recipes.md
    "convolution": "residual",
    "convolutions": 4,
    "epochs": 100,
    "learning_rate": 3e-3,
    "weight_decay": 0.1,
}
NUMBERS = {"elements": "numbers"}
ONWARD = {"epochs": 100, "learning_rate": 1e-3, "weight_decay": 0.1}  # by what knows energies
HEAT, ENERGY = "perovskite-heat@3", "formation-energy@5"
LEARNED = (
    f"Goes on from {ENERGY}, which had learned the energies of crystals under other ids than those that choose or judge "
    "here; that this helps was seen by validation and test rows."
)
ENERGIES = {**RESIDUAL, **NUMBERS}
RELEASES = {
    "formation-energy": Release(
        "Formation energy per atom of inorganic crystals", ENERGIES, after=HEAT,
        notes=(RELAXED, SCALE, TUNED, f"Goes on from {HEAT}, which had learned heats of perovskites."),
    ),
    "band-gap": Release(
        "Band gap (PBE) of inorganic crystals", {**ONWARD, "learning_rate": 2e-3}, after=ENERGY,
        notes=(RELAXED, "PBE gaps are below measured ones, often by a third.", LEARNED),
    ),
    "is-metal": Release(
        "Metal or semiconductor (PBE)", {**NUMBERS, "class_weights": "balanced"},
        notes=(RELAXED, "Version 1 answered with the probability of a semiconductor, and is withdrawn."),
    ),
    "log-bulk-modulus": Release("Bulk modulus (Voigt-Reuss-Hill), decimal logarithm", notes=(RELAXED,)),
    "log-shear-modulus": Release("Shear modulus (Voigt-Reuss-Hill), decimal logarithm", notes=(RELAXED,)),
    "poisson-ratio": Release("Poisson ratio of polycrystals", notes=(RELAXED,)),
    "fermi-energy": Release(
        "Fermi energy (VASP)",
        notes=(RELAXED, "Against the mean potential of the cell: hardly comparable between materials."),
    ),
    "perovskite-heat": Release(
        "Heat of formation of cubic perovskites, eV per cell of five atoms",
        {**ENERGIES, "batch_size": 32, "learning_rate": 2e-3},
        notes=("Knows cubic ABX3 cells of five atoms alone.", TUNED),
    ),
    "phonon-peak": Release(
        "Highest peak of the phonon density of states", notes=(RELAXED, NO_METALS)
    ),
    "refractive-index": Release(
        "Refractive index of semiconductors", ONWARD, after=ENERGY,
        notes=(RELAXED, NO_METALS, LEARNED),
    ),
    "heat-capacity": Release(
        "Heat capacity at 300 K, per mole of atoms", {**ONWARD, "epochs": 60}, after=ENERGY,
        notes=(RELAXED, LEARNED),
    ),
    "ddec-charge": Release(
        "DDEC charge of each site in metal-organic frameworks", members=3,
        notes=("The charges of a cell need not add up to zero: before a simulation, take their mean off.",),
    ),
    "magnetic-moment": Release(
        "Magnetic moment of each site in oxides, absolute value", RESIDUAL, notes=OXIDES,
    ),
    "oxidation-state": Release(
        "Oxidation state of each site in oxides", RESIDUAL, notes=OXIDES,
    ),
    "adsorbate-distances": Release(
        "The four shortest bonds of an adsorbate after relaxation", members=3, notes=(MOLECULES,)
    ),
    "adsorption-energy": Release(
        "Adsorption energy of a molecule on a metal, from the starting slab", {"epochs": 40}, members=3,
        notes=(MOLECULES, "Knows slabs with a molecule on them alone."),
    ),
    "dimer-distance-2d": Release("Distance of two atoms in a plane, from their image", {"epochs": 30}, members=3),
    "dimer-energy-2d": Release("Lennard-Jones energy of two atoms in a plane", {"epochs": 30}, members=3),
    "dimer-distance-3d": Release(
        "Distance of two atoms in space, from their image",
        {"dimensions": 3, "pixels": 32, "epochs": 20}, members=2,
    ),
    "dimer-energy-3d": Release(
        "Lennard-Jones energy of two atoms in space",
        {"dimensions": 3, "pixels": 32, "epochs": 20}, members=2,
    ),
    "sheet-energy": Release(
        "Energy per atom of graphene and boron nitride sheets",
        {"box": "cell", "periodicity": "circular", "species": ["B", "C", "N"]}, members=3,
    ),
}  # fmt: skip


def main() -> None:
    """Send, train, bring out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(RELEASES), choices=list(RELEASES))
    parser.add_argument("--state", type=Path)
    parser.add_argument("--out", type=Path, default=RELEASED)
    parser.add_argument("--members", type=int, help="of every ensemble")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--again", action="store_true", help="judge and calibrate anew")
    how.add_argument("--anew", action="store_true", help="train anew")
    given = parser.parse_args()
    with (
        service(workers=1, state=given.state) as port,
        Client(f"http://127.0.0.1:{port}") as client,
    ):
        for name in given.only:
            known = _known(client, name, "trained")
            if known is None or given.again or given.anew:
                start = (known or _known(client, name, "released")) if given.again else None
                _learn(client, given.data, name, start, given.members)
            card = _brought_out(client, name, given.out)
            print(f"{card.id}: {card.metrics.get('test')} {card.baselines}", flush=True)


def _known(client: Client, name: str, origin: str) -> str | None:
    """The newest version that the service has made itself, or that ships with it."""
    try:
        cards = [item.card for item in client.model(name).items]
    except NotFound:
        return None
    return next((card.id for card in cards if card.origin == origin), None)


def _learn(client: Client, data: Path, name: str, start: str | None, members: int | None) -> None:
    study, release = STUDIES[name], RELEASES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.parquet"
        study.write(data, path)
        client.add_dataset(path, name=name, coordinates=study.coordinates)
    options: dict[str, Any] = {"settings": release.settings, "start_from": release.after}
    if start:
        options = {"settings": {"epochs": 0}, "start_from": start}
    began = time.monotonic()
    job = client.submit_training(
        name, study.target, title=release.title, register_as=name,
        members=members or release.members, **study.options, **options,
    )  # fmt: skip
    for event in client.events(job):
        if event.kind == "metric" and event.data["epoch"] % 20 == 0:
            print(name, event.data, flush=True)
    view = client.training(job)
    if view.status != "succeeded":
        raise SystemExit(f"{name}: {view.status}: {view.job.error}")
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def _brought_out(client: Client, name: str, out: Path) -> Card:
    """The newest version as a released one: the card says where the data come from."""
    known = _known(client, name, "trained")
    assert known is not None
    with (
        tempfile.TemporaryDirectory() as scratch,
        zipfile.ZipFile(client.export_model(known, Path(scratch) / "model.zip")) as files,
    ):
        card = Card.model_validate_json(files.read(CARD))
        if card.training is None or card.training.judged:
            raise SystemExit(f"{name}: these are not the very rows it has learned from: --anew.")
        folder = _place(out / name, card)
        folder.mkdir(parents=True, exist_ok=True)
        files.extractall(folder)
    card = card.model_copy(
        update={
            "version": int(folder.name),
            "origin": "released",
            "training": _record(card, STUDIES[name]),
            "notes": (*RELEASES[name].notes, *card.notes),
        }
    )
    if figures := kept.read(card, folder):
        card = write(folder, card, figures)  # drawings do not travel
    (folder / CARD).write_bytes(card_bytes(card))
    return card


def _place(home: Path, card: Card) -> Path:
    """That of the same weights judged before, else the next version's."""
    for each in home.glob("*/"):
        known = Card.model_validate_json((each / CARD).read_bytes())
        if known.weights_sha256 == card.weights_sha256:
            return each
    return home / str(1 + max((int(each.name) for each in home.glob("*/")), default=0))


def _record(card: Card, study: Study) -> TrainingRecord:
    """The training's record with source, citation and licence."""
    assert card.training is not None
    known = [ABOUT[each.name] for each in study.sources] or [ABOUT[study.made[0]]]
    return card.training.model_copy(
        update={
            "dataset": "; ".join(each.words for each in known),
            "citation": "; ".join(
                dict.fromkeys(one for each in known for one in each.citation.split("; "))
            ),
            "licence": "; ".join(dict.fromkeys(each.licence for each in known)),
        }
    )


if __name__ == "__main__":
    main()
