"""How a slab with its adsorbate becomes a graph with candidates for bonds."""

from typing import Literal

from pydantic import Field

from models.settings.frozen import InputSettings


class SlabSettings(InputSettings):
    """How a slab with its adsorbate becomes a graph with candidates for bonds."""

    kind: Literal["slab"] = Field("slab", description="Which input this is.")
    edges: Literal["voronoi", "nearest"] = Field(
        "voronoi",
        description="`voronoi`: the neighbours with the largest faces of the Voronoi cell. `nearest`: the nearest sites.",
    )
    max_neighbours: int = Field(12, ge=1, le=64, description="Neighbours of a site.")
    radius: float = Field(8.0, gt=0, le=12, description="Search radius in Å.")
    candidates: int = Field(
        12,
        ge=4,
        le=64,
        description="Sites of the slab nearest to the adsorbate in the initial structure, among which the partners are found.",
    )
