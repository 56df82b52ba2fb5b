"""API keys: random, kept as hashes only, with scopes and quotas; one broker call checks and counts."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from redis.asyncio import Redis

from service.problems import Problem
from service.reach import reaching
from service.schemas.key import KeyRequest, Scope
from service.settings import ServiceSettings
from workers.address import shown
from workers.broker import connect_async

PREFIX = "mp_"
MINUTE_MS = 60_000
DAY_MS = 86_400_000
REFUND_S = 0.5  # after a failure: the caller has waited already

# → owner, scopes, id, limit, used, ms to reset; or nothing for an unknown key.
ADMIT = """
local id = redis.call('HGET', 'mp:keys:hashes', ARGV[1])
if not id then return false end
local key = redis.call('HMGET', 'mp:key:' .. id, 'owner', 'scopes', 'requests_per_minute')
if not key[1] then return false end
local counter = 'mp:quota:requests:' .. id
local used = redis.call('INCR', counter)
if used == 1 then redis.call('PEXPIRE', counter, ARGV[2]) end
return {key[1], key[2], id, key[3], used, redis.call('PTTL', counter)}
"""

# Takes a number of structures from the day's quota, or none of them: → taken (1/0), limit, used, ms to reset.
CHARGE = """
local limit = tonumber(redis.call('HGET', 'mp:key:' .. ARGV[1], 'structures_per_day') or 0)
local counter = 'mp:quota:structures:' .. ARGV[1]
local used = tonumber(redis.call('GET', counter) or 0)
local asked = tonumber(ARGV[2])
local taken = 0
if used + asked <= limit then
  redis.call('INCRBY', counter, asked)
  if used == 0 then redis.call('PEXPIRE', counter, ARGV[3]) end
  taken = 1
  used = used + asked
end
return {taken, limit, used, redis.call('PTTL', counter)}
"""


# Gives structures back, unless the day they were taken on is over.
REFUND = """
local counter = 'mp:quota:structures:' .. ARGV[1]
if tonumber(redis.call('GET', counter) or 0) >= tonumber(ARGV[2]) then redis.call('DECRBY', counter, ARGV[2]) end
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what they may do."""

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def need(self, scope: Scope) -> None:
        """Raises `Problem` unless the scope is among the caller's."""
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            raise Problem("forbidden", f"This key has no scope `{scope}`.", expected=str(scope))


EVERYTHING = frozenset(Scope)
LOCAL = Caller("local", EVERYTHING)
ADMIN = Caller("admin", EVERYTHING)


OPEN = (
    "everybody who reaches this address could use the service. Set MATPROP_ADMIN_KEY to a secret of at least "
    "16 signs (for example the output of `openssl rand -hex 24`), or listen on 127.0.0.1."
)


class NoKeys(Exception):
    """The service must not start like this."""


def refuse_open(settings: ServiceSettings) -> None:
    """Raises `NoKeys` when strangers could come in; asked before anything is started."""
    if settings.on_loopback or settings.admin_key is not None:
        return

    async def ask() -> None:
        redis = connect_async(settings)
        try:
            await Keys(redis, settings).decide()
        finally:
            await redis.aclose()

    asyncio.run(ask())


