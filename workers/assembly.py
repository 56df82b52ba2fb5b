"""Records: one line of a job's result per structure, filled as the models answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from models.card import Card
from models.errors import ModelError, UnsupportedElement
from models.families.kinds import KINDS
from models.structures.composition import SYMBOLS
from workers.exchange import Fault, Found

if TYPE_CHECKING:
    from workers.parser import Parsed


@dataclass(slots=True)
class Line:
    """One record in the making; `waits` models have not answered yet."""

    record: dict[str, Any]
    waits: int
    slots: list[list[dict[str, Any]]] = field(default_factory=list)  # per model, one per target
    numbers: bytes = b""
    explained: bool = False  # contributions of sites are asked for

    @property
    def failed(self) -> bool:
        """Whether no model could answer."""
        return bool(self.record["status"] == "failed")


def begin(index: int, parsed: "Parsed", cards: Sequence[Card], *, sites: bool) -> Line:
    """The record as far as reading knows it."""
    record: dict[str, Any] = {
        "index": index,
        "name": parsed.name,
        "formula": parsed.formula,
        "n_sites": parsed.n_sites,
        "status": "failed",
        "predictions": [],
        "warnings": list(parsed.warnings),
    }
    if parsed.error is not None:
        record["error"] = parsed.error
        return Line(record, 0)
    valued = any(KINDS[card.family].answers == "sites" for card in cards)
    if sites or valued:
        record["sites"] = [
            {"index": place, "element": SYMBOLS[number]}
            | ({"contributions": {}} if sites else {})
            | ({"values": {}} if valued else {})
            for place, number in enumerate(parsed.numbers)
        ]
    return Line(record, len(cards), [[] for _ in cards], parsed.numbers, sites)


def fill(line: Line, place: int, card: Card, found: Found) -> None:
    """One model's answer, or why it has none."""
    fault = found.error or _not_finite(card, found)
    slot = line.slots[place]
    for number, target in enumerate(card.targets):
        prediction: dict[str, Any] = {
            "model": card.id,
            "property": target.property,
            "value": None,
            "unit": target.unit,
            "interval": None,
            "std": None,
            "in_domain": None,
            "reasons": [],
        }
        if fault:
            prediction["error"] = fault
        else:
            _answer(line, prediction, card, found, number)
        slot.append(prediction)
    if not fault and line.explained and KINDS[card.family].answers == "crystal":
        _contribute(line.record, card, found)
    line.waits -= 1
    if not line.waits:
        _close(line)


def as_bytes(line: Line) -> bytes:
    """The line of the result file."""
    return orjson.dumps(line.record, option=orjson.OPT_APPEND_NEWLINE)


def unsupported(card: Card, numbers: bytes, name: str) -> Fault | None:
    """Why this model must not be asked: an element it never saw."""
    if card.elements_seen is None:
        return None
    unseen = sorted(set(numbers) - set(card.elements_seen))
    if not unseen:
        return None
    symbols = ", ".join(SYMBOLS[number] for number in unseen)
    return UnsupportedElement(
        f"{card.id} never saw {symbols} in training.",
        file=name,
        expected=f"elements among the {len(card.elements_seen)} of its training data",
        got=symbols,
        hint=f"GET /v1/models/{card.name} lists the elements; use a model that knows this one.",
    ).as_dict()


def _answer(line: Line, prediction: dict[str, Any], card: Card, found: Found, target: int) -> None:
    """The flat numbers, as `Kind.answers` says, in the shape that the wire has for them."""
    values = found.values
    match KINDS[card.family].answers:
        case "sites":
            size = len(line.numbers)
            own = prediction["values"] = values[target * size : (target + 1) * size]
            for site, value in zip(line.record["sites"], own, strict=True):
                site["values"][f"{card.id}/{prediction['property']}"] = value
        case "bonds":
            prediction["adsorbate"] = int(values[-1])
            prediction["bonds"] = _bonds(values[:-1], line.numbers)
        case _:
            prediction["value"] = values[target]
    if found.features is not None:
        prediction["features"] = found.features


def _bonds(values: Sequence[float], numbers: bytes) -> list[dict[str, Any]]:
    distances, partners = values[: len(values) // 2], values[len(values) // 2 :]
    return [
        {
            "rank": rank,
            "site": int(site),
            "element": SYMBOLS[numbers[int(site)]],
            "distance": distance,
        }
        for rank, (distance, site) in enumerate(zip(distances, partners, strict=True), 1)
    ]


def _contribute(record: dict[str, Any], card: Card, found: Found) -> None:
    if found.contributions is None:
        record["warnings"].append(
            f"{card.id} is no regression with a linear read-out: its answer is no sum over sites."
        )
        return
    for site, row in zip(record["sites"], found.contributions, strict=True):
        for target, value in zip(card.targets, row, strict=True):
            site["contributions"][f"{card.id}/{target.property}"] = value


def _not_finite(card: Card, found: Found) -> Fault | None:
    if all(map(math.isfinite, found.values)):
        return None
    return ModelError(f"{card.id} gave no finite number for this structure.").as_dict()


def _close(line: Line) -> None:
    record = line.record
    record["predictions"] = [prediction for slot in line.slots for prediction in slot]
    faults = [one["error"] for one in record["predictions"] if "error" in one]
    if not faults:
        record["status"] = "succeeded"
    elif len(faults) < len(record["predictions"]):
        record["status"] = "partial"
    else:
        record["error"] = faults[0]
