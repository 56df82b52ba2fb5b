"""The data sets there are, by their manifests; light, so that the service may look."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.datasets.manifest import Manifest
from models.errors import UnknownDataset
from workers.files import Files
from workers.ids import SET

MANIFEST = "manifest.json"  # the last of a set's files: with it the set is there
LISTED_S = (
    2.0  # how long a list of an object store is good enough, unless something is missing in it
)
TICK_NS = 100_000_000  # two changes within one tick of the file system's clock look like one


@dataclass(frozen=True, slots=True)
class Sets:
    """Some data sets, the newest first; `cursor` continues, none at the end."""

    sets: list[Manifest]
    cursor: str | None = None


class Columns(Mapping[str, list[Any]]):
    """The lines of `columns.json`, one a column; read when asked for, since all of them may be gigabytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        with self._path.open() as file:
            yield from (
                json.JSONDecoder().raw_decode(line, 1)[0] for line in file if line[1:2] == '"'
            )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, name: str) -> list[Any]:
        begin = json.dumps(name) + ":"
        try:
            with self._path.open() as file:
                for line in file:
                    if line.startswith(begin, 1):
                        found: list[Any] = json.loads(line[1 + len(begin) :])
                        return found
        except FileNotFoundError:
            raise UnknownDataset("This data set has been deleted just now.") from None
        raise KeyError(name)


class Shelf:
    """Looks data sets up by id or by name; quick enough to be asked at every request."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._stamp = -1
        self._listed_at = float("-inf")
        self._known: dict[str, Manifest] = {}

    def page(
        self, owner: str, *, name: str | None = None, before: str | None = None, limit: int = 50
    ) -> Sets:
        """An owner's sets, those of a name, those older than one."""
        found = [
            manifest
            for manifest in self._fresh().values()
            if manifest.owner == owner
            and name in (None, manifest.name)
            and (before is None or manifest.id < before)
        ]
        more = len(found) > limit
        return Sets(found[:limit], found[limit - 1].id if more else None)

    def get(self, known: str, owner: str) -> Manifest:
        """The set of this id, or the newest of this name; a foreign one is as none. Raises: UnknownDataset."""
        for manifests in (self._fresh, self._anew):
            for manifest in manifests().values():
                if manifest.owner == owner and known in (manifest.id, manifest.name):
                    return manifest
        names = dict.fromkeys(one.name for one in self.page(owner, limit=1000).sets)
        raise UnknownDataset(
            f"There is no data set {known[:80]!r}.",
            expected=", ".join(list(names)[:10]) or "the id or name of one of yours",
            got=known[:80],
        )

    def columns(self, dataset: str) -> "Columns":
        """Each column's values, or how many are known of each row; `name`, `formula`, `n_sites` too."""
        return Columns(self._files.fetch(self._files.dataset(dataset) / "columns.json"))

    def report(self, dataset: str) -> Path:
        """The rows that were refused, one JSON line each."""
        return self._files.fetch(self._files.dataset(dataset) / "refused.jsonl")

    def remove(self, dataset: str) -> None:
        """Forget a set; nobody finds it half removed."""
        folder = self._files.dataset(dataset)
        if self._files.shared:
            self._files.forget_all(folder, MANIFEST)
            self._listed_at = float("-inf")
            return
        gone = self._files.state / "scratch" / f"{dataset}.gone.{os.getpid()}"
        gone.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _fresh(self) -> dict[str, Manifest]:
        """All manifests, the newest first; adding or removing a set changes the folder's time."""
        if self._files.shared:
            late = time.monotonic() - self._listed_at > LISTED_S
            return self._anew() if late else self._known
        home = self._files.datasets()
        try:
            stamp = home.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if stamp != self._stamp or time.time_ns() - stamp < TICK_NS:
            names = sorted((one.name for one in home.iterdir() if SET.fullmatch(one.name)), reverse=True)  # fmt: skip
            read = ((name, self._known.get(name) or _manifest(home / name)) for name in names)
            self._known = {name: manifest for name, manifest in read if manifest is not None}
            self._stamp = stamp
        return self._known

    def _anew(self) -> dict[str, Manifest]:
        """The same as an object store has it just now; manifests never change."""
        if self._files.shared:
            began = time.monotonic()
            listed = (key.split("/") for key in self._keys())
            names = sorted((parts[1] for parts in listed if parts[2:] == [MANIFEST]), reverse=True)
            read = ((name, self._known.get(name) or self._brought(name)) for name in names)
            self._known = {name: manifest for name, manifest in read if manifest is not None}
            self._listed_at = began
        return self._known

    def _keys(self) -> Iterator[str]:
        prefix = f"{self._files.key(self._files.datasets())}/"
        return (entry.key for entry in self._files.store.list(prefix))

    def _brought(self, name: str) -> Manifest | None:
        folder = self._files.dataset(name)
        return _manifest(folder) if self._files.is_there(folder / MANIFEST) else None


def _manifest(folder: Path) -> Manifest | None:
    """What is damaged, or goes just now, is not there."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
