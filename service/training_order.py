"""From what a caller asks for to the complete order of a training; all that can be wrong is found here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.card import Card
from models.catalogue import LONGEST_NAME, Catalogue, check_name
from models.datasets.labels import STRUCTURES
from models.datasets.manifest import Column, Manifest
from models.errors import InputError, UnknownModel
from models.properties import PROPERTIES, check_unit, default_unit, parted, property_name
from models.training.checks import check
from models.training.plan import named_classes
from service.near import near
from service.pointing import about, inner, pointed, refused
from service.problems import brief
from service.schemas.model import RESERVED
from service.schemas.training import SplitRequest, TargetRequest, TrainingRequest
from service.training_settings import settings_of, tuned
from workers.contract import SplitOrder, TargetOrder, TrainOrder, TuneOrder
from workers.registering import answers_of, answers_of_card

FAMILY_OF = {"number": "crystal", "text": "crystal", "site": "site", "list": "bond"}


@dataclass(frozen=True, slots=True)
class Known:
    """What an order is checked against: the data set as it is described, and the models there are."""

    manifest: Manifest
    columns: Mapping[str, Any]
    catalogue: Catalogue


def ordered(asked: TrainingRequest, known: Known, *, named: bool = True) -> TrainOrder | TuneOrder:
    """The order, complete and checked; what is not `named` becomes no model. Raises: Problem."""
    check_wanted(asked, known.manifest)
    of_classes = classifies(asked, known.manifest)
    targets = targets_of(asked, known.manifest, classifies=of_classes)
    family = asked.family or family_of(asked, known.manifest)
    if family == "bond" and (len(targets) > 1 or of_classes):
        raise refused(
            "unfit_dataset", "The bond family learns one column of distances.", "/targets"
        )
    start = start_of(asked, family, known.catalogue)
    try:
        settings = settings_of(asked, family, start, classifies=of_classes)
    except InputError as error:
        raise pointed(error, inner(error) or "/settings") from error
    members = members_of(asked, start)
    order = TrainOrder(
        dataset=known.manifest.id,
        family=family,
        targets=targets,
        classes=tuple(asked.classes) if asked.classes else None,
        recipe=asked.recipe,
        input=settings.input.model_dump(mode="json"),
        network=settings.network.model_dump(mode="json"),
        training=settings.training.model_dump(mode="json"),
        split=split_of(asked.split, known, start),
        seeds=seeds_of(asked, members),
        members=members,
        register_as=name_of(asked, targets, known) if named else None,
        title=asked.title,
        start_from=start.id if start else None,
        columns=columns_of(asked, known.manifest),
        rows=asked.rows,
        devices=asked.devices,
    )
    foresee(asked, known, order)
    if of_classes:
        order = order.model_copy(update={"classes": classes_of(order, known)})
    if named:
        check_alike(order, known)
    return order if asked.search is None else tuned(asked, order, start, classifies=of_classes)


def check_wanted(asked: TrainingRequest, manifest: Manifest) -> None:
    """Something has to be learned, and each column once. Raises: Problem."""
    columns = [target.column for target in asked.wanted]
    if not columns:
        there = (
            ", ".join(column.name for column in manifest.columns[:50]) or "none; it has no labels"
        )
        raise refused("missing_field", f"No target was named. The columns of {manifest.name} are: {there}.",
                      "/target", expected=f"one of: {there}")  # fmt: skip
    for place, column in enumerate(columns):
        if column in columns[:place]:
            raise refused("invalid_field", f"The column {brief(column, 60)!r} is named twice.",
                          f"/targets/{place}/column")  # fmt: skip


def foresee(asked: TrainingRequest, known: Known, order: TrainOrder) -> None:
    """What the trainer would find wrong with the data set. Raises: Problem."""
    try:
        check(known.manifest, known.columns, order)
    except InputError as error:
        pointer = inner(error) or "/dataset"
        if asked.target is not None:
            pointer = re.sub(r"^/targets(/0)?", "/target", pointer)
        raise pointed(error, pointer) from error


def classifies(asked: TrainingRequest, manifest: Manifest) -> bool:
    """Whether the answer is to be a class; classes that are named, or words to learn, say so too."""
    if asked.task == "regression" and asked.classes:
        raise refused("invalid_field", "A regression has no classes.", "/classes")
    column = manifest.column(asked.wanted[0].column)
    words = asked.task is None and column is not None and column.kind == "text"
    return asked.task == "classification" or asked.classes is not None or words


def pointers(asked: TrainingRequest) -> list[str]:
    """Where each target stands in the body."""
    if asked.targets is None:
        return ["/target"]
    return [f"/targets/{place}" for place in range(len(asked.targets))]


def column_of(name: str, pointer: str, manifest: Manifest) -> Column:
    """The column of this name. Raises: Problem."""
    found = manifest.column(name)
    if found is not None:
        return found
    there = [column.name for column in manifest.columns]
    raise refused(
        "unfit_dataset",
        f"The data set {manifest.name} has no column {brief(name, 60)!r}.",
        pointer,
        near(name, there).get("hint"),
        expected=f"one of: {', '.join(there[:50]) or 'none; it has no labels'}",
        got=brief(name, 60),
    )


def targets_of(
    asked: TrainingRequest, manifest: Manifest, *, classifies: bool
) -> tuple[TargetOrder, ...]:
    """All targets; no two are the same property. Raises: Problem."""
    found = tuple(
        target_of(one, pointer, manifest, classifies=classifies)
        for one, pointer in zip(asked.wanted, pointers(asked), strict=True)
    )
    properties = [target.property for target in found]
    for place, name in enumerate(properties):
        if name in properties[:place]:
            raise refused("invalid_field", f"Two targets are called {name!r}.",
                          f"/targets/{place}/property", "Give each a `property` of its own.")  # fmt: skip
    return found


def target_of(
    asked: TargetRequest, pointer: str, manifest: Manifest, *, classifies: bool
) -> TargetOrder:
    """Column, property and unit of a target. Raises: Problem."""
    column_of(asked.column, f"{pointer}/column", manifest)
    with about(f"{pointer}/property"):
        called, told = parted(asked.column)
        name = property_name(asked.property) if asked.property else named_after(called)
    if classifies:
        return TargetOrder(column=asked.column, property=name, unit=asked.unit or "probability")
    unit = asked.unit or told or default_unit(name)
    if unit is None:
        raise refused(
            "missing_field",
            f"{name!r} is none of the known properties, so its unit has to be given; `1` when it has none.",
            f"{pointer}/unit",
            f'For example {{"column": "{brief(asked.column, 60)}", "unit": "eV"}}. '
            f"The known properties are {', '.join(PROPERTIES)}.",
        )
    with about(f"{pointer}/unit"):
        return TargetOrder(column=asked.column, property=name, unit=check_unit(name, unit))


def named_after(called: str) -> str:
    """The property that a column is called after. Raises: InputError."""
    try:
        return property_name(called)
    except InputError as error:
        error.hint = f"Say by `property` what the column holds. {error.hint}"
        raise


def family_of(asked: TrainingRequest, manifest: Manifest) -> str:
    """The family that learns such columns."""
    column = manifest.column(asked.wanted[0].column)
    return FAMILY_OF[column.kind] if column else "crystal"


def start_of(asked: TrainingRequest, family: str, catalogue: Catalogue) -> Card | None:
    """The model to go on from. Raises: Problem, UnknownModel."""
    if asked.start_from is None:
        return None
    with about("/start_from"):
        card = catalogue.get(asked.start_from)[0]
    if card.family != family:
        raise refused(
            "invalid_field",
            f"{card.id} is of the family {card.family}; this training is of the family {family}.",
            "/start_from",
            expected=family,
            got=card.family,
        )
    return card


def split_of(asked: SplitRequest, known: Known, start: Card | None) -> SplitOrder:
    """The split; a column called `split` is what `given` means. Raises: Problem."""
    column, manifest = asked.column, known.manifest
    if asked.by == "given" and column is None and manifest.column("split"):
        column = "split"
    if asked.by in ("group", "given") and column is None:
        raise refused("missing_field", f"A split by {asked.by!r} needs a column.", "/split/column")
    for name, place in ((column, "column"), (asked.together, "together")):
        if name is not None:
            column_of(name, f"/split/{place}", manifest)
    alike = asked.by == "random" and STRUCTURES in known.columns and not by_rows(manifest, start)
    return SplitOrder(**asked.model_dump() | {"column": column, "alike": alike})


def by_rows(manifest: Manifest, start: Card | None) -> bool:
    """Whether the model has learned from these rows divided one by one: what it learned may not judge now."""
    record = start.training if start else None
    return (
        record is not None
        and record.dataset_sha256 == manifest.sha256
        and not (record.division and record.division.alike)
    )


def columns_of(asked: TrainingRequest, manifest: Manifest) -> dict[str, str]:
    """What else the family reads. Raises: Problem."""
    for what, column in asked.columns.items():
        column_of(column, f"/columns/{what}", manifest)
    return {str(what): column for what, column in asked.columns.items()}


def members_of(asked: TrainingRequest, start: Card | None) -> int:
    """What goes on from an ensemble goes on from all of its members, unless something else is said."""
    if start is None or asked.seeds is not None or asked.seed is not None:
        return asked.members or 1
    return asked.members or start.members


def seeds_of(asked: TrainingRequest, members: int) -> tuple[int, ...]:
    """In whichever field they came."""
    if asked.seeds:
        return tuple(asked.seeds)
    first = asked.seed or 0
    return tuple((first + more) % 2**32 for more in range(members))


def name_of(asked: TrainingRequest, targets: tuple[TargetOrder, ...], known: Known) -> str:
    """The model's name. Raises: Problem."""
    name = asked.register_as
    if name is None:
        name = default_name(known.manifest.name, targets)
    with about("/register_as"):
        check_name(name)
    if name in RESERVED:
        raise refused("invalid_input", f"{name!r} is the name of something else.", "/register_as",
                      "Give the model another name.")  # fmt: skip
    return name


def classes_of(order: TrainOrder, known: Known) -> tuple[str, str]:
    """The names of no and yes, whether they were sent or not."""
    [target] = order.targets
    return named_classes(known.columns[target.column], order.classes, target.property)


def check_alike(order: TrainOrder, known: Known) -> None:
    """The versions of a name that exists must predict the same. Raises: Problem."""
    try:
        latest = known.catalogue.versions(str(order.register_as))[0]
    except UnknownModel:
        return
    before = answers_of_card(latest)
    targets = [(one.property, one.unit) for one in order.targets]
    now = answers_of(order.family, targets, order.classes)
    if before == now:
        return
    raise refused(
        "conflict",
        f"{latest.id} predicts {before}; this training learns {now}.",
        "/register_as",
        "Versions of a model predict the same; give this one a name of its own by `register_as`.",
        expected=before,
        got=now,
    )


def default_name(dataset: str, targets: tuple[TargetOrder, ...]) -> str:
    """Made of data set and targets: `perovskites-heat-of-formation`."""
    words = "-".join([dataset, *(target.property for target in targets)]).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:LONGEST_NAME].strip("-")
