"""The service's own state on the wire."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Live(BaseModel):
    """The process answers."""

    status: str = Field(examples=["alive"])


class Ready(BaseModel):
    """Whether predictions can be made now, and what is missing if not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ready",
                    "checks": {
                        "broker": "ok",
                        "persistence": "ok",
                        "parse": "2 alive",
                        "infer": "1 alive",
                    },
                    "missing": [],
                }
            ]
        }
    )

    status: str = Field(description="`ready` or `unavailable`.")
    checks: dict[str, str]
    missing: list[str] = Field(description="What keeps it from being ready, in words.")


class Limits(BaseModel):
    """Every bound of this service."""

    structures: dict[str, Any] = Field(description="What one structure and one call may hold.")
    requests: dict[str, Any] = Field(
        description="What one request may be, and how long it may take."
    )
    jobs: dict[str, Any] = Field(description="How many jobs may wait and how long they are kept.")
    formats: list[str] = Field(description="Values of `format`.")


class Root(BaseModel):
    """Where things are."""

    name: str
    version: str
    links: dict[str, str]
