"""Models on the wire."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.card import Card
from models.catalogue import ALIAS
from models.figures.told import ElementTable

RESERVED = frozenset({"families"})  # what else there is under /v1/models
MODEL_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
ALIAS_NAME = ALIAS.pattern


class PropertyElements(BaseModel):
    """The tables of one target."""

    property: str
    unit: str = Field(description="Of every mean and std.")
    tables: list[ElementTable] = Field(description="Of all sites; of perovskites also of A and B.")


class ModelLinks(BaseModel):
    """Where to go on."""

    self: str = Field(description="This version.")
    model: str = Field(description="The model with all its versions.")


class ModelVersion(BaseModel):
    """One version of a model; versions never change."""

    id: str = Field(description="`name@version`.")
    name: str
    version: int
    aliases: list[str] = Field(description="The names that point to this version.")
    card: Card = Field(description="All that is needed to use, trust and repeat it.")
    links: ModelLinks


class ModelSummary(BaseModel):
    """A model in a list: what the latest version answers."""

    name: str
    latest: int = Field(description="The highest version; what `name` alone means.")
    versions: list[int]
    aliases: dict[str, int] = Field(description="Alias → version.")
    title: str
    family: str
    origin: str = Field(description="`released`, `imported` or `trained`.")
    properties: list[dict[str, str]] = Field(description="`{property, unit}` of each target.")
    metrics: dict[str, dict[str, float]] = Field(description="Figures of the latest version.")
    links: dict[str, str]


class ModelList(BaseModel):
    """All models."""

    models: list[ModelSummary]


class ModelView(ModelSummary):
    """One model, with the cards of its versions, the newest first."""

    items: list[ModelVersion] = Field(description="One entry a version, the newest first.")


class ElementsView(BaseModel):
    """What a model says of each element."""

    model: str = Field(description="`name@version`.")
    kind: str = Field(
        description="`contributions`: of sites whose mean is the property. `predictions`: of models of sites."
    )
    meaning: str = Field(description="What the numbers are, in words.")
    structures: int = Field(description="Training structures over which the means were taken.")
    perovskites: int = Field(description="Of them the cells ABX3 of five sites.")
    properties: list[PropertyElements] = Field(description="One entry a target.")
    links: dict[str, str]


class AliasRequest(BaseModel):
    """Where an alias is to point."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": 2}]})

    version: int = Field(ge=1, strict=True, description="A version that exists.")


class AliasView(BaseModel):
    """An alias and its version."""

    model: str
    alias: str
    version: int


class FamilyView(BaseModel):
    """A kind of model and what can be set in it."""

    family: str
    title: str
    settings: dict[str, Any] = Field(
        description="JSON schemas of the settings: `input`, `network` and `training`."
    )
    recipes: dict[str, dict[str, Any]] = Field(
        description="Recipe → the value of every setting; a training sends what differs, side by side."
    )
    links: dict[str, str]


class FamilyList(BaseModel):
    """All kinds of models."""

    families: list[FamilyView]


class ImportForm(BaseModel):
    """A checkpoint to make a model of."""

    model_config = ConfigDict(extra="forbid")

    file: bytes = Field(
        description="A published CGCNN `.pth.tar`, or a checkpoint of ours. It is read without running any code in it."
    )
    name: str = Field(
        pattern=MODEL_NAME, description="Name of the model; an existing one gets a new version."
    )
    property: str | None = Field(None, description="What it predicts, for example `band-gap`.")
    unit: str | None = Field(None, description="Unit of the property; its usual one if not given.")
    title: str | None = Field(None, max_length=200, description="One line for people.")
    classes: list[str] | None = Field(
        None, description="Names of a classifier's classes; repeat the field or separate by commas."
    )


class ImportAnswer(BaseModel):
    """The job of an import and, once it has ended, the model."""

    job: str
    status: str
    model: ModelVersion | None = Field(None, description="The new version.")
    links: dict[str, str]
