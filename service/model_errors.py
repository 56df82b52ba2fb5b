"""The errors of a model beside those of simple methods, as a part of its page."""

from html import escape

from models.card import Card, learned_before
from service.html import section, table
from service.model_limits import PARTS

FIGURE_NAMES = {
    "mae": "mean absolute error",
    "rmse": "root mean square",
    "r2": "R²",
    "auc": "area under ROC",
    "accuracy": "accuracy",
}


def judge(card: Card) -> str | None:
    """The part by which it is judged."""
    return next((part for part in ("test", "val", "train") if card.metrics.get(part)), None)


def number(value: float) -> str:
    """For a table."""
    return escape(f"{value:.4g}".replace("-", "\N{MINUS SIGN}"))


def errors(card: Card) -> str:
    """A table of the rows that judge, and whether the model beats them."""
    part = judge(card)
    if part is None:
        return section(
            "Errors", "<p>How large its errors are is not known: its card has no figures.</p>"
        )
    ours, known = card.metrics[part], card.baselines
    names = [name for name in FIGURE_NAMES if name in ours]
    names += [name for name in ours if name.startswith(("mae:", "mae_"))]
    heads = ["", *(_figure(name, card) for name in names)]
    rows = [["this model", *(_cell(ours, name) for name in names)]]
    rows += [
        [escape(each), *(_cell(found, name) for name in names)] for each, found in known.items()
    ]
    count = (card.training.rows if card.training else {}).get(part)
    by = f"By {count:,} {PARTS[part]} rows" if count else f"By the {PARTS[part]} rows"
    return section(
        "Errors beside simple methods",
        f"<p>{by}, {_seen(card, part)}.{_unit_note(card)}</p>",
        table(heads, rows, numeric=range(1, len(heads)), ours=0),
        _better(card, ours),
        "" if known else "<p>What simple methods come to on the same rows is not known.</p>",
    )


def _seen(card: Card, part: str) -> str:
    """What the model may know of the rows that judge."""
    record = card.training
    before = " and ".join(escape(each.model) for each in learned_before(record)) if record else ""
    if record and record.judged:
        return f"from which nothing was learned here; {before}, whose weights these are, may have seen them"
    if part == "test" and before:
        return f"which this training did not learn from; {before}, from which it started, may have seen them"
    return {"test": "which it has never seen", "val": "by which its epoch was chosen: others may be worse",
            "train": "from which it learned: others will be worse"}[part]  # fmt: skip


def _figure(name: str, card: Card) -> str:
    if name.startswith("mae:"):
        return f"MAE, {name.removeprefix('mae:')}"
    if name.startswith("mae_"):
        return f"MAE, bond {name.removeprefix('mae_')}"
    if name == "mae" and len(card.targets) > 1:
        return "MAE, mean of all"
    return FIGURE_NAMES[name]


def _unit_note(card: Card) -> str:
    units = dict.fromkeys(one.unit for one in card.targets)
    if card.classifies or set(units) == {"1"}:
        return ""
    return f" Errors in {escape(', '.join(units))}."


def _cell(found: dict[str, float], name: str) -> str:
    return number(found[name]) if name in found else "–"


def _better(card: Card, ours: dict[str, float]) -> str:
    figure = "mae"
    others = {name: each[figure] for name, each in card.baselines.items() if figure in each}
    if figure not in ours or not others or ours[figure] <= 0:
        return ""
    name, least = min(others.items(), key=lambda each: each[1])
    if least <= ours[figure]:
        return f"<p>It does not beat {escape(name)}.</p>"
    less = 1 - ours[figure] / least
    return f'<p class="good">Its error is {less:.1%} smaller than that of the best of them, {escape(name)}.</p>'
