"""Places of this deployment that callers may have screened: below the roots it has set, and nowhere else."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from service.pointing import refused
from service.problems import Problem, brief

S3 = "s3://"
UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # no path has them
LONGEST = 2_000


def roots_of(setting: str) -> tuple[str, ...]:
    """The roots in a setting. Raises: ValueError for one that is neither an absolute path nor an s3:// address."""
    roots = tuple(part.strip() for part in setting.split(",") if part.strip())
    for root in roots:
        if not (Path(root).is_absolute() or re.match(r"s3://[a-z0-9][a-z0-9.-]+(/|$)", root)):
            raise ValueError(f"{root!r} is neither an absolute path nor like s3://bucket/prefix")
    return roots


def resolved(location: str, roots: Sequence[str], pointer: str = "location") -> str:
    """Where the location really is. Raises: Problem, the same for what is not there as for what is not allowed.

    Looks at the disk.
    """
    if location.startswith("file://"):
        location = unquote(location.removeprefix("file://").removeprefix("localhost"))
    if not location or len(location) > LONGEST or UNFIT.search(location):
        raise refused("invalid_field", "This is no location.", pointer)
    if location.startswith(S3):
        return of_bucket(location, roots)
    if "://" in location:
        raise refused(
            "invalid_field",
            f"Nothing is read from {brief(location.partition(':')[0], 20)} addresses.",
            pointer,
            "Give an absolute path, or s3://bucket/prefix.",
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


def of_bucket(location: str, roots: Sequence[str]) -> str:
    """An address below a root; what is there, is found out by who reads it."""
    parts = location.removeprefix(S3).rstrip("/").split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise outside(location)
    for root in roots:
        of_root = root.removeprefix(S3).rstrip("/").split("/")
        if root.startswith(S3) and parts[: len(of_root)] == of_root:
            return location
    raise outside(location)


def outside(location: str) -> Problem:
    """Not a word on whether there is anything."""
    return refused("location_not_allowed", f"Nothing is read from {brief(location)!r}.", "location")
