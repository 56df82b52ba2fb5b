"""What pydantic finds wrong, as a problem."""

import re
from typing import Any

from service.problems import Problem, brief


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
    if one["type"] != "missing" and isinstance(one.get("input"), str | int | float | bool):
        item["got"] = brief(one["input"])
    return item
