"""Answers by structure and model version, so that no structure is computed twice."""

import struct
from collections.abc import Mapping, Sequence

from redis import Redis

from models.card import Card
from workers.ids import checked_name
from workers.scripts import Call, run, script

Values = tuple[float, ...]


class Answers:
    """A bounded cache in the broker, shared by all workers; the values only, one per target."""

    def __init__(self, redis: Redis, most: int, precision: str) -> None:
        self.redis = redis
        self.most = most
        self.precision = precision

    def find(self, card: Card, digests: Sequence[str]) -> list[Values | None]:
        """What is known already, in the order of the digests."""
        if not self.most or not digests:
            return [None] * len(digests)
        arguments = (self._name(card), *map(bytes.fromhex, digests))
        return run(self.redis, Call(script("answers_find"), arguments, _values))

    def keep(self, card: Card, answers: Mapping[str, Values]) -> None:
        """Remember answers, and forget those that nobody has asked for in a long while."""
        if not self.most or not answers:
            return
        pairs: list[bytes] = []
        for digest, values in answers.items():
            pairs += bytes.fromhex(digest), struct.pack(f"<{len(values)}d", *values)
        arguments = (self._name(card), self.most, *pairs)
        run(self.redis, Call(script("answers_keep"), arguments, bool))

    def _name(self, card: Card) -> str:
        # The weights' hash as well: another state folder may have another model of this name.
        return checked_name(f"{card.id}:{card.weights_sha256[:12]}:{self.precision}")


def _values(answer: Sequence[bytes | None]) -> list[Values | None]:
    return [
        struct.unpack(f"<{len(packed) // 8}d", packed) if packed is not None else None
        for packed in answer
    ]
