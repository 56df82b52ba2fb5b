"""Ids: a type prefix, then a ULID, so that ids sort by time and none can be guessed."""

import hashlib
import re
import secrets
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
TIME_LENGTH = 10  # 48 bits of milliseconds
RANDOM_BITS = 80

JOB = re.compile(r"job_[0-7][0-9A-HJKMNP-TV-Z]{25}")
SET = re.compile(r"set_[0-7][0-9A-HJKMNP-TV-Z]{25}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}")


def new_id(prefix: str) -> str:
    """A fresh id, for example `job_01J…`."""
    return f"{prefix}_{time_part(time.time())}{_base32(secrets.randbits(RANDOM_BITS), 16)}"


def child_id(parent: str, number: int) -> str:
    """The same id for the same child, so that a second attempt submits no second child."""
    digest = hashlib.blake2b(f"{parent}/{number}".encode(), digest_size=10).digest()
    return parent[: len("job_") + TIME_LENGTH] + _base32(int.from_bytes(digest), 16)


def time_part(at_s: float) -> str:
    """How the ids of this moment begin, after the prefix."""
    return _base32(max(0, int(at_s * 1000)), TIME_LENGTH)


def checked_job(job: str) -> str:
    """The id itself; everything that builds a key from a job's id comes through here."""
    if not JOB.fullmatch(job):
        raise ValueError(f"not a job id: {job!r:.80}")
    return job


def checked_set(dataset: str) -> str:
    """The id of a data set that may stand in a path."""
    if not SET.fullmatch(dataset):
        raise ValueError(f"not a data set's id: {dataset!r:.80}")
    return dataset


def set_of(job: str) -> str:
    """The id of the data set that a job makes."""
    return f"set_{checked_job(job).removeprefix('job_')}"


def checked_name(name: str) -> str:
    """A worker's, owner's, service's or model's name that may stand in a key."""
    if not NAME.fullmatch(name):
        raise ValueError(f"not a name for a key: {name!r:.80}")
    return name


def _base32(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
