"""What pydantic finds wrong, as a problem."""

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


CODE_OF = {"missing": "missing_field", "extra_forbidden": "unknown_field"}


def error_item(one: Any) -> dict[str, Any]:
    """One of pydantic's findings in our words."""
    where = list(one["loc"])
    if where and where[0] in ("body", "query", "path", "header"):
        where = where[1:]
    item: dict[str, Any] = {
        "code": CODE_OF.get(one["type"], "invalid_field"),
        "detail": one["msg"],
        "pointer": "/" + "/".join(brief(part, 60) for part in where),
    }
    if one["type"] != "missing" and isinstance(one.get("input"), str | int | float | bool):
        item["got"] = brief(one["input"])
    return item
