"""The names of requests: taken over when sane, made otherwise."""

import re

from workers.jobs import new_id

SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def request_id(sent: str | None) -> str:
    """What the caller calls the request, if that is safe to log and to send back."""
    return sent if sent and SANE.fullmatch(sent) else new_id("req")


def traceparent(sent: str | None) -> str | None:
    """The caller's trace, if it is one."""
    return sent if sent and TRACEPARENT.fullmatch(sent) else None
