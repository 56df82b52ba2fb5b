"""What a model's page says of where its answers end: its domain, its elements, its notes."""

from html import escape

from models.card import Card
from models.structures.composition import SYMBOLS
from service.html import facts, listed

PARTS = {"train": "training", "val": "validation", "test": "test"}
RARE = 10  # training structures
LAST = 103  # elements beyond are not worth a word


def limits(card: Card) -> str:
    """A few lines, and the card's notes."""
    return facts([*_elements(card), *_domain(card)]) + listed(map(escape, card.notes))


def _elements(card: Card) -> list[tuple[str, str]]:
    known = [SYMBOLS[number] for number in card.elements_seen or ()]
    if card.family == "image":
        return []
    if not known:
        return [("Elements", "which ones it has learned from is not known")]
    never = [symbol for symbol in SYMBOLS[1 : LAST + 1] if symbol not in set(known)]
    found = [(f"Elements it knows ({len(known)})", _some(known))]
    counts = card.domain.elements if card.domain else {}
    rare = sorted((count, symbol) for symbol, count in counts.items() if count < RARE)
    if rare:
        words = ", ".join(f"{symbol} ({count})" for count, symbol in rare)
        found.append((f"In fewer than {RARE} training structures", escape(words)))
    return [*found, ("Never seen", _some(never))]


def _some(symbols: list[str]) -> str:
    return escape(", ".join(symbols)) if symbols else "none"


def _domain(card: Card) -> list[tuple[str, str]]:
    domain = card.domain
    if domain is None:
        return [("Range of its data", "not known: answers beyond it are not flagged")]
    fewest, most = domain.sites
    short, long = domain.nearest
    flagged = ", ".join(
        f"{share:.1%} of the {PARTS.get(part, part)} rows" for part, share in domain.flagged.items()
    )
    return [
        ("Sites of a structure", f"{fewest:,} to {most:,}" if most > fewest else f"{fewest:,}"),
        ("Shortest distance in a structure", f"{short:.2f} to {long:.2f} Å"),
        ("Flagged as outside", escape(flagged)),
    ]
