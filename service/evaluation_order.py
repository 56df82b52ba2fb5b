"""From what a caller asks for to the complete order of an evaluation or a learning curve."""

from models.card import Card
from models.catalogue import Catalogue
from models.datasets.manifest import Column, Manifest
from models.errors import InputError
from models.properties import measured
from models.settings.training import TrainingSettings
from models.training.checks import LABELS
from service.pointing import about, refused
from service.problems import Problem, brief
from service.schemas.evaluation import EvaluationRequest
from service.schemas.training import SplitRequest, TargetRequest, TrainingRequest
from service.training_order import Known, column_of
from service.training_order import ordered as training
from service.training_settings import kept
from workers.contract import EvaluateOrder, TrainOrder

BESIDE = ("adsorbate", "partners")  # columns that no property is in


def dataset_of(asked: EvaluationRequest, catalogue: Catalogue) -> tuple[str, str]:
    """The data set that is meant, and where the body says so. Raises: Problem."""
    if asked.train is not None:
        return asked.train.dataset, "/train/dataset"
    if asked.dataset is not None:
        return asked.dataset, "/dataset"
    card = card_of(asked, catalogue)
    if asked.sizes and card.training is not None and card.training.dataset_id:
        if card.origin != "trained":
            raise refused("unknown_dataset", f"What {card.id} was trained on is not kept here.", "/model",
                          "A learning curve needs a model that was trained here.")  # fmt: skip
        return card.training.dataset_id, "/model"
    raise refused("missing_field", "No data set was named.", "/dataset")


def card_of(asked: EvaluationRequest, catalogue: Catalogue) -> Card:
    """The model that is meant. Raises: Problem."""
    if asked.model is None:
        raise refused("missing_field", "No model was named.", "/model")
    with about("/model"):
        return catalogue.get(asked.model)[0]


def ordered(asked: EvaluationRequest, known: Known) -> EvaluateOrder:
    """The order, complete and checked. Raises: Problem."""
    if asked.sizes:
        return curve(asked, known)
    if asked.train is not None:
        raise refused("missing_field", "A learning curve needs its sizes.", "/sizes",
                      'For example {"sizes": [100, 300, 1000]}.')  # fmt: skip
    card = card_of(asked, known.catalogue)
    return EvaluateOrder(
        dataset=known.manifest.id,
        model=card.id,
        columns=columns_of(asked, card, known.manifest),
    )


def columns_of(asked: EvaluationRequest, card: Card, manifest: Manifest) -> dict[str, str]:
    """The column of each of the model's properties. Raises: Problem."""
    properties = [target.property for target in card.targets]
    for name, column in asked.columns.items():
        pointer = f"/columns/{brief(name, 60)}"
        if name not in (*properties, *BESIDE):
            raise refused("invalid_field", f"{card.id} has no property {brief(name, 60)!r}.", pointer,
                          expected=f"one of: {', '.join(properties)}", got=brief(name, 60))  # fmt: skip
        column_of(column, pointer, manifest)
    found = {name: column for name, column in asked.columns.items() if name in BESIDE}
    trained = card.training.columns if card.training else ()
    recorded = dict(zip(properties, trained, strict=False))
    for name in properties:
        held = asked.columns.get(name) or named_so(name, recorded.get(name), manifest)
        if held is None:
            there = ", ".join(column.name for column in manifest.columns[:50]) or "none"
            raise refused(
                "unfit_dataset",
                f"The data set {manifest.name} has no column {name!r}, which {card.id} predicts.",
                "/columns",
                f'Name the column that holds it: {{"columns": {{"{name}": "…"}}}}.',
                expected=f"one of: {there}",
            )
        found[name] = fitting(held, name, card, manifest)
    return found


def named_so(name: str, recorded: str | None, manifest: Manifest) -> str | None:
    """The column that holds a property: by its name, or called as in the model's training."""
    for column in manifest.columns:
        if property_in(column) == name:
            return column.name
    return recorded if recorded and manifest.column(recorded) else None


def property_in(column: Column) -> str | None:
    """The property that a column's name speaks of."""
    try:
        return measured(column.name)[0]
    except InputError:
        return None


def fitting(column: str, name: str, card: Card, manifest: Manifest) -> str:
    """The column, if this family answers with what it holds. Raises: Problem."""
    kind, words = LABELS[card.family]
    found = column_of(column, "/columns", manifest).kind
    if found == kind or (card.classifies and found == "text"):
        return column
    raise refused(
        "unfit_dataset",
        f"The column {brief(column, 60)!r} does not hold what {card.id} answers with.",
        f"/columns/{name}",
        expected=words,
        got=found,
    )


def curve(asked: EvaluationRequest, known: Known) -> EvaluateOrder:
    """Trainings of several sizes; the smallest and the largest are checked. Raises: Problem."""
    sizes = tuple(sorted(set(asked.sizes)))
    if asked.columns:
        raise refused("invalid_field", "A learning curve takes its columns from its training.", "/columns",
                      "Name them in `train`.")  # fmt: skip
    train = asked.train or repeated(card_of(asked, known.catalogue), known)
    if train.search is not None:
        raise refused("invalid_field", "A learning curve makes no search.", "/train/search")
    try:
        for size in (sizes[-1], sizes[0]):
            order = training(train.model_copy(update={"rows": size}), known, named=False)
    except Problem as problem:
        raise elsewhere(problem, "/train" if asked.train else "/model") from None
    assert isinstance(order, TrainOrder)
    return EvaluateOrder(
        dataset=known.manifest.id,
        model=card_of(asked, known.catalogue).id if asked.model else None,
        train=order.model_copy(update={"rows": None}),
        sizes=sizes,
    )


def elsewhere(problem: Problem, where: str) -> Problem:
    """A problem of a training, told where it stands in the body of an evaluation."""

    def moved(pointer: str) -> str:
        if pointer == "/rows":
            return "/sizes"
        return where + pointer if where == "/train" else where

    problem.errors = [
        {**item, "pointer": moved(str(item.get("pointer", "")))} for item in problem.errors
    ]
    return problem


def repeated(card: Card, known: Known) -> TrainingRequest:
    """The training that made a model, to be done again. Raises: Problem."""
    record = card.training
    if record is None or record.judged or card.origin != "trained":
        raise refused(
            "invalid_field",
            f"How {card.id} was trained is not known here.",
            "/model",
            "Say by `train` what to train for the learning curve.",
        )
    columns = columns_of(EvaluationRequest(), card, known.manifest)
    trained = {
        name: record.settings[name]
        for name in TrainingSettings.model_fields
        if name in record.settings
    }
    ensemble = 1 < card.members == len(record.seeds)
    return TrainingRequest(
        dataset=known.manifest.id,
        family=card.family,
        targets=[
            TargetRequest(column=columns[one.property], property=one.property, unit=one.unit)
            for one in card.targets
        ],
        task="classification" if card.classifies else "regression",
        classes=list(card.classes) if card.classes else None,
        settings=kept(card) | trained,
        columns=record.beside,
        split=SplitRequest(
            **record.division.model_dump(exclude={"alike"}) if record.division else {}
        ),
        start_from=record.start_from,
        members=card.members,
        seeds=list(record.seeds) if ensemble else None,
        seed=None if ensemble else record.seed,
    )
