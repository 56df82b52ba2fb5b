"""A bucket of an object store that speaks S3, through fsspec; and the cache of its files on this machine."""

import io
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from models.errors import StoreAway, StoreFull
from workers.cache import Cache
from workers.store import Entry

if TYPE_CHECKING:
    from s3fs import S3FileSystem

PART_BYTES = 16 << 20  # of a file that is sent in parts; those in flight lie in memory
PIECE_BYTES = 4 << 20  # read at once
LONGEST_CALLS = 6  # times the silence that is borne
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0
FULL = {"XMinioStorageFull", "QuotaExceeded", "ServiceQuotaExceeded", "InsufficientStorage"}
# No patience helps against these.
SET_WRONG = {
    "AccessDenied": "access is denied",
    "InvalidAccessKeyId": "the access key is not known",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "there can be no such bucket",
    "ExpiredToken": "the credentials have expired",
}
CLASH = {"PreconditionFailed", "ConditionalRequestConflict"}
BUSY = {408, 409, 429}
MISSING = {"NoSuchKey", "404", "NotFound"}

log = logging.getLogger("matprop.store")


@dataclass(frozen=True, slots=True)
class Reach:
    """How the bucket is reached; who may, is in the usual environment (`AWS_ACCESS_KEY_ID`, …)."""

    endpoint: str | None
    timeout_s: float


