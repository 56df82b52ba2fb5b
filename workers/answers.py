"""Answers by structure and model version, so that no structure is computed twice."""

from collections.abc import Mapping, Sequence

from redis import Redis

from models.card import Card
from workers.ids import checked_name
from workers.said import LAYOUT, Said, unpack_said
from workers.scripts import Call, run, script

KEPT_S = 30 * 86_400  # of a model that nobody asks any more


class Answers:
    """A bounded cache in the broker, shared by all workers; of each answer what does not depend on the call."""

    def __init__(self, redis: Redis, most: int, precision: str) -> None:
        self.redis = redis
        self.most = most
        self.precision = precision

    def name(self, card: Card) -> str:
        """Where the answers of this model lie."""
        # The weights' hash as well: another state folder may have another model of this name.
        # Workers of an earlier version, with another layout, keep theirs elsewhere.
        files = f"{card.weights_sha256[:12]}.{(card.guide_sha256 or '')[:12]}"
        return checked_name(f"{card.id}:{files}:{self.precision}:{LAYOUT}")

    def keep(self, card: Card, answers: Mapping[str, bytes]) -> None:
        """Remember answers, and forget those that nobody has asked for in a long while."""
        if not self.most or not answers:
            return
        pairs: list[bytes] = []
        for digest, packed in answers.items():
            pairs += bytes.fromhex(digest), packed
        arguments = (self.name(card), self.most, KEPT_S, *pairs)
        run(self.redis, Call(script("answers_keep"), arguments, bool))


def said_of(answer: Sequence[bytes | None]) -> list[Said | None]:
    """What was kept, as it comes from the broker; none for what this version cannot read."""
    return [None if packed is None else unpack_said(packed) for packed in answer]
