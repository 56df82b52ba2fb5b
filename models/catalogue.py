"""The models there are: `name/version/{card.json, weights.safetensors}` below a few folders, and their aliases."""

import difflib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from models.card import Card
from models.errors import DamagedModel, InputError, UnknownModel
from models.properties import NAME

RELEASED = Path(__file__).parent / "released"
CARD = "card.json"
WEIGHTS = "weights.safetensors"
GUIDE = "guide.safetensors"  # how far to trust it, where that is known
FIGURES = "figures.json"  # how good it was found to be, where that is known
ALIASES = "aliases.json"
REMOVED = "removed"  # `3.removed`: the number was given once, and never is again
LATEST = "latest"
ALIAS = re.compile(r"^[a-z][a-z0-9-]{0,62}$")
CARD_BYTES = 1_000_000
LONGEST_NAME = 63

Cards = list[Card]


@dataclass(slots=True)
class _Seen:
    """What was found, and the times of the folders it was found in."""

    stamp: tuple[tuple[str, int], ...] = ()
    cards: dict[str, dict[int, tuple[Card, Path]]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)  # `name@version`: what is wrong


class Catalogue:
    """Looks models up by `name`, `name@3` or `name@alias`; quick enough to be asked at every request."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """The last folder is where aliases are kept; earlier folders win."""
        self._folders = tuple(folders)
        self._seen = _Seen()

    def list(self) -> Cards:
        """Every version of every model, by name, newest first."""
        cards = self._fresh().cards
        return [
            card
            for name in sorted(cards)
            for _, (card, _) in sorted(cards[name].items(), reverse=True)
        ]

    def versions(self, name: str) -> Cards:
        """All versions of one model, newest first. Raises: UnknownModel."""
        found = self._versions(name)
        return [found[number][0] for number in sorted(found, reverse=True)]

    def get(self, name: str) -> tuple[Card, Path]:
        """The card and folder of `name` (its newest version), `name@3` or `name@alias`.

        Raises: UnknownModel, DamagedModel.
        """
        base, _, wanted = name.partition("@")
        seen = self._fresh()
        if wanted.isdecimal() and f"{base}@{int(wanted)}" in seen.damaged:
            raise DamagedModel(f"{name}: {seen.damaged[f'{base}@{int(wanted)}']}.")
        found = self._versions(base)
        number = self._number(base, wanted, found)
        if number not in found:
            raise UnknownModel(
                f"The model {base} has no version {wanted[:40]!r}.",
                expected=_choice(base, found, self.aliases(base)),
                got=name[:120],
            )
        return found[number]

    def aliases(self, name: str) -> dict[str, int]:
        """Names that stand for a version of this model. Raises: UnknownModel."""
        self._versions(name)
        try:
            kept = json.loads((self._folders[-1] / name / ALIASES).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise DamagedModel(f"The aliases of {name} cannot be read: {error}.") from error
        return {str(alias): int(number) for alias, number in kept.items()}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `name@alias` stand for this version from now on. Raises: UnknownModel, InputError."""
        check_alias(alias)
        self.get(f"{name}@{version}")
        folder = self._folders[-1] / name
        folder.mkdir(parents=True, exist_ok=True)
        kept = {**self.aliases(name), alias: version}
        _write(folder / ALIASES, aliases_bytes(kept))

    def drop_alias(self, name: str, alias: str) -> bool:
        """Forget an alias; false when there was none. Raises: UnknownModel."""
        kept = self.aliases(name)
        if kept.pop(alias, None) is None:
            return False
        _write(self._folders[-1] / name / ALIASES, aliases_bytes(kept))
        return True

    def is_own(self, name: str, version: int) -> bool:
        """Whether it was made here, and did not come with the program. Raises: UnknownModel, DamagedModel."""
        return self.get(f"{name}@{version}")[1].is_relative_to(self._folders[-1])

    def remove(self, name: str, version: int) -> None:
        """Forget a version of one's own, in one step; its number is never given again."""
        folder = self._folders[-1] / name / str(version)
        gone = folder.with_name(f".{version}.{os.getpid()}")
        folder.with_name(f"{version}.{REMOVED}").touch()
        with suppress(FileNotFoundError):  # by somebody else, just now
            folder.rename(gone)
        _sync(folder.parent)
        shutil.rmtree(gone, ignore_errors=True)

    def warnings(self) -> dict[str, str]:
        """Models that are passed over because their files are damaged, with the reason."""
        return dict(self._fresh().damaged)

    def _number(self, name: str, wanted: str, found: dict[int, tuple[Card, Path]]) -> int:
        if wanted in ("", LATEST):
            return max(found)
        if wanted.isdecimal() and len(wanted) < 10:
            return int(wanted)
        return self.aliases(name).get(wanted, 0)

    def _versions(self, name: str) -> dict[int, tuple[Card, Path]]:
        cards = self._fresh().cards
        if name in cards:
            return cards[name]
        broken = [
            f"{each}: {why}"
            for each, why in self._seen.damaged.items()
            if each.split("@")[0] == name
        ]
        if broken:
            raise DamagedModel("; ".join(broken) + ".")
        near = difflib.get_close_matches(name, cards, 3, 0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else None
        expected = "one of " + ", ".join(sorted(cards)) if cards else "a model; there is none yet"
        raise UnknownModel(
            f"There is no model {name[:80]!r}.", expected=expected, got=repr(name[:80]), hint=hint
        )

    def _fresh(self) -> _Seen:
        stamp = tuple(_stamps(self._folders))
        if stamp != self._seen.stamp:
            self._seen = _read(self._folders, self._seen, stamp)
        return self._seen


def register(models_folder: Path, staged: Path, card: Card, released: Path = RELEASED) -> Card:
    """Give a staged model the next free version and its place, in one step that others see whole or not.

    Raises: InputError for a name that is none.
    """
    check_name(card.name)
    home = models_folder / card.name
    home.mkdir(parents=True, exist_ok=True)
    while True:
        taken = _numbers(home) | _numbers(released / card.name)
        card = card.model_copy(update={"version": max(taken, default=0) + 1})
        _write(staged / CARD, card_bytes(card))
        try:
            staged.rename(home / str(card.version))
        except OSError:
            if not (home / str(card.version)).exists():
                raise
        else:
            _sync(home)
            return card


def check_name(name: str) -> None:
    """Raises: InputError for what cannot be the name of a model."""
    if NAME.fullmatch(name):
        return
    raise InputError(
        f"{name[:80]!r} is no name of a model.",
        expected=f"at most {LONGEST_NAME} lower-case letters, digits and hyphens, not starting with a hyphen",
        got=repr(name[:80]),
    )


def check_alias(alias: str) -> None:
    """Raises: InputError for what cannot stand for a version."""
    if not ALIAS.fullmatch(alias) or alias == LATEST:
        raise InputError(
            f"{alias[:80]!r} is no alias.",
            expected=f"a letter, then letters, digits and hyphens in lower case; not {LATEST!r}",
            got=repr(alias[:80]),
        )


def aliases_bytes(aliases: Mapping[str, int]) -> bytes:
    """The text of `aliases.json`."""
    return json.dumps(aliases, indent=1, sort_keys=True).encode()


def card_bytes(card: Card) -> bytes:
    """The text of `card.json`."""
    return card.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"


def exported(folder: Path) -> bytes:
    """The model in this folder as a zip, the same bytes every time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in (CARD, WEIGHTS, GUIDE, FIGURES):  # drawings are made anew where it arrives
            if name in (CARD, WEIGHTS) or (folder / name).is_file():
                archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())
    return content.getvalue()


def discard(staged: Path) -> None:
    """Forget a staged model that will not be registered."""
    shutil.rmtree(staged, ignore_errors=True)


def _numbers(folder: Path) -> set[int]:
    if not folder.is_dir():
        return set()
    names = (each.name.removesuffix(f".{REMOVED}") for each in folder.iterdir())
    return {int(name) for name in names if name.isdecimal()}


def _stamps(folders: Sequence[Path]) -> Iterator[tuple[str, int]]:
    """Adding or removing a version changes the time of its model's folder."""
    for folder in folders:
        yield from _shipped() if folder == RELEASED else _looked(folder)


@cache
def _shipped() -> tuple[tuple[str, int], ...]:
    """What came with the program stays as it is while it runs."""
    return _looked(RELEASED)


def _looked(folder: Path) -> tuple[tuple[str, int], ...]:
    try:
        with os.scandir(folder) as found:
            return tuple((each.path, each.stat().st_mtime_ns) for each in found if each.is_dir())
    except FileNotFoundError:
        return ()


def _read(folders: Sequence[Path], before: _Seen, stamp: tuple[tuple[str, int], ...]) -> _Seen:
    known = {path: card for each in before.cards.values() for card, path in each.values()}
    seen = _Seen(stamp)
    for folder in folders:
        for path in sorted(folder.glob("*/*/")):
            name, number = path.parent.name, path.name
            if not NAME.fullmatch(name) or not number.isdecimal():
                continue
            if int(number) in seen.cards.get(name, {}):
                continue
            try:
                card = known.get(path) or _card(path)
            except (OSError, ValueError) as error:
                seen.damaged[f"{name}@{number}"] = _reason(error)
                continue
            seen.cards.setdefault(name, {})[int(number)] = card, path
    return seen


def _card(path: Path) -> Card:
    if (path / CARD).stat().st_size > CARD_BYTES:
        raise ValueError("the card is too large to be one")
    card = Card.model_validate_json((path / CARD).read_bytes())
    if (card.name, str(card.version)) != (path.parent.name, path.name):
        raise ValueError(f"the card is that of {card.id}")
    if not (path / WEIGHTS).is_file():
        raise ValueError("the weights are missing")
    return card


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"card.json: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


def _choice(name: str, found: dict[int, tuple[Card, Path]], aliases: dict[str, int]) -> str:
    known = [f"{name}@{number}" for number in sorted(found)] + [
        f"{name}@{each}" for each in aliases
    ]
    return "one of " + ", ".join(known[:20])


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
