"""What a user of the broker must be allowed, and a harmless try of each; docs/how-to/own-broker.md has the line."""

from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from workers.contract import Queue

KEY = "mp:doctor"
# Keys of our own; the messages of Celery, and what it notes of them.
KEYS = (
    "mp:*",
    *(f"{queue}*" for queue in Queue),
    "_kombu*",
    "unacked*",
    "*celery.pidbox*",
    "celeryev*",
)
CHANNELS = ("*",)  # a pattern that is subscribed to must be named to the letter
NOBODY = "0" * 40
Words = tuple[str | int | float, ...]
TRIES: tuple[Words, ...] = (
    ("PING",),
    ("TIME",),
    ("INFO", "server"),
    ("EVAL", "return 1", 0),
    ("EVALSHA", NOBODY, 0),
    ("SCRIPT EXISTS", NOBODY),
    ("SCRIPT LOAD", "return 1"),
    ("SET", KEY, 1, "PX", 1000),
    ("GET", KEY),
    ("EXISTS", KEY),
    ("EXPIRE", KEY, 1),
    ("PEXPIRE", KEY, 1000),
    ("DEL", KEY),
    ("UNLINK", KEY),
    ("RENAME", KEY, KEY),
    ("PTTL", KEY),
    ("INCR", KEY),
    ("INCRBY", KEY, 1),
    ("DECRBY", KEY, 1),
    ("DEL", KEY),
    ("HSET", KEY, "a", 1),
    ("HGET", KEY, "a"),
    ("HMGET", KEY, "a"),
    ("HGETALL", KEY),
    ("HVALS", KEY),
    ("HLEN", KEY),
    ("HEXISTS", KEY, "a"),
    ("HINCRBY", KEY, "a", 1),
    ("HINCRBYFLOAT", KEY, "a", 1),
    ("HDEL", KEY, "a"),
    ("DEL", KEY),
    ("LPUSH", KEY, 1),
    ("RPUSH", KEY, 1),
    ("LLEN", KEY),
    ("LINDEX", KEY, 0),
    ("LRANGE", KEY, 0, 0),
    ("LINSERT", KEY, "BEFORE", 1, 1),
    ("LPOS", KEY, 1),
    ("LPOP", KEY),
    ("BLPOP", KEY, 0.01),
    ("BRPOP", KEY, 0.01),
    ("LMPOP", 1, KEY, "LEFT"),
    ("BLMPOP", 0.01, 1, KEY, "LEFT"),
    ("DEL", KEY),
    ("SADD", KEY, 1),
    ("SREM", KEY, 1),
    ("SMEMBERS", KEY),
    ("DEL", KEY),
    ("ZADD", KEY, 1, "a"),
    ("ZCARD", KEY),
    ("ZSCORE", KEY, "a"),
    ("ZRANGE", KEY, 0, 0),
    ("ZRANGEBYSCORE", KEY, 0, 0),
    ("ZREVRANGEBYSCORE", KEY, 0, 0),
    ("ZREVRANGEBYLEX", KEY, "+", "-"),
    ("ZREMRANGEBYSCORE", KEY, 0, 0),
    ("ZREM", KEY, "a"),
    ("BZPOPMIN", KEY, 0.01),
    ("DEL", KEY),
    ("XADD", KEY, "*", "a", 1),
    ("XREAD", "STREAMS", KEY, 0),
    ("XREVRANGE", KEY, "+", "-", "COUNT", 1),
    ("PUBLISH", "/doctor", 1),
    ("DEL", KEY),
)
# What cannot be tried alone: transactions, subscriptions, and what clients say of themselves.
UNTRIED = (
    *("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"),
    *("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE"),
    *("AUTH", "HELLO", "SELECT", "CLIENT SETNAME"),
)
COMMANDS = tuple(dict.fromkeys([str(words[0]) for words in TRIES] + list(UNTRIED)))


def line(user: str = "matprop", secret: str = "SECRET") -> str:  # noqa: S107 (a placeholder)
    """As it stands in the broker's configuration."""
    keys = " ".join(f"~{key}" for key in KEYS)
    channels = " ".join(f"&{channel}" for channel in CHANNELS)
    allowed = " ".join(f"+{command.lower().replace(' ', '|')}" for command in COMMANDS)
    return f"user {user} on >{secret} resetchannels {channels} {keys} -@all {allowed}"


def refused(redis: "Redis") -> list[str]:
    """The commands that the user may not give. Raises: RedisError when the broker is away."""
    found = []
    client: Any = redis
    with client.pipeline(transaction=False) as pipe:
        for words in TRIES:
            pipe.execute_command(*words)
        for words, answer in zip(TRIES, pipe.execute(raise_on_error=False), strict=True):
            if isinstance(answer, NoPermissionError) or (
                isinstance(answer, RedisError) and "NOPERM" in str(answer)
            ):
                found.append(str(words[0]))
    return list(dict.fromkeys(found))
