"""The reference page of the models that ship, from their cards."""

from collections.abc import Iterator

from models.card import Card
from models.catalogue import RELEASED, Catalogue

ABSENT = "–"


def newest() -> list[Card]:
    """The newest version of each."""
    cards: dict[str, Card] = {}
    for card in Catalogue((RELEASED,)).list():
        cards.setdefault(card.name, card)
    return list(cards.values())


def errors() -> Iterator[tuple[str, ...]]:
    """A row a model: its error beside what it has to beat."""
    for card in newest():
        figure = "auc" if card.classifies else "mae"
        unit = "AUC" if card.classifies else card.targets[0].unit.removeprefix("1")
        record, test = card.training, card.metrics.get("test", {})
        members = record.spread.get("test", {}).get(figure) if record else None
        rows = record.rows if record else {}
        best = _best(card, figure)
        yield (
            f"`{card.id}`",
            card.title,
            " / ".join(str(rows.get(part, 0)) for part in ("train", "val", "test")),
            f"{test[figure]:.3g} {unit}" if test else ABSENT,
            f"{members.mean:.3g}" if members and card.members > 1 else ABSENT,
            f"{best[1]:.3g} ({best[0]})" if best else ABSENT,
        )


def trust() -> Iterator[tuple[str, ...]]:
    """A row a model with intervals: whether they hold on rows never used."""
    for card in newest():
        for one in filter(None, card.intervals or ()):
            yield (
                f"`{card.id}`",
                str(card.members),
                str(one.judged),
                f"{one.coverage['0.9']:.1%}" if "0.9" in one.coverage else ABSENT,
                ABSENT if one.rank_correlation is None else f"{one.rank_correlation:.2f}",
                f"{card.domain.flagged['test']:.1%}"
                if card.domain and "test" in card.domain.flagged
                else ABSENT,
            )


def sources() -> Iterator[tuple[str, ...]]:
    """A row a model: where its data come from."""
    for card in newest():
        record = card.training
        if record:
            yield (
                f"`{card.id}`",
                record.dataset,
                record.citation or ABSENT,
                record.licence or ABSENT,
            )


def _best(card: Card, figure: str) -> tuple[str, float] | None:
    """The strongest of the simple methods."""
    found = {name: parts[figure] for name, parts in card.baselines.items() if figure in parts}
    if not found:
        return None
    choose = max if figure == "auc" else min
    name = choose(found, key=found.__getitem__)
    return name, found[name]
