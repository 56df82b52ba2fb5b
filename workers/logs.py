"""Log lines, readable or JSON, that carry the request and the job and never a control character."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request: ContextVar[str | None] = ContextVar("request", default=None)
_job: ContextVar[str | None] = ContextVar("job", default=None)

# A stranger's file name must not forge a line or steer a terminal.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
TRACE_CONTROLS = {code: text for code, text in CONTROLS.items() if code not in (9, 10)}


@contextmanager
def about(request_id: str | None, job: str | None) -> Iterator[None]:
    """Lines written within the block name this request and this job."""
    tokens = _request.set(request_id), _job.set(job)
    try:
        yield
    finally:
        _request.reset(tokens[0])
        _job.reset(tokens[1])


class Readable(logging.Formatter):
    """One line for a person; a trace follows it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        where = "".join(f" [{name}]" for name in (_request.get(), _job.get()) if name)
        text = record.getMessage().translate(CONTROLS)
        line = f"{moment} {record.levelname:<7} {record.name}{where.translate(CONTROLS)} {text}"
        return line + self._trace(record)

    def _trace(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return ""
        return "\n" + self.formatException(record.exc_info).translate(TRACE_CONTROLS)


class JsonLine(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        parts = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage().translate(CONTROLS),
            "request_id": _request.get(),
            "job": _job.get(),
            "trace": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in parts.items() if value is not None})


def set_up(level: str, *, as_json: bool) -> None:
    """Send all lines of this process to stderr in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if as_json else Readable())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their INFO tells of every message; ours tells of every job.
    for chatty in ("celery", "kombu", "amqp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
