"""The `Prefer` header (RFC 7240): how long to wait for the answer."""

import re
from dataclasses import dataclass

WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)
ASYNCHRONOUS = "respond-async"
ASYNC = re.compile(r"(?:^|,)\s*respond-async\s*(?=$|[,;])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and what of the caller's wish was followed."""

    seconds: float
    applied: str | None = None

    @property
    def asynchronous(self) -> bool:
        """Whether the caller wants a job, even if the answer is there already."""
        return self.applied == ASYNCHRONOUS

    @property
    def headers(self) -> dict[str, str]:
        """What tells the caller so."""
        return {"Preference-Applied": self.applied} if self.applied else {}


def patience(prefer: str | None, default_s: float, longest_s: float) -> Patience:
    """The wait that the header asks for; what is not understood is passed over, as the RFC wants."""
    if not prefer:
        return Patience(default_s)
    wait = WAIT.search(prefer)
    if wait:
        seconds = min(float(wait[1]), longest_s)
        return Patience(seconds, f"wait={seconds:g}")
    if ASYNC.search(prefer):
        return Patience(0.0, ASYNCHRONOUS)
    return Patience(default_s)
