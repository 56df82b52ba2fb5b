"""How a network is trained."""

from typing import Literal

from pydantic import Field

from models.settings.frozen import Frozen


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