class Keys:
    """The keys of this service."""

    def __init__(self, redis: Redis, settings: ServiceSettings) -> None:
        self.redis = redis
        self.settings = settings
        self.required: bool | None = None  # none: the broker has not been asked yet
        if settings.admin_key is not None or not settings.on_loopback:
            self.required = True
        self._admit = redis.register_script(ADMIT)
        self._charge = redis.register_script(CHARGE)
        self._refund = redis.register_script(REFUND)

    async def stored(self) -> int:
        """How many keys there are."""
        return int(await self.redis.hlen("mp:keys:hashes"))

    async def decide(self) -> None:
        """Whether keys are in force; raises `NoKeys` when the service would be open to strangers."""
        settings = self.settings
        if settings.admin_key is not None:
            return
        try:
            async with reaching():
                stored = await self.stored() > 0
        except Problem as problem:
            if settings.on_loopback:
                return  # asked again with the first request
            raise NoKeys(
                f"The queue at {shown(settings.redis_url)} does not answer, so {OPEN}"
            ) from problem
        if not stored and not settings.on_loopback:
            raise NoKeys(f"There are no API keys yet, and {OPEN}")
        self.required = stored

    async def caller(self, authorization: str | None) -> Caller:
        """Who sent this header; counts the request against the key's quota."""
        if self.required is None:
            async with reaching():
                self.required = await self.stored() > 0
        if not self.required:
            return LOCAL
        secret = bearer(authorization)
        admin = self.settings.admin_key
        if admin is not None and hmac.compare_digest(
            secret.encode(), admin.get_secret_value().encode()
        ):
            return ADMIN
        async with reaching():
            found = await self._admit(args=[digest(secret), MINUTE_MS])
        if not found:
            raise Problem(
                "unauthorized", "This key is not known, or was revoked.", headers=CHALLENGE
            )
        return admitted(found)

    @asynccontextmanager
    async def charged(self, caller: Caller, structures: int) -> AsyncIterator[None]:
        """A block that costs structures of the day's quota; they are given back when it fails."""
        if caller.key_id is None or not structures:
            yield
            return
        await self.charge(caller.key_id, structures)
        try:
            yield
        except BaseException:
            with suppress(Problem):  # the broker is away: so much the day's quota is smaller
                async with reaching(REFUND_S):
                    await self._refund(args=[caller.key_id, structures])
            raise

    async def charge(self, key_id: str, structures: int) -> None:
        """Takes the structures from the day's quota; raises `Problem` when they do not fit."""
        async with reaching():
            taken, limit, used, left_ms = await self._charge(args=[key_id, structures, DAY_MS])
        if taken:
            return
        left_ms = (
            int(left_ms) if int(used) else DAY_MS
        )  # nothing was taken yet: the day has not begun
        seconds, left = max(1, -(-max(0, left_ms) // 1000)), max(0, limit - used)
        raise Problem(
            "quota_exceeded",
            f"The call has {structures} structures; of today's {limit}, {left} are left.",
            hint=None if structures <= int(limit) else f"Send at most {left or limit} at once.",
            headers={
                "Retry-After": str(seconds),
                **rate_headers(int(limit), int(used), seconds, DAY_MS),
            },
        )

    async def create(self, request: KeyRequest, key_id: str) -> dict[str, Any]:
        """A new key; its secret is in the answer and nowhere else."""
        secret = PREFIX + secrets.token_urlsafe(32)
        settings = self.settings
        record: dict[str, Any] = {
            "id": key_id,
            "name": request.name,
            "owner": request.owner or key_id,
            "scopes": ",".join(sorted(set(request.scopes))),
            "requests_per_minute": request.requests_per_minute
            or settings.quota_requests_per_minute,
            "structures_per_day": request.structures_per_day or settings.quota_structures_per_day,
            "created_at": time.time(),
            "sha256": digest(secret),
        }
        async with reaching(), self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(f"mp:key:{key_id}", mapping=dict(record.items()))
            pipe.hset("mp:keys:hashes", str(record["sha256"]), key_id)
            await pipe.execute()
        return record | {"key": secret}

    async def get(self, key_id: str) -> dict[str, Any] | None:
        """A key by its id."""
        async with reaching():
            record = await self.redis.hgetall(f"mp:key:{key_id}")
        return as_text(record) or None

    async def list(self) -> list[dict[str, Any]]:
        """All keys, the oldest first."""
        async with reaching():
            ids = sorted(text(one) for one in await self.redis.hvals("mp:keys:hashes"))
            async with self.redis.pipeline(transaction=False) as pipe:
                for key_id in ids:
                    pipe.hgetall(f"mp:key:{key_id}")
                return [as_text(record) for record in await pipe.execute() if record]

    async def revoke(self, key_id: str) -> bool:
        """Forgets a key at once; false when there is none."""
        record = await self.get(key_id)
        if record is None:
            return False
        async with reaching(), self.redis.pipeline(transaction=True) as pipe:
            pipe.hdel("mp:keys:hashes", record["sha256"])
            pipe.delete(f"mp:key:{key_id}")
            await pipe.execute()
        return True


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="matprop"'}


def bearer(authorization: str | None) -> str:
    """The secret in an Authorization header."""
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Problem("unauthorized", "This request carries no key.", headers=CHALLENGE)
    return secret.strip()


def admitted(found: list[Any]) -> Caller:
    """The caller that ADMIT found; raises `Problem` when the minute's quota is used up."""
    owner, scopes, key_id, limit, used, left_ms = found
    seconds = max(1, -(-max(0, int(left_ms)) // 1000))
    headers = rate_headers(int(limit), int(used), seconds, MINUTE_MS)
    if int(used) > int(limit):
        raise Problem(
            "quota_exceeded",
            f"This key may make {int(limit)} requests a minute.",
            headers={"Retry-After": str(seconds), **headers},
        )
    known = {scope.value for scope in Scope}
    caller = Caller(text(owner), frozenset(Scope(s) for s in text(scopes).split(",") if s in known))
    return replace(caller, key_id=text(key_id), headers=tuple(headers.items()))


def rate_headers(limit: int, used: int, seconds: int, window_ms: int) -> dict[str, str]:
    """What is left of a quota."""
    return {
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": str(max(0, limit - used)),
        "RateLimit-Reset": str(seconds),
        "RateLimit-Policy": f"{limit};w={window_ms // 1000}",
    }


def digest(secret: str) -> str:
    """What is kept of a secret: it has 256 bits of chance, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def text(value: bytes | str) -> str:
    """The broker's bytes as text."""
    return value.decode() if isinstance(value, bytes) else value


def as_text(record: dict[Any, Any]) -> dict[str, Any]:
    """A hash of the broker with text in it."""
    return {text(name): text(value) for name, value in record.items()}
