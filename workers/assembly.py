"""Records: one line of a job's result per structure, filled as the models answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from models.card import Card
from models.errors import ModelError
from models.structures.composition import SYMBOLS
from workers.exchange import Fault, Found
from workers.telling import Prediction, Teller

if TYPE_CHECKING:
    from workers.parser import Parsed


@dataclass(slots=True)
class Line:
    """One record in the making; `waits` models have not answered yet."""

    record: dict[str, Any]
    waits: int
    slots: list[list[Prediction]] = field(default_factory=list)  # per model, one per target
    numbers: bytes = b""

    @property
    def failed(self) -> bool:
        """Whether no model could answer."""
        return bool(self.record["status"] == "failed")


def begin(index: int, parsed: "Parsed", tellers: Sequence[Teller]) -> Line:
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
    valued = any(teller.answers == "sites" for teller in tellers)
    explained = any(teller.asked.sites for teller in tellers)
    if explained or valued:
        record["sites"] = [
            {"index": place, "element": SYMBOLS[number]} | ({"values": {}} if valued else {})
            for place, number in enumerate(parsed.numbers)
        ]
    return Line(record, len(tellers), [[] for _ in tellers], parsed.numbers)


def fill(line: Line, place: int, teller: Teller, found: Found) -> None:
    """One model's answer, or why it has none."""
    fault = found.error or _not_finite(teller.card, found)
    if fault:
        line.slots[place] = teller.refuse(fault)
    else:
        line.slots[place] = predictions = teller.tell(found, line.numbers)
        line.record["warnings"] += [*teller.notes, *teller.beyond(found)]
        if teller.answers == "sites":
            _put_values(line.record["sites"], teller, predictions)
        if teller.asked.sites and teller.answers == "crystal":
            _contribute(line.record, teller, found)
        if teller.asked.neighbours and found.nearest is None:
            line.record["warnings"].append(
                f"{teller.card.id} keeps nothing of what it learned from: it knows no neighbours."
            )
    line.waits -= 1
    if not line.waits:
        _close(line)


def as_bytes(line: Line) -> bytes:
    """The line of the result file."""
    return orjson.dumps(line.record, option=orjson.OPT_APPEND_NEWLINE)


def _put_values(
    sites: list[dict[str, Any]], teller: Teller, predictions: Sequence[Prediction]
) -> None:
    """The same numbers, told site by site."""
    for column, prediction in zip(teller.columns, predictions, strict=True):
        for name in ("values", "intervals", "stds"):
            for site, number in zip(sites, prediction.get(name) or (), strict=False):
                site.setdefault(name, {})[column.key] = number


def _contribute(record: dict[str, Any], teller: Teller, found: Found) -> None:
    if found.contributions is None:
        record["warnings"].append(_no_sum(teller.card))
        return
    for site, row in zip(record["sites"], found.contributions, strict=True):
        for column, value in zip(teller.columns, row, strict=True):
            site.setdefault("contributions", {})[column.key] = value


def _no_sum(card: Card) -> str:
    if card.classifies:
        return f"{card.id} answers with a probability, which is no sum over sites."
    if card.family == "image":
        return f"{card.id} reads an image: its answer is no sum over sites."
    return (
        f"{card.id} mixes the sites before its last layers: its answer is no sum over sites. Models "
        "with a linear read-out have one."
    )


def _not_finite(card: Card, found: Found) -> Fault | None:
    if all(map(math.isfinite, found.said.values)):
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
