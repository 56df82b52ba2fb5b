"""The learning rate as a function of how far the training is: nothing to keep, nothing to restore."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.training import TrainingSettings

START, END = 1 / 25, 1 / 250_000  # of a cycle, beside its highest rate
DROP = 0.1
MOMENTUM = 0.9
CYCLED = (0.95, 0.85)  # momentum at the lowest and at the highest rate of a cycle


def rate(settings: "TrainingSettings", done: float) -> float:
    """The learning rate when this share of the steps is done."""
    highest, warm_up = settings.learning_rate, settings.warm_up
    if settings.schedule == "one-cycle":
        rising = done < warm_up
        return highest * _between(START if rising else END, 1.0, _height(done, warm_up))
    if settings.schedule == "step":
        highest *= DROP ** sum(done >= drop for drop in settings.drops)
    return highest * min(1.0, (done + 1e-3) / warm_up) if done < warm_up else highest


def momentum(settings: "TrainingSettings", done: float) -> float:
    """The share of the last gradients kept; low where the rate is high."""
    if settings.schedule != "one-cycle":
        return MOMENTUM
    return _between(*CYCLED, _height(done, settings.warm_up))


def _height(done: float, top: float) -> float:
    """Cosine from 0 up to 1 at the top, and down to 0 at the end."""
    way = done / top if done < top else (1 - done) / (1 - top)
    return (1 - math.cos(math.pi * way)) / 2


def _between(low: float, high: float, height: float) -> float:
    return low + (high - low) * height
