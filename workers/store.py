"""Where files lie for good: a folder, or a bucket of an object store. What is there is whole and never changes.

A name ("key") is a path without a beginning: `results/5D/job_….jsonl`. On a folder a key's file is used where it
lies; of a bucket there are copies in a cache of this machine, which is bounded.
"""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from workers.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a store; `tag` is another one whenever its bytes are."""

    key: str
    size: int
    changed: float  # seconds since 1970
    tag: str


class Filling(Protocol):
    """A file that is being written; nobody sees it before `commit`."""

    def write(self, data: bytes, /) -> int:
        """More of it. Raises: StoreAway, StoreFull."""

    def seekable(self) -> bool:
        """Whether what was written can be taken back."""

    def seek(self, at: int, /) -> int:
        """Go on from there."""

    def truncate(self) -> int:
        """Forget what is behind."""

    def commit(self, *, sync: bool = True) -> None:
        """It is complete and takes its name; without `sync` it outlives processes, not the machine."""

    def discard(self) -> None:
        """Nothing of it stays, unless it was committed."""


class Store(Protocol):
    """What a folder and a bucket can do alike. Every call raises StoreAway or StoreFull when it cannot."""

    root: Path  # where the files of keys lie on this machine, once they are here
    shared: bool  # whether they have to be brought here first

    def at_once(self) -> "Store":
        """The same for one who does not wait for it."""

    def filling(self, key: str, mark: str) -> Filling:
        """A file to be written bit by bit; `mark` tells writers of the same key apart."""

    def put(self, file: Path, key: str, *, new: bool = False) -> None:
        """A local file under this key, in one step. Raises: FileExistsError if it was to be `new`."""

    def put_bytes(
        self, data: bytes, key: str, *, new: bool = False, instead_of: str | None = None
    ) -> None:
        """The same for what is small; `instead_of` is the tag that must be there. Raises: FileExistsError."""

    def fetch(self, key: str) -> Path:
        """Where the file lies here; never to be written to. Raises: FileNotFoundError."""

    def open(self, key: str) -> BinaryIO:
        """The file to be read in parts, without a copy of it. Raises: FileNotFoundError."""

    def read(self, key: str) -> tuple[bytes, str]:
        """All of a small file as it is just now, and its tag. Raises: FileNotFoundError."""

    def bring(self, key: str, out: BinaryIO) -> None:
        """All of a file as it is just now, into this one. Raises: FileNotFoundError, FileExistsError if it changes."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """The files below, in the order of their keys; half-written ones are not among them."""

    def copy(self, key: str, to: str) -> None:
        """The same bytes under another key. Raises: FileNotFoundError."""

    def remove(self, keys: Iterable[str]) -> None:
        """Forget files; those that are not there are no fault."""

    def free(self) -> int | None:
        """Bytes that can still be stored, where that is known."""

    def sweep(self, before: float) -> int:
        """Remove what was half-written before this time and is written no more; how many there were."""


class Folder:
    """A folder that all see: of this machine, or of a file server."""

    shared = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def at_once(self) -> "Folder":
        """Itself."""
        return self

    def filling(self, key: str, mark: str) -> "FolderFilling":
        """Beside its place, under a hidden name."""
        return FolderFilling(self.root / key, mark)

    def put(self, file: Path, key: str, *, new: bool = False) -> None:
        """By a name beside its place, so that the step is one on any file system."""
        target = self.root / key
        temporary = _beside(target, secrets.token_hex(4))
        try:
            shutil.copyfile(file, temporary)
            _settled(temporary, target, new=new)
        finally:
            temporary.unlink(missing_ok=True)

    def put_bytes(
        self, data: bytes, key: str, *, new: bool = False, instead_of: str | None = None
    ) -> None:
        """The same; two who write instead of the same one at once are not told apart."""
        target = self.root / key
        if instead_of is not None and self.read(key)[1] != instead_of:
            raise FileExistsError(key)
        temporary = _beside(target, secrets.token_hex(4))
        try:
            temporary.write_bytes(data)
            _settled(temporary, target, new=new)
        finally:
            temporary.unlink(missing_ok=True)

    def fetch(self, key: str) -> Path:
        """The file itself."""
        path = self.root / key
        if not path.is_file():
            raise FileNotFoundError(key)
        return path

    def open(self, key: str) -> BinaryIO:
        """The file itself."""
        return (self.root / key).open("rb")

    def read(self, key: str) -> tuple[bytes, str]:
        """The file itself."""
        with (self.root / key).open("rb") as file:
            return file.read(), _tag(os.fstat(file.fileno()))

    def bring(self, key: str, out: BinaryIO) -> None:
        """A copy."""
        with self.open(key) as file:
            shutil.copyfileobj(file, out)

    def list(self, prefix: str) -> Iterator[Entry]:
        """Looks through the folders that the prefix can be in."""
        for path in sorted((self.root / prefix).parent.rglob("*")):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and not path.name.startswith("."):
                with suppress(FileNotFoundError):  # removed just now
                    found = path.stat()
                    if path.is_file():
                        yield Entry(key, found.st_size, found.st_mtime, _tag(found))

    def copy(self, key: str, to: str) -> None:
        """A second name of the same file."""
        target = self.root / to
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(self.root / key, target)

    def remove(self, keys: Iterable[str]) -> None:
        """One after the other."""
        for key in keys:
            (self.root / key).unlink(missing_ok=True)

    def free(self) -> int | None:
        """What its file system has left."""
        self.root.mkdir(parents=True, exist_ok=True)
        disk = os.statvfs(self.root)
        return disk.f_bavail * disk.f_frsize

    def sweep(self, before: float) -> int:
        """Hidden names are those of half-written files."""
        left = [one for one in self.root.rglob(".*") if one.is_file() and _made(one) < before]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


class FolderFilling:
    """A file beside its place, under a hidden name that holds the writer's mark."""

    def __init__(self, target: Path, mark: str) -> None:
        self._target = target
        self._temporary = _beside(target, mark)
        self._file = self._temporary.open("xb")
        self._kept = False
        self.write = self._file.write
        self.seek = self._file.seek
        self.truncate = self._file.truncate

    def seekable(self) -> bool:
        """It is a file."""
        return True

    def commit(self, *, sync: bool = True) -> None:
        """Flushed, renamed."""
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._target)
        self._kept = True

    def discard(self) -> None:
        """Also after a commit."""
        with suppress(OSError):  # a full disk refuses the last bytes once more
            self._file.close()
        if not self._kept:
            self._temporary.unlink(missing_ok=True)


def store_of(settings: WorkerSettings, *, patience_s: float | None = None) -> Store:
    """The store that a deployment has set; the state folder where none is."""
    url = urlsplit(settings.store_url)
    if url.scheme != "s3":
        return Folder(Path(unquote(url.path)) if url.path else settings.state)
    return bucket_of(settings, url.netloc, url.path.strip("/"), patience_s=patience_s)


def bucket_of(
    settings: WorkerSettings, name: str, prefix: str = "", *, patience_s: float | None = None
) -> "Bucket":
    """A bucket as this deployment reaches all of them."""
    from workers.bucket import Bucket, Reach  # its libraries are there only where they are needed
    from workers.cache import Cache

    return Bucket(
        name,
        prefix,
        Cache(settings.state / "cache", settings.store_cache_bytes),
        Reach(settings.store_endpoint or None, settings.store_timeout_s),
        patience_s=settings.store_patience_s if patience_s is None else patience_s,
    )


def _beside(target: Path, mark: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.{mark}.{os.getpid()}")


def _settled(temporary: Path, target: Path, *, new: bool) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    if new:
        os.link(temporary, target)
    else:
        temporary.replace(target)


def _tag(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def _made(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
