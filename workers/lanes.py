"""The inference lanes: a list of entries per model version, taken by resident workers, many at once.

An entry is up to a few dozen packed graphs of one owner (one run of a job). What a worker has taken
stays on record as held until it replies, so that the entries of a lost worker return to the lane:
first they were in company, then each goes alone, and one that costs its last worker is answered so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from workers.ids import checked_name
from workers.moves import SILENT_MS
from workers.scripts import Call, away, run, script

ENTRY_TTL_MS = 60_000  # renewed while its owner waits; a lost owner's entries are not computed
REPLY_TTL_MS = 60_000
TAKE = 512  # entries at most in one take
COLLECT = 64  # replies at most in one read


@dataclass(frozen=True, slots=True)
class Entry:
    """Work for one model; `losses` of `lives` workers are already gone with it."""

    owner: str
    seq: int
    model: str
    edges: int
    content: bytes
    losses: int = 0
    lives: int = 2


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry in a worker's hands; `item` is its name there."""

    item: bytes
    content: bytes

    @property
    def edges(self) -> int:
        """Of its graphs, all together."""
        return int(self.item.split(b"|", 3)[2])


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of an entry; no content: it cost all its workers."""

    seq: int
    content: bytes | None


class OwnerSide:
    """One run of a job: push entries, collect replies."""

    def __init__(self, redis: Redis, owner: str) -> None:
        self.redis: Any = redis
        self.owner = checked_name(owner)
        self.waiting: dict[int, Entry] = {}
        self._next = 0

    def push(
        self, model: str, edges: int, content: bytes, *, losses: int = 0, lives: int = 2
    ) -> int:
        """Queue one entry; returns its number."""
        seq = self._next
        self._next += 1
        entry = Entry(self.owner, seq, checked_name(model), edges, content, losses, lives)
        self.waiting[seq] = entry
        run(self.redis, _push(entry))
        return seq

    def ask(
        self,
        cache: str,
        digests: Sequence[str],
        model: str,
        edges: int,
        content: bytes,
        *,
        lives: int,
    ) -> tuple[int | None, Sequence[bytes | None]]:
        """Answers that are kept already; where none is, the entry is pushed and has a number."""
        entry = Entry(self.owner, self._next, checked_name(model), edges, content, 0, lives)
        call = Call(
            script("lane_ask"), (cache, *_pushed(entry), *map(bytes.fromhex, digests)), tuple
        )
        self.waiting[entry.seq] = entry  # before the broker's answer, which may not come
        pushed, found = run(self.redis, call)
        self._next += 1
        if not pushed:
            del self.waiting[entry.seq]
            return None, found
        return entry.seq, found

    def collect(self, block_s: float = 0.0) -> list[Reply]:
        """Replies that are there; waits for the first one when asked to."""
        try:
            if block_s > 0:
                answer = self.redis.blmpop(
                    block_s, 1, self._replies, direction="LEFT", count=COLLECT
                )
            else:
                answer = self.redis.lmpop(1, self._replies, direction="LEFT", count=COLLECT)
        except RedisError as error:
            raise away(error) from error
        return [
            reply for reply in map(_reply_of, answer[1] if answer else ()) if self._expected(reply)
        ]

    def keep(self) -> None:
        """Renew what waits; entries that the broker has lost are pushed again."""
        try:
            with self.redis.pipeline(transaction=False) as pipe:
                for seq in self.waiting:
                    pipe.pexpire(f"mp:entry:{self.owner}|{seq}", ENTRY_TTL_MS)
                pipe.llen(self._replies)
                *kept, replies = pipe.execute()
        except RedisError as error:
            raise away(error) from error
        if replies:
            return  # an answered entry is gone as well
        for entry, there in zip(list(self.waiting.values()), kept, strict=True):
            if not there:
                run(self.redis, _push(entry))

    def forget(self) -> None:
        """Nobody waits any more: nothing of it is computed or kept."""
        try:
            keys = [f"mp:entry:{self.owner}|{seq}" for seq in self.waiting]
            self.redis.unlink(self._replies, *keys)
        except RedisError as error:
            raise away(error) from error

    @property
    def _replies(self) -> str:
        return f"mp:reply:{self.owner}"

    def _expected(self, reply: Reply) -> bool:
        """A worker thought lost may answer as well as its successor; the first answer counts."""
        return self.waiting.pop(reply.seq, None) is not None


class WorkerSide:
    """One inference worker: wait for a lane, take, reply."""

    def __init__(self, redis: Redis, worker: str) -> None:
        self.redis: Any = redis
        self.worker = checked_name(worker)

    def wait(self, block_s: float) -> str | None:
        """A model that has entries; none when there was nothing for so long."""
        try:
            answer = self.redis.blpop(["mp:lane-tokens"], block_s)
        except RedisError as error:
            raise away(error) from error
        return answer[1].decode() if answer else None

    def take(self, model: str, budget_edges: int) -> list[Taken]:
        """Entries of the model up to the budget, at least one if there is any."""
        arguments = (self.worker, checked_name(model), budget_edges, TAKE)
        return run(self.redis, Call(script("lane_take"), arguments, _taken))

    def reply(self, model: str, replies: Sequence[tuple[Taken, bytes]]) -> int:
        """Answer entries; returns how many were still this worker's to answer."""
        return run(self.redis, self._reply_call(model, replies))

    def reply_and_wait(
        self, model: str, replies: Sequence[tuple[Taken, bytes]], block_s: float
    ) -> str | None:
        """Answer, and wait for the next lane in the same round trip."""
        call = self._reply_call(model, replies)
        try:
            with self.redis.pipeline(transaction=False) as pipe:
                # The whole text: an unknown hash would only come to light after the blocking wait.
                pipe.eval(call.script.text, 0, *call.arguments)
                pipe.blpop(["mp:lane-tokens"], block_s)
                _, answer = pipe.execute()
        except RedisError as error:
            raise away(error) from error
        return answer[1].decode() if answer else None

    def _reply_call(self, model: str, replies: Sequence[tuple[Taken, bytes]]) -> Call[int]:
        pairs: list[bytes] = [part for taken, content in replies for part in (taken.item, content)]
        arguments = (self.worker, checked_name(model), REPLY_TTL_MS, *pairs)
        return Call(script("lane_reply"), arguments, int)


def recover(redis: Redis, silent_ms: int = SILENT_MS) -> tuple[int, int]:
    """Return the entries of lost workers to their lanes; how many went back and were given up."""
    arguments = (silent_ms, REPLY_TTL_MS)
    return run(
        redis, Call(script("lane_recover"), arguments, lambda answer: (answer[0], answer[1]))
    )


def _push(entry: Entry) -> Call[bool]:
    return Call(script("lane_push"), _pushed(entry), bool)


def _pushed(entry: Entry) -> tuple[object, ...]:
    return (
        entry.model,
        entry.owner,
        entry.seq,
        entry.edges,
        entry.losses,
        entry.lives,
        ENTRY_TTL_MS,
        entry.content,
    )


def _taken(answer: Sequence[bytes]) -> list[Taken]:
    return [Taken(item, content) for item, content in zip(answer[::2], answer[1::2], strict=True)]


def _reply_of(raw: bytes) -> Reply:
    seq, _, content = raw.partition(b"|")
    return Reply(int(seq), content or None)
