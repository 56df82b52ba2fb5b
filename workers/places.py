"""A place in a bucket as the source of a screening: listed once, then its objects come here in their order.

The list lies beside the screening's chunks and stays as it is. Who goes on, on this machine or another, begins with the
object that was cut last, and takes no other bytes than those that were listed. An object is a file without a name,
handed to the process that takes it apart: it is gone when that has read it, however either of them ends.
"""

import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import msgpack

from models.errors import (
    EmptyInput,
    MatpropError,
    ModelError,
    SourceChanged,
    StoreAway,
    StoreFull,
    TooLarge,
)
from workers.bucket import Bucket
from workers.files import Files
from workers.owning import FULL, Hold
from workers.pieces import is_wanted

S3 = "s3://"
MOST_OBJECTS = 2_000_000
AT_ONCE = 8  # small objects; each alone costs a round trip
SMALL_BYTES = 4 << 20
RIGHTS = (
    "The worker reads it with its own credentials: they have to allow `s3:GetObject` there, "
    "and `s3:ListBucket` for an address that ends in `/`."
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a place; its structures are called by its name."""

    number: int
    name: str
    key: str
    size: int
    tag: str


class Places:
    """Places in buckets, as this machine reaches them."""

    def __init__(self, files: Files, bucket: Callable[[str], Bucket]) -> None:
        self.files = files
        self.bucket = bucket

    @contextmanager
    def feed(self, hold: Hold, job: str, location: str, begin: int) -> Iterator["Feed"]:
        """The objects from this number on, for one process that asks. Raises: Stopped, MatpropError."""
        name, _, key = location.removeprefix(S3).partition("/")
        bucket = self.bucket(name)
        room = self.files.state / "scratch"
        room.mkdir(parents=True, exist_ok=True)
        with _hinted():
            listed = self._listed(hold, job, bucket, key, room)
        feed = Feed(bucket, _read(listed, begin), room, alone=not _is_folder(key))
        try:
            yield feed
        finally:
            feed.close()

    def _listed(self, hold: Hold, job: str, bucket: Bucket, key: str, room: Path) -> Path:
        path = self.files.objects(job)
        if not self.files.is_there(path):
            with tempfile.NamedTemporaryFile("w", dir=room) as out:
                for one in _found(bucket, key):
                    hold.check()
                    out.write(json.dumps([one.number, one.name, one.key, one.size, one.tag]) + "\n")
                out.flush()
                with suppress(FileExistsError):  # a worker that was lost has got as far as that
                    self.files.store.put(Path(out.name), self.files.key(path), new=True)
        return self.files.fetch(path)


class Feed:
    """Objects on their way to a process: the one that it reads lies on this machine, and the next ones if they are small."""

    def __init__(
        self, bucket: Bucket, objects: Iterator[Listed], room: Path, *, alone: bool
    ) -> None:
        self.moved = time.monotonic()  # when the last bytes came
        self._bucket = bucket
        self._objects = enumerate(chain(objects, (None,)))
        self._room = room
        self._alone = alone
        self._ours, self._theirs = socket.socketpair()
        self._turn = threading.Condition()
        self._given = 0
        self._serving = AT_ONCE
        self._closed = False
        for _ in range(AT_ONCE):
            threading.Thread(target=self._serve, name="feed", daemon=True).start()

    @property
    def descriptor(self) -> int:
        """Where the process asks."""
        return self._theirs.fileno()

    def close(self) -> None:
        """Nothing more is needed."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
            with suppress(OSError):  # all was served
                self._ours.shutdown(socket.SHUT_RDWR)
        self._theirs.close()

    def _serve(self) -> None:
        """Until nobody asks any more."""
        try:
            for turn, one in iter(self._next, None):
                self._give(turn, one)
        except ConnectionError:
            return
        finally:
            with self._turn:
                self._serving -= 1
                if not self._serving:
                    self._ours.close()

    def _next(self) -> tuple[int, Listed | None] | None:
        with self._turn:
            return next(self._objects, None)

    def _give(self, turn: int, one: Listed | None) -> None:
        """An object, or none behind the last one. Raises: ConnectionError."""
        if one is None:
            self._answer(turn, None)
            return
        if one.size > SMALL_BYTES:  # the disk has to hold one such at a time
            self._wait(turn)
        try:
            with self._brought(one) as file:
                self._answer(turn, [one.number, one.name, self._alone], file.fileno())
        except MatpropError as error:
            self._answer(turn, error.as_dict())

    def _answer(self, turn: int, message: Any, *descriptors: int) -> None:
        """When it is asked for. Raises: ConnectionError."""
        self._wait(turn)
        if not self._ours.recv(1):
            raise ConnectionResetError
        socket.send_fds(self._ours, [msgpack.packb(message)], descriptors)
        with self._turn:
            self._given += 1
            self._turn.notify_all()

    def _wait(self, turn: int) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._closed or self._given == turn)
        if self._closed:
            raise ConnectionAbortedError

    @contextmanager
    def _brought(self, one: Listed) -> Iterator[BinaryIO]:
        """The object as it was listed. Raises: ConnectionError, MatpropError."""
        if shutil.disk_usage(self._room).free < one.size:
            raise _no_room(one)
        with tempfile.TemporaryFile(dir=self._room) as file:
            try:
                with _hinted():
                    for part in self._bucket.parts(one.key, one.tag):
                        if self._closed:
                            raise ConnectionAbortedError
                        file.write(part)
                        self.moved = time.monotonic()
                file.seek(0)
            except (FileNotFoundError, FileExistsError):
                raise _changed(one) from None
            except ConnectionError:
                raise
            except OSError as error:
                if error.errno in FULL:
                    raise _no_room(one) from error
                raise ModelError(f"Nothing can be kept here: {error.strerror}.") from error
            yield file


