"""`Idempotency-Key`: a creating request that is sent twice makes one thing."""

import hashlib
import re
from dataclasses import dataclass

from redis.asyncio import Redis

from service.keys import text
from service.problems import Problem
from service.reach import reaching

KEPT_MS = 24 * 3_600_000
MARGIN_MS = 10_000
SHAPE = re.compile(r"[\x21-\x7e]{1,255}")

# → nothing (ours now), or {fingerprint, thing, ms that the first request may still run}.
BEGIN = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'thing', 'until')
if found[1] then return {found[1], found[2], math.max(0, tonumber(found[3]) - now)} end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'thing', ARGV[2], 'until', now + tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return false
"""


# Only the claim that made the thing is forgotten, not the one that came after it.
FORGET = """
if redis.call('HGET', KEYS[1], 'thing') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of a key; `first` says whether it was the first."""

    name: str | None
    thing: str
    first: bool = True


class Idempotency:
    """Which thing each key of each owner has made."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._begin = redis.register_script(BEGIN)
        self._forget = redis.register_script(FORGET)

    async def begin(
        self, owner: str, key: str | None, fingerprint: str, thing: str, longest_s: float
    ) -> Claim:
        """Claims the key for a new thing, or tells the one it has made; raises `Problem` if it may not."""
        if key is None:
            return Claim(None, thing)
        scoped = hashlib.sha256(f"{owner} {key}".encode()).hexdigest()  # neither holds a space
        name = f"mp:idempotency:{scoped}"
        longest_ms = int(longest_s * 1000) + MARGIN_MS
        async with reaching():
            found = await self._begin(keys=[name], args=[fingerprint, thing, longest_ms, KEPT_MS])
        if not found:
            return Claim(name, thing)
        if text(found[0]) != fingerprint:
            raise Problem(
                "idempotency_mismatch", "The body differs from the one this key first came with."
            )
        if int(found[2]) > 0:
            seconds = max(1, min(5, int(found[2]) // 1000))
            raise Problem(
                "idempotency_running",
                "The first request of this key has not been answered yet.",
                headers={"Retry-After": str(seconds)},
            )
        return Claim(name, text(found[1]), first=False)

    async def answered(self, claim: Claim) -> None:
        """The first request has its answer: from now on it is repeated."""
        if claim.name is not None and claim.first:
            async with reaching():
                await self.redis.hset(claim.name, "until", "0")

    async def forget(self, claim: Claim) -> None:
        """Nothing was made: the key may be used again."""
        if claim.name is not None:
            async with reaching():
                await self._forget(keys=[claim.name], args=[claim.thing])


def fingerprint(kind: str, raw: bytes) -> str:
    """The same for the same request."""
    return hashlib.sha256(kind.encode() + b" " + raw).hexdigest()


def sane(key: str | None) -> str | None:
    """The header's value; raises `Problem` when it is not 1 to 255 printable signs."""
    if key is not None and not SHAPE.fullmatch(key):
        raise Problem(
            "invalid_field",
            "Idempotency-Key has 1 to 255 printable ASCII signs.",
            pointer="Idempotency-Key",
        )
    return key
