"""How a model that was made by a job becomes a version: once, and only beside versions that answer alike."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from models.card import Card
from models.catalogue import CARD, LONGEST_NAME, Catalogue
from models.errors import InputError, UnknownModel
from models.families.kinds import KINDS
from workers.files import Files
from workers.versions import catalogue_of, register_in

SHAPE = {"crystal": "", "sites": " of each site", "bonds": " of the adsorbate's bonds"}


def answers_of(
    family: str, targets: Iterable[tuple[str, str]], classes: Sequence[str] | None = None
) -> str:
    """What a model answers with, in words; `targets` are properties with their units."""
    shape = SHAPE[KINDS[family].answers]
    told = ", ".join(f"{name} in {unit}{shape}" for name, unit in targets)
    return told if classes is None else f"{told} (no: {classes[0]}, yes: {classes[1]})"


def answers_of_card(card: Card) -> str:
    """The same of a model that is there."""
    targets = [(one.property, one.unit) for one in card.targets]
    return answers_of(card.family, targets, card.classes)


def check_fits(files: Files, name: str, now: str, file: str | None = None) -> None:
    """Versions of a model answer alike. Raises: InputError for a name whose versions answer otherwise."""
    known = _latest(catalogue_of(files, fresh=True), name)
    if known is not None and (before := answers_of_card(known)) != now:
        raise InputError(
            f"{known.id} predicts {before}; this one predicts {now}.",
            file=file,
            expected=before,
            got=now,
            hint="Versions of a model predict the same; give this one a name of its own.",
        )


def registered(
    files: Files,
    staged: Path,
    card: Card,
    is_ours: Callable[[Card], bool],
    file: str | None = None,
) -> Card:
    """The version that a lost attempt has made already, or the next one. Raises: InputError."""
    for one in catalogue_of(files, fresh=True).list():
        same = (one.name, one.weights_sha256, one.targets)
        if same == (card.name, card.weights_sha256, card.targets) and is_ours(one):
            return one
    check_fits(files, card.name, answers_of_card(card), file)
    return register_in(files, staged, card)


def registered_as(files: Files, name: str, model: Path) -> Card:
    """A version of `name` from the folder of a trained model, which stays for the next attempt.

    Of a name with a number behind it when others have taken `name` meanwhile: what was learned is not lost.
    """
    card = Card.model_validate_json((model / CARD).read_bytes())
    card = card.model_copy(update={"name": _free(files, name, answers_of_card(card))})
    staged = model.with_name("registering")
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(model, staged, copy_function=os.link)
    return registered(files, staged, card, lambda one: one.created_at == card.created_at)


def _latest(catalogue: Catalogue, name: str) -> Card | None:
    try:
        return catalogue.get(name)[0]
    except UnknownModel:
        return None


def _free(files: Files, name: str, now: str) -> str:
    catalogue = catalogue_of(files, fresh=True)
    known = ((each, _latest(catalogue, each)) for each in _numbered(name))
    return next(each for each, card in known if card is None or answers_of_card(card) == now)


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        ending = f"-{number}"
        yield name[: LONGEST_NAME - len(ending)] + ending
