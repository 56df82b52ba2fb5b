"""The broker and what lives behind it: does it answer, does it remember, who works there?"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from workers import rights
from workers.address import address_of, shown
from workers.broker import connect_once
from workers.checkup.finding import Finding, fail, guarded, ok, size, span, warn
from workers.checkup.machine import volatile
from workers.contract import Queue
from workers.embedded import OLDEST
from workers.jobs import BrokerAway, Health, JobLimits, Jobs
from workers.settings import WorkerSettings
from workers.software import versions

TIMEOUT_S = 5.0
SKEW_S = 2.0
STALE_S = 60.0
NEEDED = (Queue.PARSE, Queue.INFER)


def of_broker(settings: WorkerSettings) -> Iterator[Finding]:
    """All that is to be asked of it; one that does not answer is the only finding."""
    where = shown(settings.redis_url)
    try:
        with connect_once(settings.redis_url, TIMEOUT_S) as redis:
            about: dict[str, Any] = redis.info()
            yield from answering(where, settings, about)
            yield from guarded("rights", lambda: allowed(redis))
            yield from durability(about, configured(redis))
            yield from memory(settings, about)
            yield from clock(redis)
            health = Jobs(redis, JobLimits.of(settings)).health()
            yield from busy(health)
            yield from workers(health)
    except (RedisError, BrokerAway, OSError, ValueError) as error:
        yield fail(
            "broker",
            f"{where}: {error}",
            "Start it, or set MATPROP_REDIS_URL to where it is, with its user and password; "
            "see docs/how-to/own-broker.md.",
        )


def answering(where: str, settings: WorkerSettings, about: Mapping[str, Any]) -> Iterator[Finding]:
    """Which server it is."""
    name = "valkey" if "valkey_version" in about else "redis"
    version = str(about.get("valkey_version", about.get("redis_version", "0")))
    up = span(float(about.get("uptime_in_seconds", 0)))
    told = f"{where}: {name} {version}, up {up}"
    if int(version.split(".", maxsplit=1)[0]) < OLDEST:
        yield fail(
            "broker", told, f"Install version {OLDEST} or newer: the scripts need its functions."
        )
        return
    if about.get("role") not in (None, "master"):
        yield fail(
            "broker", f"{told}, a replica", "Name the master, or the Sentinels that know it."
        )
        return
    yield ok("broker", told)
    address = address_of(settings.redis_url)
    local = where.startswith("unix:") or any(
        f"{mark}{host}" in where
        for host in ("127.0.0.1", "localhost", "[::1]")
        for mark in ("//", "@")
    )
    if not local and not address.encrypted:
        yield warn(
            "encryption",
            "the broker is reached over the network in clear",
            "Use rediss:// unless the network between is yours alone; see docs/how-to/own-broker.md.",
        )


def allowed(redis: "Redis") -> Iterator[Finding]:
    """Whether its user may do all that is needed."""
    try:
        missing = rights.refused(redis)
    except RedisError as error:
        yield fail("rights", f"they cannot be tried: {error}", f"Grant: {rights.line()}")
        return
    if missing:
        granted = " ".join(f"+{one.lower().replace(' ', '|')}" for one in missing)
        yield fail("rights", f"refused: {', '.join(missing)}", f"ACL SETUSER … {granted}")
    else:
        yield ok("rights", "every command that is needed is allowed")


def configured(redis: "Redis") -> dict[str, str]:
    """Its configuration, as far as it tells us."""
    try:
        found: Any = redis.config_get("appendfsync", "dir", "maxclients")
    except RedisError:  # not among the rights that are needed
        return {}
    return {str(name): str(value) for name, value in found.items()}


def durability(about: Mapping[str, Any], config: Mapping[str, str]) -> Iterator[Finding]:
    """Whether an accepted job outlives a crash."""
    if about.get("aof_enabled") != 1:
        yield fail(
            "durability",
            "the append-only file is off: a restart of the broker loses accepted jobs",
            "CONFIG SET appendonly yes; CONFIG REWRITE",
        )
    elif about.get("aof_last_write_status") != "ok":
        yield fail(
            "durability", "the last write of the append-only file failed", "Free the broker's disk."
        )
    elif about.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield warn(
            "durability",
            "the append-only file cannot be rewritten and grows",
            "Free the broker's disk and memory.",
        )
    elif config.get("appendfsync") == "no":
        yield warn(
            "durability",
            "appendfsync no: a crash loses up to half a minute",
            "CONFIG SET appendfsync everysec; CONFIG REWRITE",
        )
    else:
        sync = config.get("appendfsync", "unknown")
        yield ok(
            "durability",
            f"append-only file on, {size(int(about.get('aof_current_size', 0)))}, appendfsync {sync}",
        )
    folder = Path(config["dir"]) if "dir" in config else None
    if folder is not None and folder.is_dir() and (kind := volatile(folder)):
        yield warn(
            "broker's disk",
            f"{folder} is a {kind}, which a restart empties",
            "Put `dir` on a disk.",
        )
    policy = about.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield fail(
            "eviction",
            f"maxmemory-policy {policy}: jobs are dropped when memory runs short",
            "CONFIG SET maxmemory-policy noeviction; CONFIG REWRITE",
        )


def memory(settings: WorkerSettings, about: Mapping[str, Any]) -> Iterator[Finding]:
    """How much is left for new jobs."""
    used, most = int(about["used_memory"]), int(about.get("maxmemory", 0))
    bound = min(most or settings.max_redis_bytes, settings.max_redis_bytes)
    told = f"{size(used)} of {size(bound)} used"
    mend = "Raise maxmemory and MATPROP_MAX_REDIS_BYTES, or keep less: MATPROP_MAX_KEPT_JOBS, MATPROP_RESULT_TTL_S, MATPROP_CACHE_ANSWERS."
    if used > 0.85 * bound:
        yield fail("memory", f"{told}: new jobs are refused", mend)
    elif used > 0.7 * bound:
        yield warn("memory", f"{told}: ended jobs go before their time", mend)
    else:
        yield ok("memory", told)
    total = int(about.get("total_system_memory", 0))
    if not most and total and settings.max_redis_bytes > 0.8 * total:
        yield warn(
            "memory",
            f"no maxmemory, and its machine has {size(total)}",
            "CONFIG SET maxmemory …, to what it may really take.",
        )


def clock(redis: "Redis") -> Iterator[Finding]:
    """This machine's clock against the broker's, by which all times of jobs are told."""
    before = time.time()
    seconds, micros = redis.time()
    after = time.time()
    off = seconds + micros / 1e6 - (before + after) / 2
    unsure = (after - before) / 2
    if abs(off) > SKEW_S + unsure:
        yield warn(
            "clocks",
            f"the broker's clock is {off:+.1f} s off this machine's",
            "Run NTP on both. Jobs are safe: only the broker's clock counts.",
        )
    else:
        yield ok("clocks", f"the broker's is within {abs(off) + unsure:.2g} s of this machine's")


def busy(health: Health) -> Iterator[Finding]:
    """What waits, and for how long."""
    waiting = ", ".join(f"{queue} {count}" for queue, count in health.waiting.items())
    late = {
        queue: age for queue, age in health.oldest_s.items() if age > STALE_S and queue in NEEDED
    }
    if health.full:
        yield fail("queue", "new jobs are refused for want of memory", "See memory.")
    elif late:
        told = ", ".join(f"{queue} for {span(age)}" for queue, age in late.items())
        yield warn(
            "queue",
            f"the oldest waits: {told}",
            "Start more workers of that queue, or look in their log.",
        )
    else:
        yield ok("queue", f"waiting: {waiting}; running: {health.running}")


def workers(health: Health) -> Iterator[Finding]:
    """Who is alive, of which version, with which clock."""
    for queue in Queue:
        alive = health.workers.get(queue, 0)
        start = f"celery -A workers.app worker -Q {queue}"
        if alive:
            yield ok("workers", f"{queue}: {alive} alive")
        elif queue in NEEDED:
            yield fail("workers", f"{queue}: none alive", f"Start some: {start}")
        else:
            yield warn("workers", f"{queue}: none alive; such jobs wait", f"Start some: {start}")
    yield from of_versions(health)
    skew = max(health.told, key=lambda one: abs(one.skew_s), default=None)
    if skew is not None and abs(skew.skew_s) > SKEW_S:
        yield warn(
            "clocks",
            f"that of worker {skew.worker} is {skew.skew_s:+.1f} s off the broker's",
            "Run NTP there.",
        )


def of_versions(health: Health) -> Iterator[Finding]:
    """Whether an upgrade has stopped half-way."""
    here = versions()
    for package in ("matprop", "python", "torch", "pymatgen"):
        counts = Counter(
            str(told[package])
            for one in health.told
            if package in (told := one.about.get("versions", {}))
        )
        if package == "matprop" and here.get("matprop"):
            counts[here["matprop"]] += 0
        if len(counts) > 1:
            told_all = ", ".join(
                f"{version} ({number} workers)" for version, number in counts.items()
            )
            yield warn(
                "versions",
                f"{package} of several versions: {told_all}",
                "Finish the upgrade: restart the workers of the older one.",
            )
