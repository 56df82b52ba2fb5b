"""Figures that tell how good answers are; rows without a label do not count."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def regression(answers: Values, labels: Values) -> dict[str, float]:
    """Mean absolute error, root mean square error, coefficient of determination, by one target."""
    known = np.isfinite(labels)
    if not known.any():
        return {}
    error, labels = answers[known] - labels[known], labels[known]
    spread = float(((labels - labels.mean()) ** 2).sum())
    figures = {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
    return figures | ({"r2": 1 - float((error**2).sum()) / spread} if spread else {})


def classification(probabilities: Values, labels: Values) -> dict[str, float]:
    """Area under the ROC curve, and accuracy at a probability of one half."""
    known = np.isfinite(labels)
    p, yes = probabilities[known], labels[known] > 0.5
    if not len(p):
        return {}
    figures = {"accuracy": float(((p > 0.5) == yes).mean())}
    n, no = int(yes.sum()), int((~yes).sum())
    if n and no:
        _, place, equals = np.unique(p, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(equals) - (equals - 1) / 2)[
            place
        ]  # equals share the mean of their ranks
        figures["auc"] = float((ranks[yes].sum() - n * (n + 1) / 2) / (n * no))
    return figures
