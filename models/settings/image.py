"""How a structure becomes an image."""

from typing import Literal, Self

from pydantic import Field, model_validator

from models.settings.frozen import InputSettings
from models.structures.composition import NUMBERS

LARGEST_IMAGE = 1 << 21  # pixels: 128³

Representation = Literal["gaussian", "onehot", "agr", "displaced", "angular"]


class ImageSettings(InputSettings):
    """How a structure becomes an image."""

    kind: Literal["image"] = "image"
    dimensions: Literal[2, 3] = Field(
        2,
        description="Dimensions of the image. In two, heights are not seen: of a sheet the axis across the vacuum "
        "is left out, of a molecule z.",
    )
    pixels: int = Field(64, ge=8, le=512, description="Pixels along each side; of 3D at most 128.")
    box: Literal["molecule", "cell"] = Field(
        "molecule",
        description="What the image shows. `molecule`: a box of fixed side, with nothing outside. `cell`: the cell "
        "itself, whose opposite edges meet; it has to be orthogonal, or to have a small orthogonal supercell.",
    )
    side: float = Field(10.0, gt=0, le=100, description="Side of the box of molecules in Å.")
    centred: bool = Field(
        True,
        description="Whether a molecule is moved to the middle of its box, so that no answer depends on where it "
        "lies. false: it stays at its coordinates, as in the paper.",
    )
    representation: Representation = Field(
        "gaussian",
        description="How an atom looks. `gaussian`: exp(-r²/2γ²). `onehot`: its pixel alone. `agr`: a mixture of nine "
        "Gaussians, of a third to three pixels' width, whose shares are learned. `displaced`: a learned mixture of "
        "seven rings, two pixels apart. `angular`: a Gaussian, and four powers of circular harmonics at 1.4 Å (2D). "
        "The last two see pixels, not positions.",
    )
    gamma: float = Field(
        0.4,
        ge=0.02,
        le=5,
        description="Width γ of a Gaussian in Å (`gaussian`, `angular`); the paper's is 0.2. Wider than two pixels is "
        "learned better.",
    )
    bias: float = Field(
        0.0,
        ge=-10,
        le=10,
        description="Added to every pixel (`gaussian`, `onehot`); what is learned has a bias of its own.",
    )
    lasso: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Weight of the shares' absolute values in the loss (`agr`, `displaced`).",
    )
    species: tuple[str, ...] = Field(
        (),
        max_length=16,
        description="Elements with an image of their own each, for example [C, B, N]; others are refused. "
        "Empty: one image for all, to which an atom adds as much as its atomic number.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        strange = [each for each in self.species if each not in NUMBERS]
        if strange or len(set(self.species)) < len(self.species):
            raise ValueError("species are symbols of elements, each once")
        if self.pixels**self.dimensions > LARGEST_IMAGE:
            raise ValueError("in three dimensions there are at most 128 pixels along a side")
        if self.representation == "angular" and self.dimensions == 3:
            raise ValueError("angular channels are made in two dimensions only")
        if self.bias and self.representation not in ("gaussian", "onehot"):
            raise ValueError(f"{self.representation} learns a bias of its own")
        return self

    def key(self) -> str:
        """Of what a sample holds; the image is made from it by the network."""
        names = ("dimensions", "pixels", "box", "side", "centred", "species")
        return InputSettings.key(
            ImageSettings.model_construct(**{name: getattr(self, name) for name in names})
        )
