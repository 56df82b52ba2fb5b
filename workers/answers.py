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

    def name(self, card: Card) -> str:
        """Where the answers of this model lie."""
        # The weights' hash as well: another state folder may have another model of this name.
        return checked_name(f"{card.id}:{card.weights_sha256[:12]}:{self.precision}")

    def keep(self, card: Card, answers: Mapping[str, Values]) -> None:
        """Remember answers, and forget those that nobody has asked for in a long while."""
        if not self.most or not answers:
            return
        pairs: list[bytes] = []
        for digest, values in answers.items():
            pairs += bytes.fromhex(digest), struct.pack(f"<{len(values)}d", *values)
        arguments = (self.name(card), self.most, *pairs)
        run(self.redis, Call(script("answers_keep"), arguments, bool))


def values_of(answer: Sequence[bytes | None]) -> list[Values | None]:
    """What was kept, as it comes from the broker."""
    return [
        struct.unpack(f"<{len(packed) // 8}d", packed) if packed is not None else None
        for packed in answer
    ]
