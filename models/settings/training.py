"""How a network is trained."""

from typing import Annotated, Literal

from pydantic import Field

from models.settings.frozen import Frozen

Weight = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


class TrainingSettings(Frozen):
    """How a network is trained; the seed is the training's, not one of these."""

    optimiser: Literal["adamw", "adam", "sgd"] = Field(
        "adamw", description="`adamw`, `adam`, or `sgd` with momentum 0.9."
    )
    schedule: Literal["one-cycle", "constant", "step"] = Field(
        "one-cycle",
        description="`one-cycle`: the rate rises, then falls to nothing along a cosine. "
        "`constant`: it stays. `step`: it stays, and drops to a tenth after each share in `drops`.",
    )
    epochs: int = Field(
        100,
        ge=0,
        le=100_000,
        description="Passes over the training rows; 0 only judges anew what the training goes on from.",
    )
    batch_size: int = Field(64, ge=2, le=65_536, description="Structures a step.")
    learning_rate: float = Field(3e-3, gt=0, le=10, description="Highest learning rate.")
    warm_up: float = Field(
        0.1, ge=0, lt=1, description="Share of the steps over which the rate rises."
    )
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.8,),
        max_length=20,
        description="Shares of the epochs after which `step` lowers the rate.",
    )
    weight_decay: float = Field(
        1e-4, ge=0, le=10, description="Decoupled with `adamw`; a squared penalty with the others."
    )
    loss: Literal["absolute", "squared", "huber"] = Field(
        "absolute",
        description="Of regressions, of the normalised target; `huber` is squared below 1, absolute beyond.",
    )
    average: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Share of the running mean of the weights kept a step; its network is what is answered with.",
    )
    clip: float = Field(5.0, gt=0, description="Longest gradient.")
    keep: Literal["best", "last"] = Field(
        "best",
        description="Which epoch's weights are kept: those with the least loss of the validation rows, or the last.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Stop after so many epochs without a lower loss of the validation rows; none: never.",
    )
    class_weights: Literal["none", "balanced"] | tuple[Weight, Weight] = Field(
        "none",
        description="Of classifiers: `balanced` lets both classes weigh the same; or a weight for no and for yes.",
    )
    target_weights: tuple[Weight, ...] | None = Field(
        None,
        description="What each target weighs, in their order; none: all alike, however many labels each has.",
    )
