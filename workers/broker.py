"""How everybody reaches the broker; every setting with its reason."""

from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ConstantBackoff, ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from workers.address import address_of, for_celery
from workers.contract import QUEUE_OF, Task
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from celery import Celery

CONNECT_TIMEOUT_S = 2.0
DAY_S = 86_400
# A worker in the midst of a job outlasts a restart of the broker: about 15 s of tries.
PATIENT = 20
AWAY = (RedisConnectionError, RedisTimeoutError)


def connect(settings: WorkerSettings, *, patience: int = 1) -> "Redis":
    """A client for a worker's thread; bytes in, bytes out.

    It tries again `patience` times on a fresh connection: after the broker has come back the pooled
    ones are dead. Every script may run twice (see workers/lua), so a repeated call does no harm.
    """
    retry = Retry(ExponentialBackoff(1.0, 0.05), patience, supported_errors=AWAY)
    options = {**_options(settings, settings.redis_timeout_s), "retry": retry}
    client: Redis = _client(Redis, Sentinel, settings.redis_url, options)
    return client


def connect_once(url: str, timeout_s: float) -> "Redis":
    """A client that tells at once when nobody answers."""
    options = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": None}
    client: Redis = _client(Redis, Sentinel, url, options)
    return client


def connect_async(settings: WorkerSettings, *, timeout_s: float = 3.0) -> "AsyncRedis":
    """A client for the service, which has to answer within 5 s even without a broker."""
    options = {
        **_options(settings, timeout_s),
        "max_connections": 1_000,
        "retry": AsyncRetry(ConstantBackoff(0.05), 1, supported_errors=(RedisConnectionError,)),
    }
    client: AsyncRedis = _client(AsyncRedis, AsyncSentinel, settings.redis_url, options)
    return client


async def let_go(client: "AsyncRedis") -> None:
    """Close a client of the service, and what it has asked the Sentinels by."""
    await client.aclose()
    for asked in getattr(
        getattr(client.connection_pool, "sentinel_manager", None), "sentinels", ()
    ):
        await asked.aclose()


def make_celery(settings: WorkerSettings) -> "Celery":
    """The Celery client that service and workers share."""
    from celery import Celery  # half of a light process's start, and most of them never publish

    from workers import delivery

    delivery.install()
    url, transport, tls = for_celery(address_of(settings.redis_url))
    celery = Celery("matprop", broker=url, set_as_current=False)
    celery.conf.update(
        # The record and its lease make delivery safe; late acknowledgement over Redis does not.
        task_acks_late=False,
        # Results are files and records.
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # Never pickle: whoever can write to the broker could run code.
        task_serializer="json",
        accept_content=["json"],
        # A message waits in the queue, not in a busy worker.
        worker_prefetch_multiplier=1,
        task_default_queue="parse",
        task_create_missing_queues=True,
        task_routes={task: {"queue": queue} for task, queue in QUEUE_OF.items()},
        task_publish_retry=False,  # reconcile publishes again
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(settings.redis_timeout_s) | transport,
        broker_use_ssl=tls,
        # Nobody asks the workers anything; liveness is a key of our own.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # A task that outlives a lost connection keeps its job by its lease.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=settings.grace_s,
        worker_enable_soft_shutdown_on_idle=False,
    )
    return celery


def publish(celery: "Celery", task: Task, job: str) -> None:
    """Send a job's wake-up; when it fails, reconcile sends another one."""
    celery.send_task(task, [job], queue=QUEUE_OF[task], ignore_result=True, retry=False)


def _options(settings: WorkerSettings, timeout_s: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        # Without it a half-open connection stops its owner for ever. Every blocking command waits
        # for less, so that silence means a dead connection and not an idle one.
        "socket_timeout": timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "health_check_interval": int(2 * timeout_s),
    }
    if not settings.redis_url.startswith("unix:"):
        options["socket_keepalive"] = True
    return options


def _transport_options(timeout_s: float) -> dict[str, Any]:
    return {
        # Redelivery is the lease's business; kombu's own would only double work.
        "visibility_timeout": DAY_S,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": int(2 * timeout_s),
        "retry_on_timeout": True,
    }


def _client(plain: Any, watched: Any, url: str, options: dict[str, Any]) -> Any:
    """A client of the one server, or of the master that the Sentinels name at each new connection."""
    address = address_of(url)
    if not address.sentinels:
        return plain.from_url(address.url, **options)
    # One of them that is gone must not hold up the others' answer.
    timeout_s = min(options["socket_timeout"], CONNECT_TIMEOUT_S)
    asking = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s / 2}
    sentinel = watched(address.sentinels, sentinel_kwargs={**asking, **address.to_sentinels})
    return sentinel.master_for(address.master, **{**address.to_master, **options})
