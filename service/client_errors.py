"""What can go wrong for a caller of the service, each with a class of its own."""

from collections.abc import Mapping
from typing import Any


class ServiceError(Exception):
    """Anything that went wrong between you and the service."""

    def __init__(self, detail: str, *, jobs: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.jobs = jobs


class Unreachable(ServiceError):
    """No service answers at this address, or the connection broke for too long.

    `jobs` names what was accepted before; `Client.resume` picks it up again.
    """


class UnreadableInput(ServiceError):
    """Something given to `predict` that is neither a file, a text nor a structure."""


class JobFailed(ServiceError):
    """The job ended without an answer; `problem` is the service's word on it."""

    def __init__(self, job: str, status: str, problem: Mapping[str, Any] | None) -> None:
        self.problem = dict(problem or {})
        why = self.problem.get("detail")
        super().__init__(f"job {job}: {status}" + (f", {why}" if why else ""), jobs=(job,))
        self.code = str(self.problem.get("code", "internal"))
        self.hint = self.problem.get("hint")


class JobCancelled(JobFailed):
    """Somebody cancelled the job."""


class Problem(ServiceError):
    """The service's refusal, as it came (RFC 9457)."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.body = dict(body)
        self.code = str(body.get("code", "unknown"))
        self.title = str(body.get("title", ""))
        self.hint: str | None = body.get("hint")
        self.errors: list[dict[str, Any]] = list(body.get("errors") or ())
        self.request_id: str | None = body.get("request_id")
        super().__init__(str(body.get("detail") or self.title or f"HTTP status {status}"))

    def __str__(self) -> str:
        first = self.errors[0] if self.errors else {}
        expected = self.body.get("expected") or first.get("expected")
        lines = [f"{self.detail} [{self.code}]" if "code" in self.body else self.detail]
        lines += [f"Expected: {expected}"] if expected else []
        lines += [self.hint] if self.hint else []
        return "\n".join(lines)


class NotAllowed(Problem):
    """A key is missing, or may not do this (401, 403)."""


class NotFound(Problem):
    """No such model, job or page (404)."""


class Conflict(Problem):
    """Not possible in this state (409)."""


class TooLarge(Problem):
    """Beyond one of the service's bounds (413); see `Client.limits`."""


class InvalidRequest(Problem):
    """The input is at fault (400, 415, 422)."""


class QuotaExceeded(Problem):
    """The key's quota is used up (429)."""


class Unavailable(Problem):
    """The service cannot take it now (503, 507), and did not within your patience."""


class ServerFault(Problem):
    """An error inside the service (500); `request_id` finds it in the service's log."""


CLASS_OF: dict[int, type[Problem]] = {
    400: InvalidRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    405: InvalidRequest,
    406: InvalidRequest,
    409: Conflict,
    413: TooLarge,
    415: InvalidRequest,
    422: InvalidRequest,
    429: QuotaExceeded,
    500: ServerFault,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: Unavailable,
}


def problem_of(status: int, body: Mapping[str, Any]) -> Problem:
    """The exception for an answer with an error status."""
    return CLASS_OF.get(status, ServerFault if status >= 500 else Problem)(status, body)
