"""A model judged by a data set: `python -m models.training.judge FOLDER` does what `FOLDER/order.json` orders.

It appends to `reports.jsonl` and leaves `result.json`. An error of the sender's is told as JSON in the last line of
its output, with exit code 1.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.card import Card
from models.datasets.stored import Stored
from models.errors import MatpropError, ModelError, UnfitDataset
from models.infer import Resident, load, prepare_process
from models.structures.composition import SYMBOLS
from models.training import judging
from models.training.dataset import Rows, Values
from models.training.judging import Judged
from models.training.parts import chosen
from models.training.plan import Plan
from models.training.reports import Reports, put
from models.training.source import Gathered, gather
from models.trust.measuring import measure

CHUNK_ROWS = 200
PARITY_LINES = 5_000
WORST = 10
SHOWN = 100  # rows that could not be predicted

Unpredicted = dict[int, dict[str, Any]]
Flat = dict[int, tuple[float, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Answers beside the truth; lines belong to places in `source.rows`."""

    card: Card
    source: Gathered
    judged: Judged
    unpredicted: Unpredicted
    difficulties: Values | None  # (lines, targets); none without intervals

    def result(self) -> dict[str, Any]:
        """`result.json`."""
        properties = [target.property for target in self.card.targets]
        return {
            "metrics": judging.figures(
                self.judged, classifies=self.card.classifies, properties=properties
            ),
            "intervals": self._intervals(),
            "elements": self._by_element(),
            "parity": {
                "properties": properties,
                "units": [target.unit for target in self.card.targets],
                "lines": self._parity(),
            },
            "worst": self._worst(),
            "n": len(np.unique(self.judged.rows)),
            "labels": int(np.isfinite(self.judged.labels).sum()),
            "unlabelled": self.source.unlabelled,
            "unpredicted": self._unpredicted(),
            "warnings": self._warnings(),
        }

    def _intervals(self) -> list[dict[str, Any]] | None:
        """Of each target, how often its intervals hold the truth, and whether wider ones are less sure."""
        if self.card.intervals is None or self.difficulties is None:
            return None
        judged, found = self.judged, []
        for at, intervals in enumerate(self.card.intervals):
            error = judged.answers[:, at] - judged.labels[:, at]
            known = np.isfinite(error) & np.isfinite(self.difficulties[:, at])
            some = self.difficulties[known, at], error[known], judged.rows[known]
            found.append(measure(intervals, *some) if intervals and known.any() else {})
        return found

    def _by_element(self) -> dict[str, dict[str, float]] | None:
        if self.card.family != "site":
            return None
        rows = list(dict.fromkeys(self.judged.rows.tolist()))
        numbers = np.concatenate([self.source.data.samples[row].numbers for row in rows])
        return judging.by_element(self.judged, numbers.astype(np.int64), SYMBOLS.__getitem__)

    def _parity(self) -> list[list[float | None]]:
        """Label and answer of each target, one line after the other; by chance if they are too many."""
        known = np.flatnonzero(np.isfinite(self.judged.labels).any(1)).tolist()
        lines = chosen(known, PARITY_LINES, 0)
        pairs = np.stack([self.judged.labels[lines], self.judged.answers[lines]], 2)
        return [[_number(value) for value in line] for line in pairs.reshape(len(lines), -1)]

    def _worst(self) -> list[dict[str, Any]]:
        """Rows by their largest error, in units of each target's deviation where there are several."""
        scale = np.array([target.std for target in self.card.targets])
        error = np.abs(self.judged.answers - self.judged.labels) / scale
        error = np.where(np.isfinite(error), error, -1.0)
        found: dict[int, dict[str, Any]] = {}
        for place in np.argsort(-error, axis=None, kind="stable"):
            line, target = np.unravel_index(place, error.shape)
            row = int(self.judged.rows[line])
            if len(found) == WORST or error[line, target] < 0:
                break
            if row not in found:
                found[row] = self._line(int(line), int(target), row)
        return list(found.values())

    def _line(self, line: int, target: int, row: int) -> dict[str, Any]:
        label, answer = (
            float(values[line, target]) for values in (self.judged.labels, self.judged.answers)
        )
        stored = int(self.source.rows[row])
        return {
            "row": stored,
            "name": self.source.stored.names[stored],
            "property": self.card.targets[target].property,
            **self._where(line, row),
            "label": label,
            "prediction": answer,
            "error": answer - label,
        }

    def _where(self, line: int, row: int) -> dict[str, int]:
        place = line - int(np.searchsorted(self.judged.rows, row))
        return {"site": {"site": place}, "bond": {"rank": place + 1}}.get(self.card.family, {})

    def _unpredicted(self) -> dict[str, Any]:
        names = self.source.stored.names
        rows = sorted({**self.source.refused, **self.unpredicted}.items())
        return {
            "count": len(rows),
            "rows": [{"row": at, "name": names[at], "error": error} for at, error in rows[:SHOWN]],
        }

    def _warnings(self) -> list[str]:
        record, ours = self.card.training, self.source.stored.manifest["sha256"]
        if record is None or record.judged or record.dataset_sha256 != ours:
            return []
        return [
            f"{self.card.id} was trained on this very data set: the error on rows it has not seen is larger."
        ]


