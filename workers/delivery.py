"""Celery's account of the messages in hand, made to survive a broker that is away."""

from typing import Any

from kombu.transport import redis


class Delivered(redis.QoS):  # type: ignore[misc]
    """A message is out of hand though the broker could not be told; else, after a few, a worker takes no more."""

    def ack(self, delivery_tag: Any) -> None:
        """The broker forgets the message by itself in time; until then it may come again, and do no harm."""
        try:
            super().ack(delivery_tag)
        except Exception:
            self._quick_ack(delivery_tag)
            raise


def install() -> None:
    """For every connection of this process, those to Sentinels among them."""
    redis.Channel.QoS = Delivered
