"""Training and judging from Python: what is sent, and what is waited for."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from service.client_errors import JobFailed, NotFound
from service.client_follow import ENDED, Follower
from service.client_records import Event
from service.schemas.evaluation import EvaluationView
from service.schemas.model import ModelVersion
from service.schemas.training import TrainingView

OnEvent = Callable[[Event], None]
Target = str | Mapping[str, str]


class TrainingOptions(TypedDict, total=False):
    """What else a training can be told; see `POST /v1/trainings`."""

    family: str
    task: Literal["regression", "classification"]
    classes: Sequence[str]
    recipe: Literal["best", "paper"]
    settings: Mapping[str, Any]
    split: str | Mapping[str, Any]
    seeds: Sequence[int]
    seed: int
    members: int
    register_as: str
    title: str
    start_from: str
    columns: Mapping[str, str]
    rows: int
    devices: int
    search: Mapping[str, Any]
    label: str


class EvaluationOptions(TypedDict, total=False):
    """What else an evaluation can be told; see `POST /v1/evaluations`."""

    columns: Mapping[str, str] | None
    sizes: Sequence[int]
    train: Mapping[str, Any]
    label: str | None


def training_body(
    dataset: str, target: Target | Sequence[Target], options: TrainingOptions
) -> dict[str, Any]:
    """The body of `POST /v1/trainings`; options that are none count as not given."""
    one = isinstance(target, str | Mapping)
    what = {"target": target} if one else {"targets": list(target)}
    given = {name: value for name, value in options.items() if value is not None}
    return {"dataset": dataset, **what, **given}


def is_file(dataset: str | Path) -> bool:
    """Whether a file is meant, and not a data set by its name."""
    return isinstance(dataset, Path) or Path(dataset).is_file()


class Training:
    """Sends trainings and evaluations and waits for what they make."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.transport = follower.transport

    def submit(self, path: str, body: Mapping[str, Any]) -> str:
        """The new job's id; sent once, whatever it takes."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": str(uuid.uuid4())}
        try:
            return str(self.transport.json("POST", path, json=body, headers=headers)["id"])
        except NotFound as error:
            if error.code != "unknown_dataset" or "dataset" not in body:
                raise
            told = f"{body['dataset']!r} is neither a file here nor a data set there."
            raise NotFound(error.status, error.body | {"detail": told}) from error

    def follow(self, job: str, progress: OnEvent | None) -> None:
        """To the job's end, telling each event. Raises JobFailed, JobCancelled."""
        if progress is not None:
            for event in self.follower.events(job):
                progress(event)
        self.follower.wait(job)

    def training(self, job: str) -> TrainingView:
        """What was ordered, where it stands, and what came of it."""
        return TrainingView.model_validate(self.transport.json("GET", f"/v1/trainings/{job}"))

    def evaluation(self, job: str) -> EvaluationView:
        """What was asked, and what came of it."""
        return EvaluationView.model_validate(self.transport.json("GET", f"/v1/evaluations/{job}"))

    def made(self, job: str) -> ModelVersion:
        """The model that a training has made. Raises JobFailed when there is none."""
        view = self.training(job)
        if view.links.model is None:
            why = {"detail": "it has made no model"} if view.status in ENDED else None
            raise JobFailed(job, view.status, why)
        return ModelVersion.model_validate(self.transport.json("GET", view.links.model))
