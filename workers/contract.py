"""What service and workers agree on: kinds of jobs, queues, task names, and the message of each task."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)


class Queue(StrEnum):
    """One set of worker processes each."""

    PARSE = "parse"
    INFER = "infer"
    TRAIN = "train"


class Task(StrEnum):
    """The name of every task a worker registers; also the kind of its job."""

    PREDICT = "predict"
    SCREEN = "screen"
    CHUNK = "chunk"
    IMPORT = "import"
    DATASET = "dataset"
    TRAIN = "train"
    TUNE = "tune"
    EVALUATE = "evaluate"


QUEUE_OF: dict[Task, Queue] = {
    Task.PREDICT: Queue.PARSE,
    Task.SCREEN: Queue.PARSE,
    Task.CHUNK: Queue.PARSE,
    Task.IMPORT: Queue.PARSE,
    Task.DATASET: Queue.PARSE,
    Task.TRAIN: Queue.TRAIN,
    Task.TUNE: Queue.TRAIN,
    Task.EVALUATE: Queue.TRAIN,
}

# Ways past the messages of a queue: its workers have a thread that takes the jobs of such a set as they come. So what
# is short waits for no training, and what reads a large file holds up no predictions.
SHORT, GATHER, CUT, BULK = "short", "gather", "cut", "bulk"
WAY_OF: dict[Task, str] = {
    Task.TUNE: SHORT,
    Task.EVALUATE: SHORT,
    Task.DATASET: GATHER,
    Task.SCREEN: CUT,
    Task.CHUNK: BULK,
}


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
    neighbours: bool = False
    level: float = Field(0.9, gt=0, lt=1, description="Of the intervals.")
    adsorbate: str | None = Field(
        None, description="The adsorbed atom: a site's index, or an element (bond family)."
    )

    @model_serializer(mode="wrap")
    def _new_only_where_set(self, dumped: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Workers of the version before refuse fields that they do not know."""
        order: dict[str, Any] = dumped(self)
        for name in ("neighbours", "level"):
            if order.get(name) == type(self).model_fields[name].default:
                order.pop(name, None)
        return order


class ScreenOrder(Order):
    """Predict all structures of the job's upload, of a data set, or of a location: one row each in a table."""

    models: tuple[str, ...] = Field(min_length=1, description="Resolved `name@version` ids.")
    disorder: Literal["refuse", "majority"] = "refuse"
    primitive: bool = False
    level: float = Field(0.9, gt=0, lt=1, description="Of the intervals.")
    adsorbate: str | None = None
    format: str | None = Field(None, description="Of every file, if it is not to be recognised.")
    dataset: str | None = Field(None, description="Id of the data set that is the source.")
    location: str | None = Field(
        None, description="Path or URL of the source, checked and resolved by the service."
    )


class ChunkOrder(Order):
    """A part of a screening: a child job whose upload holds some of its structures."""

    models: tuple[str, ...] = Field(min_length=1, description="Resolved `name@version` ids.")
    disorder: Literal["refuse", "majority"] = "refuse"
    primitive: bool = False
    level: float = Field(0.9, gt=0, lt=1)
    adsorbate: str | None = None
    number: int = Field(ge=0, description="Of this chunk, and of the shard that it becomes.")
    first: int = Field(ge=0, description="Index of its first structure in the screening.")
    mark: str = Field(description="Of the attempt that cut it, in the name of its pack.")


class ImportOrder(Order):
    """Make the job's upload a version of a model."""

    name: str
    property: str | None = None
    unit: str | None = None
    title: str | None = None
    classes: tuple[str, ...] | None = None


class DatasetOrder(Order):
    """Make the job's upload a data set; its id is the job's with another prefix."""

    name: str
    format: str | None = None
    coordinates: str | None = Field(
        None, description="Column that holds the fractional coordinates, if not the usual one."
    )
    good_share: float = Field(0.9, ge=0, le=1, description="Least share of good rows.")
    columns: tuple[str, ...] | None = Field(None, description="Columns to keep; all if none.")


class TargetOrder(Order):
    """What is learned from one column."""

    column: str
    property: str
    unit: str


class SplitOrder(Order):
    """Which rows teach, which choose, which judge."""

    by: Literal["random", "composition", "group", "given"] = "random"
    column: str | None = Field(None, description="Of the groups, or of `train`, `val`, `test`.")
    together: str | None = Field(None, description="Of `given`: the column of the groups.")
    val: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(0, ge=0)
    alike: bool = Field(False, description="Of `random`: rows of the same structure stay together.")


class TrainOrder(Order):
    """Train on a data set; all settings are complete and checked."""

    dataset: str = Field(description="Its id.")
    family: str
    targets: tuple[TargetOrder, ...] = Field(min_length=1)
    classes: tuple[str, ...] | None = None
    recipe: str
    input: dict[str, Any]
    network: dict[str, Any]
    training: dict[str, Any]
    split: SplitOrder = SplitOrder()
    seeds: tuple[int, ...] = (0,)
    members: int = Field(
        1, description="Networks that the model is to hold: those of all seeds, or one, the best."
    )
    register_as: str | None = Field(None, description="Name of the model; none: nothing is kept.")
    title: str | None = None
    start_from: str | None = Field(None, description="Resolved `name@version` id.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Which columns hold what else the family needs: `adsorbate`, `partners` (bond).",
    )
    rows: int | None = Field(None, ge=1, description="Use so many training rows only.")
    devices: int = Field(1, ge=1, le=64)
    trial: int | None = Field(None, description="Number of this trial in the search of its parent.")


class Range(Order):
    """Where a search may look for one setting: `choices`, or from `low` to `high`."""

    choices: tuple[str | float | int | bool | None, ...] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = Field(False, description="Whole numbers only.")


class TuneOrder(Order):
    """Search for settings: so many trials, each a training that is a child job; the best one is registered."""

    train: TrainOrder
    space: dict[str, Range] = Field(min_length=1, description="By the setting's name.")
    trials: int = Field(ge=1, le=1000)
    seed: int = 0


class EvaluateOrder(Order):
    """Judge a model by a data set; with `sizes` a learning curve: trainings of so many rows, as child jobs."""

    dataset: str = Field(description="Its id.")
    model: str | None = Field(None, description="Resolved `name@version` id.")
    # (property of the model, column of the data set); by name where none is given
    columns: dict[str, str] = Field(default_factory=dict)
    train: TrainOrder | None = Field(None, description="What is trained for a learning curve.")
    sizes: tuple[int, ...] = ()


ORDER_OF: dict[Task, type[Order]] = {
    Task.PREDICT: PredictOrder,
    Task.SCREEN: ScreenOrder,
    Task.CHUNK: ChunkOrder,
    Task.IMPORT: ImportOrder,
    Task.DATASET: DatasetOrder,
    Task.TRAIN: TrainOrder,
    Task.TUNE: TuneOrder,
    Task.EVALUATE: EvaluateOrder,
}
