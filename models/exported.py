"""A model of ours in one file: a zip of `card.json` and `weights.safetensors`."""

import zipfile
from pathlib import Path

from torch import nn

from models.card import Card
from models.catalogue import CARD, CARD_BYTES, WEIGHTS
from models.checkpoint import LARGEST_WEIGHTS, build
from models.errors import BadCheckpoint, DamagedModel


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


def open_exported(path: Path) -> tuple[Card, list[nn.Module]]:
    """The model, checked. Raises: BadCheckpoint."""
    card_text, weights = _from_folder(path) if path.is_dir() else _from_zip(path)
    try:
        card = Card.model_validate_json(card_text)
        return card, build(card, weights)
    except DamagedModel as error:
        raise BadCheckpoint(str(error)) from error
    except ValueError as error:
        raise BadCheckpoint(f"The card is not readable: {str(error)[:300]}.") from error


def _from_folder(path: Path) -> tuple[bytes, bytes]:
    try:
        if (path / WEIGHTS).stat().st_size > LARGEST_WEIGHTS:
            raise BadCheckpoint("The weights are larger than any network.")
        return (path / CARD).read_bytes(), (path / WEIGHTS).read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"The model lacks a file: {error.strerror}.") from error


def _from_zip(path: Path) -> tuple[bytes, bytes]:
    """The two files, at the top of the zip or in one folder there."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _member(archive, CARD, CARD_BYTES), _member(archive, WEIGHTS, LARGEST_WEIGHTS)
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
        raise BadCheckpoint(f"{name} is too large.", expected=f"at most {largest:,} bytes")
    return data
