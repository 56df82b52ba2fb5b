"""What can be tuned in a graph and in a network; each option is documented here, once."""

import hashlib
from enum import StrEnum
from functools import cache
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """Immutable, and no field that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Neighbours(StrEnum):
    """Who counts as a neighbour."""

    NEAREST = "nearest"
    VORONOI = "voronoi"


class Ties(StrEnum):
    """What happens when the last neighbour is one of several equals."""

    SHELL = "shell"
    RELEASED = "released"


class GraphSettings(Frozen):
    """How a structure becomes a graph."""

    neighbours: Neighbours = Field(
        Neighbours.NEAREST,
        description="`nearest`: the nearest sites within the radius. `voronoi`: sites within 6 Å that share a "
        "Voronoi face and are closer than the sum of the covalent radii + 0.25 Å.",
    )
    max_neighbours: int = Field(12, ge=1, le=64, description="Neighbours of a site (`nearest`).")
    radius: float = Field(8.0, gt=0, le=12, description="Search radius in Å (`nearest`).")
    ties: Ties = Field(
        Ties.SHELL,
        description="`shell`: sites beyond the last neighbour fade out smoothly, so that no answer depends on the "
        "choice among equals. `released`: the rules of the published CGCNN code (pymatgen's order among equals; "
        "missing neighbours are site 0 at radius + 1 Å); only for checkpoints trained so.",
    )

    def key(self) -> str:
        """A short name that differs whenever the graphs may differ."""
        return _key(self)

    def as_json(self) -> str:
        """The settings as text."""
        return _as_json(self)


@cache
def _as_json(settings: GraphSettings) -> str:
    return settings.model_dump_json()


@cache
def _key(settings: GraphSettings) -> str:
    return hashlib.sha256(_as_json(settings).encode()).hexdigest()[:12]


class NetworkSettings(Frozen):
    """The network of the crystal family (CGCNN)."""

    convolution: Literal["gated", "shared"] = Field(
        "gated", description="`gated`: Eq. 5 of the paper. `shared`: Eq. 4."
    )
    convolutions: int = Field(3, ge=1, le=16, description="Number of convolutions.")
    width: int = Field(64, ge=1, le=1024, description="Length of a site's vector.")
    readout: Literal["mean", "full", "linear"] = Field(
        "mean",
        description="`mean`: S16, the mean over sites. `full`: S11-S13, all layers, with softmax. "
        "`linear`: S14-S15, the mean of one scalar a site, which is the explanation of the answer.",
    )
    site_layers: int = Field(
        0, ge=0, le=8, description="Hidden layers per site before pooling (L1)."
    )
    hidden_layers: int = Field(1, ge=0, le=8, description="Hidden layers after pooling (L2).")
    hidden_width: int = Field(128, ge=1, le=4096, description="Width of the hidden layers.")
    edge_features: Literal["gaussian", "onehot"] = Field(
        "gaussian",
        description="`gaussian`: 41 Gaussians, 0 to 8 Å. `onehot`: the paper's 10 bins, 0.7 to 5.2 Å.",
    )
    edge_start: float = Field(0.0, ge=0, le=12, description="First centre of the Gaussians in Å.")
    edge_stop: float = Field(8.0, gt=0, le=12, description="Last centre of the Gaussians in Å.")
    edge_step: float = Field(
        0.2, gt=0.01, le=2, description="Distance of the centres, and width, in Å."
    )
    task: Literal["regression", "classification"] = Field(
        "regression", description="What is learned."
    )
    outputs: int = Field(
        1,
        ge=1,
        le=64,
        description="Numbers that leave the network: one a target; of a classifier two, no and yes.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.edge_stop <= self.edge_start:
            raise ValueError("edge_stop must lie beyond edge_start")
        if self.task == "classification" and self.outputs != 2:
            raise ValueError("a classifier has 2 outputs, no and yes")
        return self


class TrainingSettings(Frozen):
    """How a network is trained."""

    epochs: int = Field(100, ge=1, le=100_000, description="Passes over the training rows.")
    batch_size: int = Field(64, ge=1, le=65_536, description="Crystals a step.")
    learning_rate: float = Field(
        3e-3,
        gt=0,
        le=10,
        description="Highest learning rate; it rises to it and falls in one cycle.",
    )
    warm_up: float = Field(0.1, gt=0, lt=1, description="Share of the steps over which it rises.")
    weight_decay: float = Field(1e-4, ge=0, le=10, description="AdamW's weight decay.")
    loss: Literal["absolute", "squared"] = Field(
        "absolute",
        description="Of regressions: absolute or squared error of the normalised target.",
    )
    average: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Share of the running mean of the weights kept a step; its network is what is answered with.",
    )
    clip: float = Field(5.0, gt=0, description="Longest gradient.")
    seed: int = Field(0, ge=0, description="Seed of the first weights and of the order of rows.")
