"""What the queues carry: a task of every kind of job, which hands the job to what lives in this child."""

from celery import shared_task

from workers.contract import Task


def _run(job: str) -> None:
    """Run the job in this child."""
    from workers.app import perform

    perform(job)


for _task in Task:
    shared_task(name=str(_task))(_run)
