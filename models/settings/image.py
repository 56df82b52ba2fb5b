"""How a structure becomes an image."""

from typing import Literal

from pydantic import Field

from models.settings.frozen import InputSettings


class ImageSettings(InputSettings):
    """How a structure becomes an image."""

    kind: Literal["image"] = "image"
    dimensions: Literal[2, 3] = Field(2, description="Dimensions of the image.")
    pixels: int = Field(64, ge=8, le=512, description="Pixels along each side.")
