"""What a check has found."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Whether it has to be mended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line, and a second one where there is something to mend."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


Check = Callable[[], Iterator[Finding]]


def ok(name: str, found: str) -> Finding:
    """As it should be."""
    return Finding(name, Verdict.OK, found)


def warn(name: str, found: str, mend: str) -> Finding:
    """It works, but for how long?"""
    return Finding(name, Verdict.WARN, found, mend)


def fail(name: str, found: str, mend: str) -> Finding:
    """Something does not work, or can lose what was accepted."""
    return Finding(name, Verdict.FAIL, found, mend)


def guarded(name: str, check: Check) -> Iterator[Finding]:
    """A check that cannot be made is a finding too."""
    try:
        yield from check()
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        yield fail(
            name,
            f"this could not be looked at: {type(error).__name__}: {error}",
            "Mend what is named there, and look again.",
        )


def size(number: float) -> str:
    """Bytes as people say it."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def span(seconds: float) -> str:
    """A time as people say it."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.3g} s"
