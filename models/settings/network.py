"""The networks' options; what the three graph networks share is documented once."""

from typing import Literal, Self

from pydantic import Field, model_validator

from models.settings.frozen import Frozen
from models.settings.image import ImageSettings

LARGEST_LAYER = 100_000_000  # weights


class TrunkSettings(Frozen):
    """The embedding and the convolutions, which all graph networks share."""

    convolution: Literal["gated", "shared", "residual"] = Field(
        "gated",
        description="`gated`: Eq. 5 of the paper. `shared`: Eq. 4. `residual`: Eq. 5 with layers of its own for a "
        "site's sum and LayerNorm, which learns formation energies and sites' properties better.",
    )
    convolutions: int = Field(3, ge=1, le=16, description="Number of convolutions.")
    width: int = Field(64, ge=1, le=1024, description="Length of a site's vector.")
    elements: Literal["categories", "numbers"] = Field(
        "categories",
        description="What a site starts from. `categories`: nine properties of its element cut into categories, as in "
        "the paper. `numbers`: 22 properties of it as numbers as well.",
    )
    edge_features: Literal["gaussian", "onehot"] = Field(
        "gaussian",
        description="`gaussian`: 41 Gaussians, 0 to 8 Å. `onehot`: the paper's 10 bins, 0.7 to 5.2 Å.",
    )
    edge_start: float = Field(0.0, ge=0, le=12, description="First centre of the Gaussians in Å.")
    edge_stop: float = Field(8.0, gt=0, le=12, description="Last centre of the Gaussians in Å.")
    edge_step: float = Field(
        0.2, gt=0.01, le=2, description="Distance of the centres, and width, in Å."
    )

    @model_validator(mode="after")
    def _gaussians_in_order(self) -> Self:
        if self.edge_stop <= self.edge_start:
            raise ValueError("edge_stop must lie beyond edge_start")
        return self


class NetworkSettings(TrunkSettings):
    """The network of the crystal family (CGCNN)."""

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
    def _classes(self) -> Self:
        if self.task == "classification" and self.outputs != 2:
            raise ValueError("a classifier has 2 outputs, no and yes")
        return self


class SiteNetworkSettings(TrunkSettings):
    """The network of the site family: no pooling, one number a site and target."""

    site_layers: int = Field(1, ge=0, le=8, description="Hidden layers per site.")
    site_width: int = Field(64, ge=1, le=4096, description="Width of the hidden layers.")
    outputs: int = Field(1, ge=1, le=64, description="Numbers a site: one a target.")


class BondNetworkSettings(TrunkSettings):
    """The network of the bond family: a distance for the adsorbate and each candidate."""

    join: Literal["concatenation", "mean", "product"] = Field(
        "concatenation", description="How the vectors of adsorbate and partner become one."
    )
    edge_features: Literal["angle", "gaussian", "onehot", "both"] = Field(  # type: ignore[assignment]
        "angle",
        description="`angle`: the solid angle of the Voronoi face, relative to the site's largest, in 6 Gaussians. "
        "`gaussian`, `onehot`: the distance, as in the crystal family. `both`: the angle and the distance's Gaussians.",
    )
    initial_distance: bool = Field(
        True, description="Whether a bond's distance before relaxation is read beside the vectors."
    )
    hidden_layers: int = Field(2, ge=0, le=8, description="Hidden layers of a bond.")
    hidden_width: int = Field(92, ge=1, le=4096, description="Width of the hidden layers.")
    outputs: Literal[1] = Field(1, description="One number a candidate: the distance.")


class ImageNetworkSettings(Frozen):
    """The network of the image family (CNNAS): convolutions without pooling, then one hidden layer."""

    image: ImageSettings = Field(
        default_factory=ImageSettings, description="What it reads; follows from the input."
    )
    reducing_layers: int = Field(
        4,
        ge=1,
        le=9,
        description="Convolutions that halve the image (3 pixels wide, stride 2). The paper's Network 1 has 7.",
    )
    reducing_filters: int = Field(
        32, ge=1, le=512, description="Filters of each of them; the paper has 64."
    )
    keeping_layers: int = Field(
        0,
        ge=0,
        le=8,
        description="Convolutions that keep the size (4 pixels wide) between two that halve it. The paper has 2.",
    )
    keeping_filters: int = Field(16, ge=1, le=512, description="Filters of each of them.")
    hidden_width: int = Field(
        256, ge=1, le=4096, description="Width of the hidden layer; the paper's is 1024."
    )
    periodicity: Literal["none", "shifted", "circular"] = Field(
        "none",
        description="`none`: beyond the image all is zero. `shifted`: the paper's copies, shifted by half the image "
        "and wrapped, through the same convolutions, joined by the hidden layer. `circular`: opposite edges meet in "
        "every convolution, and the mean over what is left of the image enters the hidden layer, which is exact.",
    )
    outputs: int = Field(1, ge=1, le=64, description="Numbers an image: one a target.")

    @model_validator(mode="after")
    def _halves(self) -> Self:
        pixels, stride = self.image.pixels, 2**self.reducing_layers
        if stride > pixels:
            raise ValueError(f"{pixels} pixels cannot be halved {self.reducing_layers} times")
        if self.periodicity == "circular" and pixels % stride:
            raise ValueError(f"circular images have a multiple of {stride} pixels along a side")
        if self.periodicity != "none" and self.image.box != "cell":
            raise ValueError("only a cell is periodic: set box to cell")
        if self.features * self.hidden_width > LARGEST_LAYER:
            raise ValueError(
                f"the hidden layer would have {self.features * self.hidden_width:,} weights, of at most "
                f"{LARGEST_LAYER:,}: more reducing_layers make it smaller"
            )
        return self

    @property
    def features(self) -> int:
        """Numbers that enter the hidden layer."""
        if self.periodicity == "circular":
            return self.reducing_filters
        dimensions = self.image.dimensions
        left = -(-self.image.pixels // 2**self.reducing_layers)
        copies = 2**dimensions if self.periodicity == "shifted" else 1
        return int(self.reducing_filters * copies * left**dimensions)
