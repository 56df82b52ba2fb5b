"""The Lua scripts, and one call of one of them as a value that sync and async clients can run."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from workers.contract import QUEUE_OF, SHORT, WAY_OF, Task
from workers.figures import JOB_S

FOLDER = Path(__file__).with_name("lua")
# What a broker answers that lives but cannot serve just now.
UNABLE = ("OOM", "MISCONF", "READONLY", "LOADING", "BUSY", "NOREPLICAS", "MASTERDOWN", "NOAUTH")

Answer = TypeVar("Answer")


class BrokerAway(Exception):
    """The broker cannot be reached or cannot serve; what was asked may or may not have happened."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script as sent, and its name in Redis' script cache."""

    text: str
    sha: str


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One run of a script, and how its answer reads."""

    script: Script
    arguments: tuple[object, ...]
    decode: Callable[[Any], Answer]


@cache
def script(name: str) -> Script:
    """The script of this name with the shared prelude; a `#!` line stays the first."""
    prelude = _queues() + (FOLDER / "prelude.lua").read_text()
    body = (FOLDER / f"{name}.lua").read_text()
    first = ""
    if body.startswith("#!"):
        first, body = body.split("\n", 1)
        first += "\n"
    text = first + prelude + body
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def run(redis: Any, call: Call[Answer]) -> Answer:
    """The call's answer. Raises: BrokerAway."""
    try:
        try:
            answer = redis.evalsha(call.script.sha, 0, *call.arguments)
        except NoScriptError:
            answer = redis.eval(call.script.text, 0, *call.arguments)
    except RedisError as error:
        raise away(error) from error
    return call.decode(answer)


async def run_async(redis: Any, call: Call[Answer]) -> Answer:
    """The same for an asyncio client. Raises: BrokerAway."""
    try:
        try:
            answer = await redis.evalsha(call.script.sha, 0, *call.arguments)
        except NoScriptError:
            answer = await redis.eval(call.script.text, 0, *call.arguments)
    except RedisError as error:
        raise away(error) from error
    return call.decode(answer)


def away(error: RedisError) -> Exception:
    """`BrokerAway` when the broker's state is the reason; a fault of ours stays what it is."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return BrokerAway(f"broker away: {type(error).__name__}: {error}")
    text = str(error)
    if isinstance(error, ResponseError) and (
        text.startswith(UNABLE) or "-OOM" in text or "OOM " in text
    ):
        return BrokerAway(f"broker unable: {text}")
    return error


def _queues() -> str:
    bounds = ", ".join(f"{bound:g}" for bound in JOB_S)
    return (
        f"local QUEUE_OF, WAY_OF, SHORT = {_table(QUEUE_OF)}, {_table(WAY_OF)}, '{SHORT}'\n"
        f"local JOB_BOUNDS = {{ {bounds} }}\n"
    )


def _table(names: Mapping[Task, str]) -> str:
    rows = ", ".join(f"['{task}'] = '{name}'" for task, name in names.items())
    return f"{{ {rows} }}"
