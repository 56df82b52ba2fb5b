"""The task `import`: a checkpoint becomes a version of a model."""

from celery import shared_task

from workers.contract import Task


def _run(job: str) -> None:
    """Run the job in this child."""
    from workers.app import perform

    perform(job)


import_model = shared_task(name=str(Task.IMPORT))(_run)
