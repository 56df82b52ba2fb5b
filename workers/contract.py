"""What service and workers agree on: kinds of jobs, queues, task names, and the message of each task."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Queue(StrEnum):
    """One set of worker processes each."""

    PARSE = "parse"
    INFER = "infer"
    TRAIN = "train"


class Task(StrEnum):
    """The name of every task a worker registers; also the kind of its job."""

    PREDICT = "predict"
    IMPORT = "import"


QUEUE_OF: dict[Task, Queue] = {Task.PREDICT: Queue.PARSE, Task.IMPORT: Queue.TRAIN}


class Order(BaseModel):
    """What a job is to do, as stored in its record; large input lies in files."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictOrder(Order):
    """Predict the structures of the job's upload with each of the models."""

    models: tuple[str, ...] = Field(min_length=1, description="Resolved `name@version` ids.")
    disorder: Literal["refuse", "majority"] = "refuse"
    primitive: bool = False
    sites: bool = False
    features: bool = False


class ImportOrder(Order):
    """Make the job's upload a version of a model."""

    name: str
    property: str | None = None
    unit: str | None = None
    title: str | None = None
    classes: tuple[str, ...] | None = None


ORDER_OF: dict[Task, type[Order]] = {Task.PREDICT: PredictOrder, Task.IMPORT: ImportOrder}
