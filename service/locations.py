"""Places of this deployment that callers may have screened: below the roots it has set, and nowhere else."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from service.pointing import refused
from service.problems import Problem, brief

S3 = "s3://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # neither a port nor a password
UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # no path has them
LONGEST = 2_000


def roots_of(setting: str) -> tuple[str, ...]:
    """The roots in a setting. Raises: ValueError for one that is neither an absolute path nor in a bucket."""
    roots = tuple(part.strip() for part in setting.split(",") if part.strip())
    for root in roots:
        if not (Path(root).is_absolute() or _is_in_bucket(root)):
            raise ValueError(f"{root!r} is neither an absolute path nor like s3://bucket/prefix")
    return roots


def _is_in_bucket(root: str) -> bool:
    bucket, *key = _segments(root)
    return root.startswith(S3) and bool(BUCKET.fullmatch(bucket)) and _are_plain(key)


def resolved(location: str, roots: Sequence[str], pointer: str = "location") -> str:
    """Where the location really is. Raises: Problem, the same for what is not there as for what is not allowed.

    Looks at the disk; what is in a bucket is found out by who reads it.
    """
    if location.startswith("file://"):
        location = unquote(location.removeprefix("file://").removeprefix("localhost"))
    if not location or len(location) > LONGEST or UNFIT.search(location):
        raise refused("invalid_field", "This is no location.", pointer)
    if location.startswith(S3):
        return of_bucket(location, roots, pointer)
    if "://" in location:
        raise refused(
            "invalid_field",
            f"Nothing is read from {brief(location.partition(':')[0], 20)} addresses.",
            pointer,
            "Give an absolute path, or s3://bucket/key.",
        )
    if not location.startswith("/"):
        raise refused(
            "invalid_field", f"{brief(location)!r} is no absolute path.", pointer,
            "Give the path as the service's machine has it, from `/` on.",
        )  # fmt: skip
    return of_disk(location, roots, pointer)


def of_disk(location: str, roots: Sequence[str], pointer: str) -> str:
    """A file or folder below a root, links followed first: what counts is where they lead."""
    place = Path(os.path.realpath(location))
    allowed = (Path(os.path.realpath(root)) for root in roots if not root.startswith(S3))
    if not any(place.is_relative_to(root) for root in allowed):
        raise outside(location)
    # Not of `Path`, which raises for a name that is too long and for a folder that is closed to us.
    if not (os.path.isfile(place) or os.path.isdir(place)):  # noqa: PTH112, PTH113
        raise refused(
            "invalid_field", f"There is neither a file nor a folder {brief(location)!r}.", pointer
        )
    return str(place)


def of_bucket(location: str, roots: Sequence[str], pointer: str) -> str:
    """An object, or with `/` at the end all those below; sign by sign, as keys know neither links nor escapes."""
    if "?" in location or not BUCKET.fullmatch(_segments(location)[0]):
        raise refused(
            "invalid_field", "This is no address like s3://bucket/key.", pointer,
            "Credentials, ports, versions and queries are no part of it.",
        )  # fmt: skip
    segments = _segments(location)
    inside = (_segments(root) for root in roots if root.startswith(S3))
    if not _are_plain(segments) or not any(segments[: len(root)] == root for root in inside):
        raise outside(location)
    return location


def _segments(address: str) -> list[str]:
    """The bucket, and the parts of the key."""
    return address.removeprefix(S3).removesuffix("/").split("/")


def _are_plain(segments: Sequence[str]) -> bool:
    """Whether none could stand for another place."""
    return all(segments) and not {".", ".."} & set(segments)


def outside(location: str) -> Problem:
    """Not a word on whether there is anything."""
    return refused("location_not_allowed", f"Nothing is read from {brief(location)!r}.", "location")
