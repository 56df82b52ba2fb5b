"""What all settings have in common."""

import hashlib
from functools import cache

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and no field that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSettings(Frozen):
    """How a structure becomes what a network reads; each kind has a field `kind` of its own."""

    def key(self) -> str:
        """A short name that differs whenever what is made may differ."""
        return _key(self)

    def as_json(self) -> str:
        """The settings as text."""
        return _as_json(self)


@cache
def _as_json(settings: InputSettings) -> str:
    return settings.model_dump_json()


@cache
def _key(settings: InputSettings) -> str:
    return hashlib.sha256(_as_json(settings).encode()).hexdigest()[:12]