class Bucket:
    """Keys are those of the objects behind a prefix."""

    shared = True

    def __init__(
        self, name: str, prefix: str, cache: Cache, reach: Reach, *, patience_s: float
    ) -> None:
        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""
        self.root = cache.root
        self.reach = reach
        self.patience_s = patience_s
        self.cache = cache

    def at_once(self) -> "Bucket":
        """The same without patience."""
        return Bucket(self.name, self.prefix.strip("/"), self.cache, self.reach, patience_s=0)

    def filling(self, key: str, mark: str) -> "BucketFilling":  # noqa: ARG002 - parts have no names
        """Sent in parts while it is written; the parts become a file in one step."""
        return BucketFilling(self, key)

    def put(self, file: Path, key: str, *, new: bool = False) -> None:
        """Whole, or in parts that become a file in one step."""
        with file.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size <= PART_BYTES:
                self.put_bytes(source.read(), key, new=new)
                return
            filling = BucketFilling(self, key, new=new)
            try:
                while piece := source.read(PART_BYTES):
                    filling.write(piece)
                filling.commit()
            finally:
                filling.discard()

    def put_bytes(
        self, data: bytes, key: str, *, new: bool = False, instead_of: str | None = None
    ) -> None:
        """A single call."""
        only = {"IfNoneMatch": "*"} if new else {"IfMatch": instead_of} if instead_of else {}
        self.call("put_object", key, Body=data, **only)

    def fetch(self, key: str) -> Path:
        """The copy here, brought now unless it is here already."""
        return self.cache.get(key) or self.cache.keep(key, lambda out: self.bring(key, out))

    def open(self, key: str) -> BinaryIO:
        """Each part is asked for when it is read."""
        return io.BufferedReader(_Parts(self, key, self.about(key).size), PIECE_BYTES)

    def read(self, key: str) -> tuple[bytes, str]:
        """One call; never from the cache."""
        found = self.call("get_object", key)
        return found["Body"], str(found["ETag"])

    def bring(self, key: str, out: BinaryIO) -> None:
        """Part by part."""
        out.writelines(self.parts(key))

    def parts(self, key: str, tag: str | None = None) -> Iterator[bytes]:
        """All of the same object, of this tag; a part that does not come is asked for again.

        Raises: FileNotFoundError, FileExistsError if it is another one.
        """
        only = {"IfMatch": tag} if tag else {}
        try:
            found = self.call("get_object", key, Range=f"bytes=0-{PIECE_BYTES - 1}", **only)
        except EOFError:  # an empty one has no first byte
            return
        size, only = _size_of(found), {"IfMatch": str(found["ETag"])}
        got = len(found["Body"])
        yield found["Body"]
        for at in range(got, size, PIECE_BYTES):
            last = min(at + PIECE_BYTES, size) - 1
            part = self.call("get_object", key, Range=f"bytes={at}-{last}", **only)
            got += len(part["Body"])
            yield part["Body"]
        if got != size:
            raise StoreAway(f"The store gave {got} of {size} bytes of {key}.")

    def about(self, key: str) -> Entry:
        """An object without its bytes. Raises: FileNotFoundError."""
        head = self.call("head_object", key)
        changed = head["LastModified"].timestamp()
        return Entry(key, int(head["ContentLength"]), changed, str(head["ETag"]))

    def list(self, prefix: str) -> Iterator[Entry]:
        """A thousand a call."""
        more: dict[str, str] = {}
        while True:
            page = self.call("list_objects_v2", None, Prefix=self.prefix + prefix, **more)
            for each in page.get("Contents", ()):
                key = str(each["Key"]).removeprefix(self.prefix)
                changed = each["LastModified"].timestamp()
                yield Entry(key, int(each["Size"]), changed, str(each["ETag"]))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def copy(self, key: str, to: str) -> None:
        """Without its bytes coming here."""
        source = {"Bucket": self.name, "Key": self.prefix + key}
        self.call("copy_object", to, CopySource=source)

    def remove(self, keys: Iterable[str]) -> None:
        """From the cache too; a thousand a call."""
        left = iter(keys)
        while some := list(islice(left, 1000)):
            for key in some:
                self.cache.forget(key)
            if len(some) == 1:
                self.call("delete_object", some[0])
                continue
            listed = [{"Key": self.prefix + key} for key in some]
            self.call("delete_objects", None, Delete={"Objects": listed, "Quiet": True})

    def free(self) -> int | None:
        """Nobody knows."""
        return None

    def sweep(self, before: float) -> int:
        """Parts whose writer was killed cost room until they are forgotten."""
        page = self.call("list_multipart_uploads", None, Prefix=self.prefix)
        left = [one for one in page.get("Uploads", ()) if one["Initiated"].timestamp() < before]
        for one in left:
            key = str(one["Key"]).removeprefix(self.prefix)
            with suppress(FileNotFoundError):
                self.call("abort_multipart_upload", key, UploadId=one["UploadId"])
        return len(left)

    def call(self, method: str, key: str | None, **asked: Any) -> Any:
        """One call of S3, again and again while the store is away, as long as there is patience."""
        asked["Bucket"] = self.name
        if key is not None:
            asked["Key"] = self.prefix + key
        until, pause = time.monotonic() + self.patience_s, FIRST_PAUSE_S
        while True:
            try:
                return self._called(method, asked)
            except Exception as error:  # of four libraries; `told_of` knows them
                told = told_of(error, f"{method} of {key or 'keys'}")
                if not (isinstance(told, StoreAway) and told.passing):
                    raise told from error
                if time.monotonic() + pause > until:
                    raise told from error
                log.warning("%s Again in %g s.", told.detail, pause)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _called(self, method: str, asked: dict[str, Any]) -> Any:
        from fsspec.asyn import sync

        fs = system(self.reach, os.getpid())

        async def called() -> Any:
            found = await fs._call_s3(method, **asked)  # noqa: SLF001
            if method == "get_object":
                async with found["Body"] as body:
                    found["Body"] = await body.read()
            return found

        # Beyond the limits of its own: a store that trickles must not hold a worker for ever.
        return sync(fs.loop, called, timeout=LONGEST_CALLS * self.reach.timeout_s)


