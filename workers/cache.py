"""Copies of files that never change, on this machine: bounded, and shared by all its processes."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

USED_S = 600.0  # who was told of a file so lately may still be about to open it
SHARE = 0.05  # of the bound: so much is brought between two looks at the whole
KEPT = 0.8  # of the bound is what a look leaves


class Cache:
    """Files by their keys; the least lately used ones go."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        self.root = root
        self.most_bytes = most_bytes
        self._brought = most_bytes  # so that the first one looks

    def get(self, key: str) -> Path | None:
        """The copy, if it is here; from now on it is in use."""
        path = self.root / key
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def keep(self, key: str, bring: Callable[[BinaryIO], None]) -> Path:
        """A copy that `bring` writes; two who do so at once do no harm."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as out:
                bring(out)
                out.flush()
                os.fsync(out.fileno())  # else an empty file could bear the name after a power cut
                self._brought += out.tell()
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if self._brought > SHARE * self.most_bytes:
            self._brought = 0
            self.trim()
        return path

    def forget(self, key: str) -> None:
        """A copy of what is no more."""
        (self.root / key).unlink(missing_ok=True)

    def trim(self) -> int:
        """Removes the least lately used files while there is too much; returns how many bytes are left."""
        with _alone(self.root / ".lock") as first:
            if not first:
                return 0
            found = sorted(self._files())
            total = sum(size for _, size, _ in found)
            if total <= self.most_bytes:
                return total
            before = time.time() - USED_S
            for used, size, path in found:
                if total <= KEPT * self.most_bytes or used > before:
                    break
                path.unlink(missing_ok=True)
                total -= size
            return total

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self.root.rglob("*"):
            with suppress(FileNotFoundError):
                found = path.stat()
                if path.is_file() and path.name != ".lock":
                    yield found.st_mtime, found.st_size, path


@contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Whether nobody else is at it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
