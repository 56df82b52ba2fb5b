"""Evaluations on the wire."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.job import JobStatus, JobView
from service.schemas.training import TrainingRequest


class EvaluationRequest(BaseModel):
    """A model to be judged by a data set; or, with `sizes`, a learning curve."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"model": "formation-energy", "dataset": "set_01JD3Q5T8Z6M4W2K7N9V1X3B5C"}]
        },
    )

    model: str | None = Field(None, max_length=140, description="`name`, `name@3` or `name@alias`.")
    dataset: str | None = Field(
        None,
        max_length=200,
        description="Its id, or its name for the newest so named. "
        "Needless for a learning curve: there it is the one trained on.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Column of each of the model's properties, where it is not called the same; "
        "and, of the bond family, those of `adsorbate` and `partners`.",
    )
    sizes: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list,
        max_length=32,
        description="A learning curve: train with so many rows each, judged by the same test rows.",
    )
    train: TrainingRequest | None = Field(
        None,
        description="What to train for the learning curve, if not what the model was trained like.",
    )
    label: str | None = Field(
        None, max_length=200, description="A word of yours to find the job by."
    )


class EvaluationLinks(BaseModel):
    """Where to go on."""

    self: str = Field(description="This evaluation.")
    job: str = Field(description="The job.")
    events: str = Field(description="Its events.")
    dataset: str = Field(description="What it is judged by.")
    model: str | None = Field(None, description="The version that is judged.")


class EvaluationView(BaseModel):
    """An evaluation: what was asked, where it stands, and what came of it."""

    id: str = Field(description="Id of its job.")
    status: JobStatus
    model: str | None = Field(None, description="The version that is judged.")
    dataset: str = Field(description="Id of the data set.")
    columns: dict[str, str] = Field(description="Column of each property.")
    sizes: list[int] = Field(description="Sizes of a learning curve.")
    result: dict[str, Any] | None = Field(
        None,
        description="Once it has ended: MAE, RMSE, R² or AUC, per element, per rank, parity data and the worst ten; "
        "or the points of the learning curve.",
    )
    job: JobView
    links: EvaluationLinks
