"""What every room may know of a family: its name, its settings, and what it answers with."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from models.settings.frozen import Frozen, InputSettings
from models.settings.graph import GraphSettings
from models.settings.image import ImageSettings
from models.settings.network import (
    BondNetworkSettings,
    ImageNetworkSettings,
    NetworkSettings,
    SiteNetworkSettings,
)
from models.settings.slab import SlabSettings

FamilyName = Literal["crystal", "site", "bond", "image"]
AnyInput = Annotated[GraphSettings | SlabSettings | ImageSettings, Field(discriminator="kind")]
AnyNetwork = NetworkSettings | SiteNetworkSettings | BondNetworkSettings | ImageNetworkSettings


@dataclass(frozen=True, slots=True)
class Kind:
    """A family, seen from outside."""

    name: FamilyName
    title: str
    input: type[InputSettings]
    network: type[Frozen]
    # `crystal`: a number a target. `sites`: for each target a number a site, in the order of the sites.
    # `bonds`: the distances, as many sites they lead to, and the adsorbate's site.
    answers: Literal["crystal", "sites", "bonds"]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "crystal", "Properties of a whole crystal, by CGCNN",
            GraphSettings, NetworkSettings, "crystal",
        ),
        Kind(
            "site", "Properties of each site, by CGCNN without pooling",
            GraphSettings, SiteNetworkSettings, "sites",
        ),
        Kind(
            "bond", "Bond distances of an adsorbate after relaxation, from the initial slab",
            SlabSettings, BondNetworkSettings, "bonds",
        ),
        Kind(
            "image", "Properties of molecules and sheets, from their images",
            ImageSettings, ImageNetworkSettings, "crystal",
        ),
    )
}  # fmt: skip

_INPUT: TypeAdapter[AnyInput] = TypeAdapter(AnyInput)


def body(network: AnyNetwork) -> dict[str, Any]:
    """What of a network does not follow from its targets."""
    return network.model_dump(exclude={"outputs", "task"})


def input_of(text: str | bytes) -> AnyInput:
    """The input settings that `InputSettings.as_json` wrote."""
    return _INPUT.validate_json(text)
