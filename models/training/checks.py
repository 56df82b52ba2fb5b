"""Whether a data set can be learned from as ordered, found before any training starts. Light."""

import difflib
from typing import Any

from models.datasets.labels import misread
from models.datasets.manifest import Column, Manifest
from models.errors import BadSetting, UnfitDataset
from models.families.kinds import KINDS
from models.training.parts import PARTS
from models.training.plan import Columns, Plan, classes_of

FEWEST = 10  # training rows
LARGEST = 1e38  # label; networks reckon in float32, which ends at 3e38
LABELS = {
    "crystal": ("number", "one number a row"),
    "image": ("number", "one number a row"),
    "site": ("site", "one number a site"),
    "bond": ("list", "a list of distances a row"),
}


def check(manifest: Manifest, columns: Columns, order: Any) -> None:
    """`columns` is what `columns.json` holds, `order` that of the training.

    Raises: UnfitDataset, BadSetting.
    """
    plan = Plan.model_validate(order)
    _check_shares(plan)
    _check_targets(manifest, columns, plan)
    _check_needed(manifest, plan)
    _check_split_column(manifest, columns, plan)
    rows = plan.labelled(columns)
    if not rows:
        raise UnfitDataset(
            f"No row of {manifest.name} has a label.",
            place="targets",
            expected=f"at least {FEWEST} rows to learn from",
            got="none",
        )
    _check_parts(manifest, columns, plan, rows)


def _check_shares(plan: Plan) -> None:
    """Every process has a part of every batch."""
    batch_size = plan.training.get("batch_size", plan.devices)
    if batch_size < plan.devices:
        raise BadSetting(
            f"A batch of {batch_size} cannot be shared by {plan.devices} devices.",
            place="settings.batch_size",
            expected=f"at least {plan.devices}",
            got=str(batch_size),
        )


def _check_targets(manifest: Manifest, columns: Columns, plan: Plan) -> None:
    if plan.family == "bond" and len(plan.targets) > 1:
        raise UnfitDataset(
            "The bond family learns one column of distances.",
            place="targets",
            expected="1 target",
            got=f"{len(plan.targets)}",
        )
    for at, target in enumerate(plan.targets):
        column = _column(manifest, target.column, f"targets.{at}.column")
        two = plan.classifies and column.distinct == 2
        if column.kind == "text" and not two:
            _check_words(column, columns, f"targets.{at}.column")
        if plan.classifies:
            _check_classes(column, columns, plan)
        else:
            _check_labels(column, columns, plan.family, f"targets.{at}.column")
    outputs = plan.network.get("outputs")
    if not plan.classifies and outputs != len(plan.targets):
        raise UnfitDataset(
            f"The {plan.family} family learns numbers, not classes.",
            place="targets",
            expected=f"{len(plan.targets)} outputs",
            got=f"{outputs}",
            hint="Classes are learned by the families "
            + ", ".join(name for name, kind in KINDS.items() if "task" in kind.network.model_fields)
            + ".",
        )


def _check_words(column: Column, columns: Columns, place: str) -> None:
    text = misread(columns[column.name])
    if text is not None:
        raise UnfitDataset(
            f"The column {column.name} holds texts, such as {text[:40]!r}, where numbers are meant.",
            place=place,
            expected="numbers with a decimal point, without unit and quotes",
            got=repr(text[:40]),
            hint="Mend the file and send it again.",
        )


def _check_labels(column: Column, columns: Columns, family: str, place: str) -> None:
    kind, words = LABELS[family]
    if column.kind != kind or (kind == "site" and column.width != 1):
        hint = (
            f"Classes are learned with classes: {column.name} holds text."
            if column.kind == "text"
            else None
        )
        raise UnfitDataset(
            f"The {family} family cannot learn the column {column.name}.",
            place=place,
            expected=words,
            got=_held(column),
            hint=hint,
        )
    if column.min is not None and column.min == column.max:
        raise UnfitDataset(
            f"All labels in the column {column.name} are the same: there is nothing to learn.",
            place=place,
            expected="different values",
            got=f"{column.min:g} everywhere",
        )
    furthest = max(column.min or 0.0, column.max or 0.0, key=abs)
    if abs(furthest) > LARGEST:
        raise _too_large(column, columns, furthest, place)


def _too_large(column: Column, columns: Columns, label: float, place: str) -> UnfitDataset:
    named = column.kind == "number"
    row = f" of {columns['name'][columns[column.name].index(label)]}" if named else ""
    return UnfitDataset(
        f"The label {label:g}{row} in the column {column.name} is too large for a network.",
        place=place,
        expected=f"numbers from -{LARGEST:g} to {LARGEST:g}",
        got=f"{label:g}",
        hint="Mend the label, or leave it empty, and send the data set again.",
    )


def _check_classes(column: Column, columns: Columns, plan: Plan) -> None:
    if column.kind not in ("number", "text"):
        raise UnfitDataset(
            f"The column {column.name} does not tell a class a row.",
            place="targets.0.column",
            expected="two different numbers or words",
            got=_held(column),
        )
    values = columns[column.name]
    try:
        two = classes_of(values, plan.classes, plan.targets[0].property)
    except ValueError as error:
        seen = sorted({str(value) for value in values if value is not None})
        raise UnfitDataset(
            f"The column {column.name} does not divide the rows into two classes.",
            place="targets.0.column",
            expected="two different values",
            got=f"{error}: {', '.join(seen[:5])}",
        ) from error
    if column.kind == "text" and plan.classes and set(two) != set(plan.classes):
        raise UnfitDataset(
            f"The classes are not those in the column {column.name}.",
            place="classes",
            expected=", ".join(map(str, two)),
            got=", ".join(plan.classes),
        )


