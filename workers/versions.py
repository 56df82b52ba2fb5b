"""The models there are on this machine: with an object store a mirror of it, brought up when it is asked to.

A version's card is the last of its files to be stored: with it the version is there. Its number is taken before, by a
file that only one can make.
"""

import json
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from models.card import Card
from models.catalogue import (
    ALIASES,
    CARD,
    RELEASED,
    REMOVED,
    Catalogue,
    aliases_bytes,
    card_bytes,
    check_alias,
    check_name,
    register,
)
from models.errors import MatpropError, StoreAway, UnknownModel
from workers.files import Files, written
from workers.ids import new_id
from workers.store import Entry

CLAIM = "claim"
MIRRORED_S = 1.0  # a look for a model that is missing serves others for so long
TRIES = 8


def catalogue_of(files: Files, *, fresh: bool = False) -> Catalogue:
    """The released models and those of this deployment; `fresh`: as the store has them just now."""
    if not files.shared:
        return Catalogue((RELEASED, files.models()))
    versions = Versions(files)
    if fresh:
        versions.mirror()
    return versions


class Versions(Catalogue):
    """A catalogue of the mirror; what is missing in it is looked for in the store."""

    def __init__(self, files: Files, *, looks: bool = True) -> None:
        """Who must not wait for the store does not let it look by itself, and calls `mirror`."""
        super().__init__((RELEASED, files.models()))
        self._files = files
        self._looks = looks
        self._tags: dict[str, str] = {}  # of the aliases that were read
        self._mirrored_at = float("-inf")
        self._alone = threading.Lock()

    def get(self, name: str) -> tuple[Card, Path]:
        """As every catalogue, but a worker was told of a version before the mirror had it."""
        try:
            return super().get(name)
        except UnknownModel:
            if not (self._looks and self.mirror()):
                raise
            return super().get(name)

    def has(self, name: str) -> bool:
        """Whether this version is here."""
        try:
            super().get(name)
        except MatpropError:
            return False
        return True

    def mirror(self, fresh_s: float = MIRRORED_S) -> bool:
        """Bring what is new in the store; whether there was anything. Raises: StoreAway."""
        began = time.monotonic()
        with self._alone:
            if began - self._mirrored_at < fresh_s:
                return False
            found: dict[Path, list[Entry]] = defaultdict(list)
            aliases, gone = [], set()
            for entry in self._files.store.list("models/"):
                parts = entry.key.split("/")
                if len(parts) == 3 and parts[2] == ALIASES:
                    aliases.append(entry)
                elif len(parts) > 3 and parts[3] == REMOVED:
                    gone.add(Path(*parts[1:3]))
                elif len(parts) > 3 and parts[3] != CLAIM:
                    found[Path(*parts[1:3])].append(entry)
            news = [
                self._brought(home, entries)
                for home, entries in found.items()
                if home not in gone and any(entry.key.endswith(f"/{CARD}") for entry in entries)
            ]
            news += [self._brought_aliases(entry) for entry in aliases]
            news += [self._forgotten(home) for home in gone]
            self._mirrored_at = began
            return any(news)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """In the store, so that two who do so at once both find theirs. Raises: UnknownModel, InputError."""
        check_alias(alias)
        self.get(f"{name}@{version}")
        self._change(name, lambda kept: kept | {alias: version})

    def drop_alias(self, name: str, alias: str) -> bool:
        """Forget an alias; false when there was none. Raises: UnknownModel."""
        self.versions(name)
        known = False

        def without(kept: dict[str, int]) -> dict[str, int]:
            nonlocal known
            known |= alias in kept  # or dropped by a first try whose answer was lost
            return {each: number for each, number in kept.items() if each != alias}

        self._change(name, without)
        return known

    def remove(self, name: str, version: int) -> None:
        """In the store, and on each machine when it looks there next. Raises: StoreAway."""
        home, store = f"models/{name}/{version}", self._files.store
        store.put_bytes(b"", f"{home}/{REMOVED}")
        kept = (f"{home}/{CLAIM}", f"{home}/{REMOVED}")
        store.remove([entry.key for entry in store.list(f"{home}/") if entry.key not in kept])
        self.mirror(0)

    def _change(self, name: str, change: Callable[[dict[str, int]], dict[str, int]]) -> None:
        key, store = f"models/{name}/{ALIASES}", self._files.store
        for _ in range(TRIES):
            try:
                data, tag = store.read(key)
            except FileNotFoundError:
                data, tag = b"{}", None
            try:
                store.put_bytes(
                    aliases_bytes(change(json.loads(data))), key, new=tag is None, instead_of=tag
                )
            except FileExistsError:  # somebody else was quicker
                continue
            self.mirror(0)
            return
        raise StoreAway(f"The aliases of {name} change faster than they can be written.")

    def _brought(self, home: Path, entries: list[Entry]) -> bool:
        """A version that is not here yet, whole."""
        target = self._files.models() / home
        if target.exists():
            return False
        staged = self._files.state / "scratch" / f"{new_id('job')}.model"
        for entry in entries:
            file = staged / Path(entry.key).relative_to("models" / home)
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._files.store.fetch(entry.key), file)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(target)
        except OSError:
            shutil.rmtree(staged, ignore_errors=True)
            if not target.exists():
                raise
        return True

    def _forgotten(self, home: Path) -> bool:
        """A version that was removed is so here too."""
        there = (self._files.models() / home).exists()
        if there:
            super().remove(home.parent.name, int(home.name))
        return there

    def _brought_aliases(self, entry: Entry) -> bool:
        """Read when the store has others than this catalogue has seen."""
        if self._tags.get(entry.key) == entry.tag:
            return False
        data, self._tags[entry.key] = self._files.store.read(entry.key)
        target = self._files.models() / Path(entry.key).relative_to("models")
        with written(target, "mirror", sync=False) as file:
            file.write(data)
        return True


def register_in(files: Files, staged: Path, card: Card) -> Card:
    """Give a staged model the next free version and its place, in one step. Raises: InputError, StoreAway."""
    if not files.shared:
        return register(files.models(), staged, card)
    check_name(card.name)
    card = card.model_copy(update={"version": _claimed(files, card.name)})
    home = f"models/{card.name}/{card.version}"
    for path in sorted(staged.rglob("*")):
        if path.is_file() and path.name != CARD:
            files.store.put(path, f"{home}/{path.relative_to(staged).as_posix()}")
    files.store.put_bytes(card_bytes(card), f"{home}/{CARD}")
    shutil.rmtree(staged, ignore_errors=True)
    return card


def _claimed(files: Files, name: str) -> int:
    """A number that is nobody else's, and never will be: one whose maker dies stays unused."""
    taken = {entry.key.split("/")[2] for entry in files.store.list(f"models/{name}/")}
    released = {path.name for path in (RELEASED / name).glob("*")}
    number = max((int(each) for each in taken | released if each.isdecimal()), default=0)
    while True:
        number += 1
        try:
            files.store.put_bytes(b"", f"models/{name}/{number}/{CLAIM}", new=True)
        except FileExistsError:
            continue
        return number
