"""A broker that is away for a moment while a worker has its hands full."""

import pytest
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from workers import delivery
from workers.broker import connect, make_celery, publish
from workers.contract import Queue, Task
from workers.jobs import BrokerAway, Jobs, NewJob, Status, new_id
from workers.metrics import Tally
from workers.owning import Holder
from workers.pulse import Pulse
from workers.stopping import Stopping


def test_a_worker_goes_on_taking_messages_when_the_broker_does_not_hear_that_it_had_one(
    settings, monkeypatch
):
    celery = make_celery(settings)
    publish(celery, Task.IMPORT, "job_one")
    publish(celery, Task.IMPORT, "job_two")
    taken = []

    def unheard(*_):
        raise RedisTimeoutError("Timeout reading from socket")

    with celery.connection() as connection, connection.channel() as channel:
        assert type(channel.qos) is delivery.Delivered
        queue = celery.amqp.queues.select_add(str(Queue.PARSE))
        channel.basic_qos(0, 1, False)
        with connection.Consumer(
            [queue], callbacks=[lambda _, it: taken.append(it)], channel=channel
        ):
            connection.drain_events(timeout=5)
            assert not channel.qos.can_consume()
            with monkeypatch.context() as patch:
                patch.setattr(delivery.Delivered, "_remove_from_indices", unheard)
                with pytest.raises(RedisTimeoutError):
                    taken[0].ack()
            assert channel.qos.can_consume()
            connection.drain_events(timeout=5)
    assert len(taken) == 2


@pytest.fixture
def held(settings):
    """A job in the queue, and who holds it."""
    with connect(settings) as redis:
        jobs = Jobs(redis)
        tally = Tally()
        holder = Holder(jobs, Pulse(jobs, Queue.PARSE, "p.1", tally), Stopping(), 5, tally)
        job = new_id("job")
        jobs.submit(NewJob(id=job, kind=Task.PREDICT, order="{}"))
        yield jobs, holder, job


def test_a_job_whose_worker_cannot_reach_the_broker_does_not_fail(held):
    def away(_):
        raise RedisTimeoutError("Timeout reading from socket")

    jobs, holder, job = held
    with pytest.raises(BrokerAway):
        holder.run(job, away)
    assert jobs.get(job).status is Status.RUNNING  # until its lease is over


def test_a_job_that_asks_the_broker_for_nonsense_fails(held):
    def wrong(_):
        raise ResponseError("unknown command")

    jobs, holder, job = held
    holder.run(job, wrong)
    assert jobs.get(job).status is Status.FAILED