class BucketFilling:
    """A file on its way to the bucket: nobody sees its parts before the last call."""

    def __init__(self, bucket: Bucket, key: str, *, new: bool = False) -> None:
        self._bucket = bucket
        self._key = key
        self._new = new
        self._waiting = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes, /) -> int:
        """Sends a part whenever one is full."""
        self._waiting += data
        while len(self._waiting) >= PART_BYTES:
            self._send(PART_BYTES)
        return len(data)

    def seekable(self) -> bool:
        """What is sent is sent."""
        return False

    def seek(self, at: int, /) -> int:  # noqa: ARG002
        """Never. Raises: io.UnsupportedOperation."""
        raise io.UnsupportedOperation("seek")

    def truncate(self) -> int:
        """Never. Raises: io.UnsupportedOperation."""
        raise io.UnsupportedOperation("truncate")

    def commit(self, *, sync: bool = True) -> None:  # noqa: ARG002 - a store that has it keeps it
        """The last call makes a file of the parts."""
        if self._upload is None:
            self._bucket.put_bytes(bytes(self._waiting), self._key, new=self._new)
            return
        if self._waiting:
            self._send(len(self._waiting))
        only = {"IfNoneMatch": "*"} if self._new else {}
        self._bucket.call(
            "complete_multipart_upload",
            self._key,
            UploadId=self._upload,
            MultipartUpload={"Parts": self._parts},
            **only,
        )
        self._upload = None

    def discard(self) -> None:
        """The parts are forgotten at once, or by a sweep when the store is away."""
        self._waiting.clear()
        if self._upload is not None:
            with suppress(StoreAway, FileNotFoundError):
                self._bucket.call("abort_multipart_upload", self._key, UploadId=self._upload)
            self._upload = None

    def _send(self, size: int) -> None:
        if self._upload is None:
            made = self._bucket.call("create_multipart_upload", self._key)
            self._upload = str(made["UploadId"])
        number = len(self._parts) + 1
        data = bytes(self._waiting[:size])
        sent = self._bucket.call(
            "upload_part", self._key, UploadId=self._upload, PartNumber=number, Body=data
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        del self._waiting[:size]


class _Parts(io.RawIOBase):
    """An object read by ranges."""

    def __init__(self, bucket: Bucket, key: str, size: int) -> None:
        self._bucket, self._key, self._size, self._at = bucket, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, at: int, whence: int = os.SEEK_SET, /) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, begin + at)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        last = min(self._at + len(buffer), self._size) - 1
        if last < self._at:
            return 0
        asked = {"Range": f"bytes={self._at}-{last}"}
        data = self._bucket.call("get_object", self._key, **asked)["Body"]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@lru_cache(maxsize=2)
def system(reach: Reach, _process: int) -> "S3FileSystem":
    """The client, for all buckets of a process: making one takes a second. What was open before a fork is not ours."""
    from s3fs import S3FileSystem

    fs = S3FileSystem(
        endpoint_url=reach.endpoint,
        skip_instance_cache=True,
        use_listings_cache=False,
        config_kwargs={
            "connect_timeout": min(2.0, reach.timeout_s),
            "read_timeout": reach.timeout_s,
            "retries": {"total_max_attempts": 1},  # `call` tries again
            "max_pool_connections": 32,
        },
    )
    fs.retries = 1
    return fs


def told_of(error: BaseException, what: str) -> Exception:
    """An error of the libraries as one of ours."""
    if isinstance(error, ImportError):
        return StoreAway(
            "What lies in a bucket cannot be read: the extra `s3` is not installed here.",
            passing=False,
            hint="Install it where the workers are: pip install 'matprop[worker,s3]'.",
        )
    response = getattr(error.__cause__ or error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in SET_WRONG or isinstance(error, PermissionError):
        reason = SET_WRONG.get(code, "access is denied")
        return StoreAway(f"The store refuses: {reason}.", passing=False)
    if code in FULL or status == 507:
        return StoreFull("The store has no room left.")
    if code in CLASH:
        return FileExistsError(what)
    if code in MISSING or isinstance(error, FileNotFoundError):
        return FileNotFoundError(what)
    if code == "InvalidRange":
        return EOFError(what)
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError"):
        return StoreAway("There are no credentials for the store.", passing=False)
    ours = 400 <= (status or 0) < 500 and status not in BUSY  # nothing that time mends
    reason = "refuses" if ours else "does not answer"
    return StoreAway(f"The store {reason} ({what}: {code or kind}).", passing=not ours)


def _size_of(found: dict[str, Any]) -> int:
    """All of an object of which a part came."""
    told = str(found.get("ContentRange") or "").rpartition("/")[2]
    return int(told) if told.isdecimal() else int(found["ContentLength"])