def _check_needed(manifest: Manifest, plan: Plan) -> None:
    if plan.family != "bond":
        return
    for what, kinds in (("adsorbate", ("number", "text")), ("partners", ("list",))):
        column = _column(manifest, plan.column(what), f"columns.{what}")
        if column.kind not in kinds:
            raise UnfitDataset(
                f"The column {column.name} cannot tell the {what}.",
                place=f"columns.{what}",
                expected="a list of sites' indices"
                if "list" in kinds
                else "a site's index, or an element",
                got=_held(column),
                hint=f"Name the column that does with columns: {what}.",
            )


def _check_split_column(manifest: Manifest, columns: Columns, plan: Plan) -> None:
    split = plan.split
    for place, name in (("column", split.column), ("together", split.together)):
        column = _column(manifest, name, f"split.{place}") if name else None
        if column and column.kind not in ("number", "text"):
            raise UnfitDataset(
                f"Rows cannot be split by the column {column.name}.",
                place=f"split.{place}",
                expected="one word or number a row",
                got=_held(column),
            )
    if split.by == "given":
        words = {value for value in columns[str(split.column)] if value is not None}
        other = sorted(str(word) for word in words - set(PARTS))
        if other:
            raise UnfitDataset(
                f"The column {split.column} has other words than parts.",
                place="split.column",
                expected=", ".join(PARTS),
                got=", ".join(other[:5])[:80],
            )


def _check_together(columns: Columns, plan: Plan, rows: list[int], parts: list[str]) -> None:
    found: dict[object, set[str]] = {}
    for group, part in zip(plan.groups(columns, rows), parts, strict=True):
        found.setdefault(group, set()).add(part)
    torn = next((group for group, of in found.items() if len(of) > 1), None)
    if torn is not None:
        raise UnfitDataset(
            f"The split tears the groups of the column {plan.split.together} apart.",
            place="split.together",
            expected="rows of one group in one part",
            got=f"{str(torn)[:40]} in {' and '.join(sorted(found[torn]))}",
            hint="Leave `together` away, or split by that column: `by` group.",
        )


def _check_parts(manifest: Manifest, columns: Columns, plan: Plan, rows: list[int]) -> None:
    parts = plan.parts(columns, rows)
    for part in plan.asked():
        if part not in parts:
            raise UnfitDataset(
                f"The split leaves the part {part} of {manifest.name} without a labelled row.",
                place="split",
                expected=f"rows in {', '.join(plan.asked())}",
                got=", ".join(f"{each} {parts.count(each)}" for each in PARTS),
                hint=_enough(plan),
            )
    if plan.split.together:
        _check_together(columns, plan, rows, parts)
    train = parts.count("train")
    least = max(FEWEST, plan.devices)
    if train < least:
        raise UnfitDataset(
            f"{manifest.name} has too few labelled rows to learn from.",
            place="targets",
            expected=f"at least {least} training rows",
            got=f"{train} of {len(rows)} labelled rows",
        )
    if plan.rows is not None and not least <= plan.rows <= train:
        raise UnfitDataset(
            f"{plan.rows} training rows were asked for.",
            place="rows",
            expected=f"{least} to {train}",
            got=str(plan.rows),
        )
    learned = [row for row, part in zip(rows, parts, strict=True) if part == "train"]
    for at in range(len(plan.targets)):
        _check_learned(columns, plan, learned, at)


def _enough(plan: Plan) -> str:
    """How many there have to be for every part to get a row."""
    count = len(plan.asked())
    if plan.split.by == "given":
        return f"Name rows with labels for each of the {count} parts in the column {plan.split.column}."
    if plan.split.by == "random":
        return f"It takes {FEWEST + count - 1} rows with labels, of different structures, at least."
    return f"Groups stay together: it takes {count} of them with labels at least."


def _check_learned(columns: Columns, plan: Plan, train: list[int], at: int) -> None:
    """What is the same in all training rows cannot be learned, even if it differs elsewhere."""
    target = plan.targets[at]
    values = [columns[target.column][row] for row in train]
    known = [value for value in values if value is not None]
    several = plan.family in ("site", "bond")  # the values are counts then
    if (several and not any(known)) or (not several and len(set(known)) < 2):
        raise UnfitDataset(
            f"The training rows have not two different labels in the column {target.column}.",
            place=f"targets.{at}.column",
            expected="different values",
            got=f"{known[0]} everywhere" if known else "no label",
            hint="Another split, by chance or by its seed, may help.",
        )


def _column(manifest: Manifest, name: str, place: str) -> Column:
    column = manifest.column(name)
    if column is not None:
        return column
    names = [each.name for each in manifest.columns]
    near = difflib.get_close_matches(name, names, 3, 0.5)
    raise UnfitDataset(
        f"{manifest.name} has no column {name[:80]!r}.",
        place=place,
        expected=("one of " + ", ".join(names[:50]))
        if names
        else "a column of labels; it has none",
        got=repr(name[:80]),
        hint=f"Did you mean {' or '.join(near)}?" if near else None,
    )


def _held(column: Column) -> str:
    if column.kind in ("site", "list"):
        width = "several numbers" if column.width is None else f"{column.width} numbers"
        return f"{width} a {'site' if column.kind == 'site' else 'row'}"
    return {"number": "one number a row", "text": "a word a row"}[column.kind]
