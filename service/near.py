"""What somebody may have meant."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from service.problems import Problem, brief


def near(name: str, there: Iterable[str]) -> dict[str, str]:
    """A hint with the nearest name, if any is near."""
    found = get_close_matches(name[:100].lower(), list(there), 1, 0.6)
    return {"hint": f"Did you mean `{found[0]}`?"} if found else {}


def refuse_unknown(what: str, sent: Iterable[str], allowed: Collection[str]) -> None:
    """Raises `Problem` naming each unknown field and what is near it."""
    wrong = [name for name in dict.fromkeys(sent) if name not in allowed]
    if not wrong:
        return
    there = ", ".join(sorted(allowed)) or "none"
    errors = [
        {
            "code": "unknown_field",
            "detail": f"There is no {what} {brief(name, 60)!r}.",
            "pointer": brief(name, 60),
            "expected": f"one of: {there}",
            **near(name, allowed),
        }
        for name in wrong[:20]
    ]
    first = errors[0]
    raise Problem(
        "unknown_field",
        f"{first['detail']} Those there are: {there}.",
        hint=first.get("hint"),
        errors=errors,
    )
