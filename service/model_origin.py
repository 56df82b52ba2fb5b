"""Where a model comes from: its data, its training, its settings, as a part of its page."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from models.card import Card, Learned
from service.html import code, facts, section
from service.model_limits import PARTS


def origin(card: Card, curve: str) -> str:
    """`curve`: the drawing of the training's course, where there is one."""
    record = card.training
    if record is None:
        return section(
            "Where it comes from", "<p>Its data and its training are not known.</p>", _network(card)
        )
    parts = PARTS | ({"train": "to know its range by"} if record.judged else {})
    rows = ", ".join(f"{parts.get(part, part)} {count:,}" for part, count in record.rows.items())
    left = [f"{record.unlabelled:,} without a label" if record.unlabelled else "",
            f"{record.refused:,} that could not be read" if record.refused else ""]  # fmt: skip
    seeds = ", ".join(map(str, record.seeds or (() if record.seed is None else (record.seed,))))
    of = " by the best member" if card.members > 1 else ""
    told = facts(
        [
            ("Judged by" if record.judged else "Data", escape(record.dataset)),
            ("Columns", ", ".join(map(code, record.columns))),
            ("Licence of the data", escape(record.licence or "")),
            ("Citation", escape(record.citation or "")),
            ("Rows", escape(rows)),
            ("Left out", escape(", ".join(each for each in left if each))),
            ("Split", escape(record.split or "")),
            ("Weights of" if record.judged else "Started from", code(record.start_from) if record.start_from else ""),
            ("Which had learned from" if record.judged else "Learned before", _before(record.before or ())),
            ("Recipe", escape(record.recipe or "")),
            ("Seeds", seeds),
            ("Epoch that was kept", "" if record.best_epoch is None else f"{record.best_epoch}{of}"),
            ("Took", "" if record.duration_s is None else _duration(record.duration_s)),
            ("On", escape(record.device or "")),
            ("With", escape(", ".join(f"{name} {it}" for name, it in record.libraries.items()))),
            ("Fingerprint of the data", code(record.dataset_sha256) if record.dataset_sha256 else ""),
        ]
    )  # fmt: skip
    missing = [
        name
        for name, known in (("citation", record.citation), ("licence", record.licence))
        if not known
    ]
    unknown = f"<p class=soft>Not told: {' and '.join(missing)} of the data.</p>" if missing else ""
    return section(
        "Where it comes from",
        told,
        unknown,
        curve,
        _settings(card),
        _network(card),
    )


def _before(learned: Sequence[Learned]) -> str:
    """What each of the models had learned from."""
    return "; ".join(
        escape(", ".join(filter(None, (
            f"{each.model}: {each.dataset or 'not known'}",
            f"{each.rows:,} rows" if each.rows else "", each.licence, each.citation,
        )))) for each in learned
    )  # fmt: skip


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _settings(card: Card) -> str:
    settings = card.training.settings if card.training else {}
    return _more("All settings of the training", settings)


def _network(card: Card) -> str:
    return _more("The input", card.input.model_dump(mode="json")) + _more(
        "The network", card.network.model_dump(mode="json")
    )


def _more(title: str, values: dict[str, Any]) -> str:
    if not values:
        return ""
    rows = [(name, code(json.dumps(value, ensure_ascii=False))) for name, value in values.items()]
    return f"<details><summary>{escape(title)}</summary>{facts(rows)}</details>"
