"""API keys on the wire."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

OWNER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"


class Scope(StrEnum):
    """What a key may do."""

    PREDICT = "predict"
    TRAIN = "train"
    MODELS_WRITE = "models:write"
    ADMIN = "admin"


class KeyRequest(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "notebook", "scopes": ["predict"]}]},
    )

    name: str = Field(min_length=1, max_length=100, description="Who or what it is for.")
    scopes: list[Scope] = Field([Scope.PREDICT], min_length=1, description="What it may do.")
    owner: str | None = Field(
        None,
        pattern=OWNER_NAME,
        description="Keys of one owner see the same jobs; the key alone if not given.",
    )
    requests_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="Quota; the service's default if none."
    )
    structures_per_day: int | None = Field(
        None, ge=1, le=1_000_000_000, description="Quota; the default if none."
    )


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    owner: str
    scopes: list[Scope]
    requests_per_minute: int
    structures_per_day: int
    created_at: datetime
    key: str | None = Field(
        None, description="The secret; shown once, when the key is made, and not kept."
    )


class KeyList(BaseModel):
    """All keys."""

    keys: list[KeyView]
