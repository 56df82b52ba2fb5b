"""Log lines, readable or JSON, that carry the request and the job and never a control character."""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType, TracebackType

NOTHING: Mapping[str, object] = MappingProxyType({})
_about: ContextVar[Mapping[str, object]] = ContextVar("about", default=NOTHING)
_always: dict[str, object] = {}

# A stranger's file name must not forge a line or steer a terminal.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
TRACE_CONTROLS = {code: text for code, text in CONTROLS.items() if code not in (9, 10)}


@contextmanager
def about(**named: object) -> Iterator[None]:
    """Lines written within the block name these: `request_id`, `job`, `kind`, `attempt`, `traceparent`, …"""
    token = _about.set({**_about.get(), **named})
    try:
        yield
    finally:
        _about.reset(token)


def always(**named: object) -> None:
    """From now on every line of this process names these."""
    _always.update(named)


class Readable(logging.Formatter):
    """One line for a person; a trace follows it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        named = _about.get()
        where = "".join(f" [{named[name]}]" for name in ("request_id", "job") if named.get(name))
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
            **_always,
            **_about.get(),
            **getattr(record, "told", {}),
            "trace": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps(
            {name: _clean(value) for name, value in parts.items() if value is not None}
        )


def _clean(value: object) -> object:
    """As it may be shown by whatever reads the lines; a trace keeps its own."""
    if isinstance(value, int | float):
        return value
    return str(value).translate(TRACE_CONTROLS)


def set_up(level: str, *, as_json: bool) -> None:
    """Send all lines of this process to stderr in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if as_json else Readable())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if as_json:  # nothing else may write into the lines
        logging.captureWarnings(True)
        sys.excepthook = _unexpected
        threading.excepthook = lambda one: (
            _unexpected(one.exc_type, one.exc_value, one.exc_traceback)
            if one.exc_value is not None
            else None
        )
    # Their INFO tells of every message; ours tells of every job.
    for chatty in ("celery", "kombu", "amqp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What nobody caught becomes a line as well."""
    logging.getLogger("matprop").critical("unexpected end", exc_info=(kind, error, trace))
