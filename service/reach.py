"""Talking to the broker: never longer than a few seconds, and its absence is a 503, not a fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import exceptions

from service.problems import Problem
from workers.jobs import BrokerAway

PATIENCE_S = 4.0
# What a server says while it starts or cannot write; anything else it says is our mistake.
PASSING = ("LOADING", "BUSY", "READONLY", "MISCONF", "MASTERDOWN", "NOREPLICAS", "NOAUTH")
AWAY = (BrokerAway, exceptions.ConnectionError, exceptions.TimeoutError, TimeoutError, OSError)


@asynccontextmanager
async def reaching(patience_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """A block of broker calls; raises `Problem` when the broker is away or full."""
    try:
        async with asyncio.timeout(patience_s):
            yield
    except (*AWAY, exceptions.ResponseError) as error:
        text = str(error)
        if "OOM " in text:
            raise Problem("queue_full", "The queue's memory is full.") from error
        if isinstance(error, AWAY) or text.startswith(PASSING):
            raise away() from error
        raise


def away() -> Problem:
    """The broker is not there."""
    return Problem("broker_unavailable", "The queue does not answer.")