def _found(bucket: Bucket, key: str) -> Iterator[Listed]:
    """What can hold structures, in order. Raises: EmptyInput."""
    if not _is_folder(key):
        try:
            one = bucket.about(key)
        except FileNotFoundError:
            raise EmptyInput(
                f"There is no object {S3}{bucket.name}/{key}.",
                hint="An address that ends in `/` stands for all objects below it.",
            ) from None
        yield Listed(0, PurePosixPath(key).name, key, one.size, one.tag)
        return
    number = -1
    wanted = (one for one in bucket.list(key) if _is_file(one.key.removeprefix(key)))
    for number, one in enumerate(wanted):
        if number == MOST_OBJECTS:
            raise TooLarge(f"The place holds more than {MOST_OBJECTS:,} objects.")
        yield Listed(number, one.key.removeprefix(key), one.key, one.size, one.tag)
    if number < 0:
        raise EmptyInput(f"No object below {S3}{bucket.name}/{key} can hold structures.")


def _is_folder(key: str) -> bool:
    return not key or key.endswith("/")


def _is_file(name: str) -> bool:
    """Tools that show folders put empty objects in their places."""
    return not _is_folder(name) and is_wanted(name)


def _read(listed: Path, begin: int) -> Iterator[Listed]:
    with listed.open() as lines:
        for line in islice(lines, begin, None):
            yield Listed(*json.loads(line))


@contextmanager
def _hinted() -> Iterator[None]:
    """Who is refused learns whose rights count."""
    try:
        yield
    except StoreAway as error:
        error.hint = error.hint or (None if error.passing else RIGHTS)
        raise


def _changed(one: Listed) -> SourceChanged:
    return SourceChanged(
        "The place has become another one while it was read: an object is gone, or has been written again.",
        file=one.name,
    )


def _no_room(one: Listed) -> StoreFull:
    return StoreFull(
        "The machine that reads the place has no room for this object.",
        file=one.name,
        expected=f"{one.size:,} bytes",
    )
