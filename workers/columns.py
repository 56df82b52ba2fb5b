"""The columns of a screening's table: a function of its models' cards alone, so that all its shards have the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.card import Card, Target
from models.families.kinds import KINDS

Type = Literal["int64", "int32", "double", "bool", "string"]


@dataclass(frozen=True, slots=True)
class Column:
    """One of them; `about` is for people."""

    name: str
    type: Type
    about: str


FIRST = (
    Column("index", "int64", "Place in the source, from 0."),
    Column("name", "string", "As the source calls the structure."),
    Column("formula", "string", "Reduced formula."),
    Column("n_sites", "int32", "Sites of the cell."),
    Column("status", "string", "`ok`, or `failed` when no model could answer."),
    Column("code", "string", "Of the error, where there is one."),
    Column("error", "string", "The error as JSON."),
    Column("warnings", "string", "JSON list of sentences."),
    Column("in_domain", "bool", "Whether all models know such structures; none: some cannot tell."),
)


def columns(cards: Sequence[Card]) -> tuple[Column, ...]:
    """All of them, in order."""
    found = list(FIRST)
    for card, names in zip(cards, answers(cards), strict=True):
        for name, target in zip(names, card.targets, strict=True):
            found += _of_answer(name, card, target)
    return tuple(found)


def answers(cards: Sequence[Card]) -> list[tuple[str, ...]]:
    """What the columns of each model's targets begin with: `name`, `name@version`, `name.property`.

    A model may be called as a column that every table has: it is named with its version too.
    """
    times = Counter([*(column.name for column in FIRST), *(card.name for card in cards)])
    named = [card.name if times[card.name] == 1 else card.id for card in cards]
    return [
        tuple(f"{name}.{target.property}" for target in card.targets)
        if len(card.targets) > 1
        else (name,)
        for name, card in zip(named, cards, strict=True)
    ]


def _of_answer(name: str, card: Card, target: Target) -> list[Column]:
    unit = "" if target.unit == "1" else f" in {target.unit}"
    what = f"{target.property}{unit}, by {card.id}"
    found = [*_values(name, card, what)]
    found += [
        Column(f"{name}.in_domain", "bool", f"Whether {card.id} knows such structures."),
        Column(f"{name}.score", "double", "How far it is from what the model knows; 1: its edge."),
        Column(f"{name}.reasons", "string", "JSON list: why it is not in the domain."),
    ]
    return found


def _values(name: str, card: Card, what: str) -> list[Column]:
    if KINDS[card.family].answers != "crystal":
        return [
            Column(name, "double", f"Mean of {what}."),
            Column(f"{name}.min", "double", f"Least of {what}."),
            Column(f"{name}.max", "double", f"Greatest of {what}."),
            Column(f"{name}.values", "string", f"JSON list: {what}."),
        ]
    found = [Column(name, "double", f"{what[0].upper()}{what[1:]}.")]
    if card.classes is not None:
        found.append(Column(f"{name}.label", "string", "The more probable class."))
    return [
        *found,
        Column(f"{name}.std", "double", "Spread of its members."),
        Column(f"{name}.lower", "double", "Where the interval begins."),
        Column(f"{name}.upper", "double", "Where the interval ends."),
    ]
