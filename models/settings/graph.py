"""How a structure becomes a graph."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from models.settings.frozen import InputSettings


class Neighbours(StrEnum):
    """Who counts as a neighbour."""

    NEAREST = "nearest"
    VORONOI = "voronoi"


class Ties(StrEnum):
    """What happens when the last neighbour is one of several equals."""

    SHELL = "shell"
    RELEASED = "released"


class GraphSettings(InputSettings):
    """How a structure becomes a graph."""

    kind: Literal["graph"] = Field("graph", description="Which input this is.")
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