def judge(order: dict[str, Any], reports: Reports) -> Verdict:
    """Predict every labelled row. Raises: MatpropError."""
    resident = load(Path(order["model"]), order.get("device") or "auto")
    card = resident.card
    reports.log(f"reading the data set for {card.id}")
    source = gather(
        Stored(Path(order["dataset"])), _plan(card, order["columns"]), card.input, reports.progress
    )
    if not len(source.rows):
        raise UnfitDataset(
            "No row of the data set has a label and can be read by this model.",
            place="columns",
            expected="labelled rows",
            got=f"{source.unlabelled} without a label, {len(source.refused)} that cannot be read",
            hint=next(iter(source.refused.values()), {}).get("detail"),
        )
    told, hard, unpredicted = _told(resident, source, reports)
    difficulties = _shaped(source, hard) if len(hard) == len(told) else None
    return Verdict(card, source, _judged(source, told), unpredicted, difficulties)


def _plan(card: Card, columns: dict[str, str]) -> Plan:
    """As if it were to be trained."""
    targets = [
        {
            "column": columns.get(each.property, each.property),
            "property": each.property,
            "unit": each.unit,
        }
        for each in card.targets
    ]
    return Plan(
        family=card.family,
        targets=targets,
        classes=card.classes,
        input=card.input.model_dump(),
        network=card.network.model_dump(),
        training={},
        columns=columns,
    )


def _told(resident: Resident, source: Gathered, reports: Reports) -> tuple[Flat, Flat, Unpredicted]:
    """What the model says of each row, and how hard that was, flat; and why of some it says nothing."""
    told: Flat = {}
    hard: Flat = {}
    unpredicted: Unpredicted = {}
    total = len(source.rows)
    for start in range(0, total, CHUNK_ROWS):
        rows = range(start, min(start + CHUNK_ROWS, total))
        answers = resident.answer([source.data.samples[row] for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            if answer.error is None:
                told[row] = answer.values
                if answer.trust is not None and answer.trust.difficulty:
                    hard[row] = answer.trust.difficulty
            else:
                unpredicted[int(source.rows[row])] = answer.error.as_dict()
        reports.progress(rows[-1] + 1, total)
    if not told:
        raise ModelError.from_dict(next(iter(unpredicted.values())))
    return told, hard, unpredicted


def _judged(source: Gathered, told: Flat) -> Judged:
    """Flat answers in the shape of the labels (see `Kind.answers`)."""
    data, rows = source.data, np.array(sorted(told), np.int64)
    if data.distances is not None:
        ranks = data.distances.shape[1]
        found = np.array(
            [_filled(told[row][: len(told[row]) // 2], ranks) for row in rows.tolist()]
        )
        return Judged.bonds(rows, found, data.distances[rows])
    labels, targets = data.labels, data.labels.values.shape[1]
    # Target by target, of each as many as there are sites.
    answers = np.concatenate([np.reshape(told[row], (targets, -1)).T for row in rows.tolist()])
    return Judged(
        answers, labels.values[labels.places(rows)], np.repeat(rows, _sizes(source, rows))
    )


def _shaped(source: Gathered, flat: Flat) -> Values:
    """Numbers beside the answers in the shape of the labels.  # (lines, targets)"""
    data, rows = source.data, sorted(flat)
    if data.distances is not None:
        ranks = data.distances.shape[1]
        return np.concatenate([_filled(flat[row], ranks) for row in rows])[:, None]
    targets = data.labels.values.shape[1]
    return np.concatenate([np.reshape(flat[row], (targets, -1)).T for row in rows])


def _filled(distances: Sequence[float], ranks: int) -> Values:
    found = np.full(ranks, np.nan)
    found[: len(distances)] = distances
    return found


def _sizes(source: Gathered, rows: Rows) -> Rows:
    first = source.data.labels.first
    return first[rows + 1] - first[rows]


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def main(arguments: list[str]) -> int:
    """The command of this module."""
    prepare_process()
    folder = Path(arguments[0])
    try:
        order = json.loads((folder / "order.json").read_bytes())
        verdict = judge(order, Reports(folder / "reports.jsonl"))
    except MatpropError as error:
        sys.stdout.write(json.dumps(error.as_dict()) + "\n")
        return 1
    put(folder / "result.json", verdict.result())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
