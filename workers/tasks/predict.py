"""The task `predict`: a job that came as a Celery message."""

from celery import shared_task

from workers.contract import Task


def _run(job: str) -> None:
    """Run the job in this child."""
    from workers.app import perform

    perform(job)


predict = shared_task(name=str(Task.PREDICT))(_run)
