"""What pydantic finds wrong, as a problem."""

import re
from typing import Any

from service.problems import Problem, brief
from service.schemas.dataset import SET_NAME
from service.schemas.key import OWNER_NAME
from service.schemas.model import ALIAS_NAME


def invalid(found: Any) -> Problem:
    """The problem that pydantic's findings make."""
    errors = [error_item(one) for one in found[:50]]
    kinds = {one["code"] for one in errors}
    first = errors[0]
    code = kinds.pop() if len(kinds) == 1 else "invalid_field"
    where = first["pointer"].strip("/")
    return Problem(
        code, f"{where}: {first['detail']}." if where else first["detail"], errors=errors
    )


NAMED = re.compile(r"dictionary or instance of \w+|dictionary")  # of our classes nobody knows
IN_WORDS = {
    ALIAS_NAME: "a letter, then at most 62 letters, digits and hyphens, in lower case",
    SET_NAME: "a letter or digit, then at most 99 letters, digits, dots, underscores and hyphens",
    OWNER_NAME: "a letter or digit, then at most 63 letters, digits and any of . _ @ -",
}
CODE_OF = {"missing": "missing_field", "extra_forbidden": "unknown_field"}


def error_item(one: Any) -> dict[str, Any]:
    """One of pydantic's findings in our words."""
    where = list(one["loc"])
    if where and where[0] in ("body", "query", "path", "header"):
        where = where[1:]
    item: dict[str, Any] = {
        "code": CODE_OF.get(one["type"], "invalid_field"),
        "detail": NAMED.sub("object", one["msg"].removeprefix("Value error, ")),
        "pointer": "/" + "/".join(brief(part, 60) for part in where),
    }
    if words := IN_WORDS.get(one.get("ctx", {}).get("pattern")):
        item |= {"detail": "This is no such name", "expected": words}
    if one["type"] != "missing" and isinstance(one.get("input"), str | int | float | bool):
        item["got"] = brief(one["input"])
    return item
