"""What is to become small: weighted, and blind to labels that are not there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.training.dataset import Labels, Rows, Values
from models.training.normaliser import Normaliser

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.training import TrainingSettings


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """Sums over labels, to be divided by the sum of the weights of the whole batch."""

    labels: Labels
    wanted: Tensor  # (n, targets) what the network should give out; 0 where there is no label
    weights: Tensor  # (n, targets) 0 where there is no label
    kind: str
    classifies: bool

    def __call__(self, outputs: Tensor, rows: Rows) -> Tensor:
        """The weighted sum over the labels of these rows."""
        places = torch.from_numpy(self.labels.places(rows))
        wanted = self.wanted[places].to(outputs.device)
        return (self._each(outputs, wanted, places) * self.weights[places].to(outputs.device)).sum()

    def weight(self, rows: Rows) -> float:
        """The sum of the weights of these rows."""
        return float(self.weights[torch.from_numpy(self.labels.places(rows))].sum())

    def _each(self, outputs: Tensor, wanted: Tensor, places: Tensor) -> Tensor:
        if self.classifies:
            return F.cross_entropy(outputs, wanted[:, 0].long(), reduction="none")[:, None]
        error = outputs - wanted
        if self.labels.at_least is not None:
            bound = torch.from_numpy(self.labels.at_least[places.numpy()]).to(error.device)
            error = torch.where(bound, error.clamp(max=0), error)  # beyond the bound all is well
        if self.kind == "absolute":
            return error.abs()
        if self.kind == "squared":
            return error**2
        return F.huber_loss(error, torch.zeros_like(error), reduction="none")


def loss_for(
    labels: Labels,
    train: Rows,
    normaliser: Normaliser,
    settings: "TrainingSettings",
    *,
    classifies: bool,
) -> Loss:
    """The loss of these labels; the training rows tell what each target or class weighs."""
    values, learned = labels.values, labels.values[labels.places(train)]
    known = np.isfinite(values)
    if classifies:
        weights = known * _of_classes(values, learned, settings)
        wanted = torch.from_numpy(np.nan_to_num(values))
    else:
        weights = known * _of_targets(learned, settings)
        wanted = normaliser.normalised(torch.tensor(np.nan_to_num(values), dtype=torch.float32))
    return Loss(
        labels, wanted, torch.tensor(weights, dtype=torch.float32), settings.loss, classifies
    )


def _of_targets(learned: Values, settings: "TrainingSettings") -> NDArray[np.float64]:
    """A target with few labels weighs as much as one with many.  # (targets,)"""
    counts = np.maximum(1, np.isfinite(learned).sum(0))
    wanted = np.array(settings.target_weights or [1.0] * len(counts))
    weights: Values = wanted / wanted.mean() * counts.mean() / counts
    return weights


def _of_classes(
    values: Values, learned: Values, settings: "TrainingSettings"
) -> NDArray[np.float64]:
    """What each label weighs by its class.  # (n, 1)"""
    if settings.class_weights == "none":
        return np.ones((len(values), 1))
    if settings.class_weights == "balanced":
        counts = np.array([max(1, int((learned == each).sum())) for each in (0, 1)])
        of = counts.sum() / (2 * counts)
    else:
        of = np.array(settings.class_weights)
    return np.asarray(of[np.nan_to_num(values).astype(int)])
