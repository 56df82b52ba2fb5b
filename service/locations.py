"""Places of this deployment that callers may have screened: below the roots it has set, and nowhere else."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from service.pointing import refused
from service.problems import Problem, brief

UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # no path has them
LONGEST = 2_000


def roots_of(setting: str) -> tuple[str, ...]:
    """The roots in a setting. Raises: ValueError for one that is no absolute path."""
    roots = tuple(part.strip() for part in setting.split(",") if part.strip())
    for root in roots:
        if not Path(root).is_absolute():
            raise ValueError(f"{root!r} is no absolute path")
    return roots


def resolved(location: str, roots: Sequence[str], pointer: str = "location") -> str:
    """Where the location really is. Raises: Problem, the same for what is not there as for what is not allowed.

    Looks at the disk.
    """
    if location.startswith("file://"):
        location = unquote(location.removeprefix("file://").removeprefix("localhost"))
    if not location or len(location) > LONGEST or UNFIT.search(location):
        raise refused("invalid_field", "This is no location.", pointer)
    if "://" in location:
        raise refused(
            "invalid_field",
            f"Nothing is read from {brief(location.partition(':')[0], 20)} addresses.",
            pointer,
            "Give an absolute path; what lies in a bucket can be mounted as a folder.",
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
    allowed = (Path(os.path.realpath(root)) for root in roots)
    if not any(place.is_relative_to(root) for root in allowed):
        raise outside(location)
    # Not of `Path`, which raises for a name that is too long and for a folder that is closed to us.
    if not (os.path.isfile(place) or os.path.isdir(place)):  # noqa: PTH112, PTH113
        raise refused(
            "invalid_field", f"There is neither a file nor a folder {brief(location)!r}.", pointer
        )
    return str(place)


def outside(location: str) -> Problem:
    """Not a word on whether there is anything."""
    return refused("location_not_allowed", f"Nothing is read from {brief(location)!r}.", "location")
