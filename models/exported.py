"""A model of ours in one file: a zip of its card, its weights, and what tells how far to trust and to show it."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from models.card import Card
from models.catalogue import CARD, CARD_BYTES, FIGURES, GUIDE, WEIGHTS
from models.checkpoint import LARGEST_WEIGHTS, build
from models.errors import BadCheckpoint, DamagedModel
from models.figures import kept
from models.figures.told import FIGURES_BYTES, Figures
from models.trust.files import LARGEST as LARGEST_GUIDE
from models.trust.files import opened

Reader = Callable[[str, int], bytes]  # name of the file, and its largest size


@dataclass(frozen=True, slots=True)
class Exported:
    """A model that came in one file, checked; its drawings are made anew, whoever drew them."""

    card: Card
    networks: list[nn.Module]
    guide: bytes | None
    figures: Figures | None


def is_exported(path: Path) -> bool:
    """Whether this is a folder or zip with a card in it."""
    if path.is_dir():
        return (path / CARD).is_file()
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == CARD for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def open_exported(path: Path) -> Exported:
    """The model, checked. Raises: BadCheckpoint."""
    with _from_folder(path) if path.is_dir() else _from_zip(path) as read:
        card, weights = _card(read(CARD, CARD_BYTES)), read(WEIGHTS, LARGEST_WEIGHTS)
        guide = read(GUIDE, LARGEST_GUIDE) if card.guide_sha256 else None
        figures = read(FIGURES, FIGURES_BYTES) if card.figures_sha256 else None
    try:
        networks = build(card, weights)
        if guide is not None:
            opened(guide, card)
    except DamagedModel as error:
        raise BadCheckpoint(str(error)) from error
    return Exported(card, networks, guide, None if figures is None else _figures(card, figures))


def _card(text: bytes) -> Card:
    try:
        return Card.model_validate_json(text)
    except ValueError as error:
        raise BadCheckpoint(f"The card is not readable: {str(error)[:300]}.") from error


def _figures(card: Card, data: bytes) -> Figures:
    try:
        return kept.parsed(card, data)
    except ValueError as error:
        raise BadCheckpoint(
            f"{FIGURES} cannot be used: {str(error)[:300]}.",
            expected="the file as it was exported",
            hint="Export the model again; without figures_sha256 in the card it is imported without them.",
        ) from error


@contextmanager
def _from_folder(path: Path) -> Iterator[Reader]:
    def read(name: str, largest: int) -> bytes:
        try:
            if (path / name).stat().st_size > largest:
                raise _too_large(name, largest)
            return (path / name).read_bytes()
        except OSError as error:
            raise BadCheckpoint(f"The model lacks a file: {name}: {error.strerror}.") from error

    yield read


@contextmanager
def _from_zip(path: Path) -> Iterator[Reader]:
    """Of the files at the top of the zip or in one folder there."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield lambda name, largest: _member(archive, name, largest)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise BadCheckpoint(f"The zip is damaged: {error}.") from error


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    found = [each for each in archive.infolist() if Path(each.filename).name == name]
    if len(found) != 1:
        raise BadCheckpoint(f"The zip holds {len(found)} files named {name}.", expected="one")
    member = found[0]
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadCheckpoint(f"{name} is packed in an unusual way.", expected="stored or deflated")
    with archive.open(member) as file:
        data = file.read(largest + 1)  # counts what really comes out, whatever the zip claims
    if len(data) > largest:
        raise _too_large(name, largest)
    return data


def _too_large(name: str, largest: int) -> BadCheckpoint:
    return BadCheckpoint(f"{name} is too large.", expected=f"at most {largest:,} bytes")
