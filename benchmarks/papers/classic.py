"""The image paper's classic methods, on raw pixels, as its section 3.1 describes them."""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.papers.run import Method
from models.families.recipes import Settings
from models.networks.drawing import Drawing
from models.settings.image import ImageSettings
from models.training.dataset import Dataset, Rows
from models.training.split import Split

Values = NDArray[np.float64]
TOGETHER = 256
TREES = 200
PIXELS_A_SPLIT = (
    1 / 3
)  # of all, tried at each; the paper tries all, which takes three times as long


def told(method: Method, data: Dataset, parts: Split, settings: Settings) -> Values:
    """What the method says of the test rows.  # (rows,)"""
    labels = data.labels.values[:, 0]
    mean, deviation = labels[parts.train].mean(), labels[parts.train].std()
    model = _model(method)
    image = cast("ImageSettings", settings.input)
    # Labels of mean 0 and deviation 1: of the paper's methods the ridge would have to learn the mean otherwise.
    model.fit(pixels(data, parts.train, image), (labels[parts.train] - mean) / deviation)
    found: Values = model.predict(pixels(data, parts.test, image)) * deviation + mean
    return found


def pixels(data: Dataset, rows: Rows, settings: ImageSettings) -> NDArray[np.float32]:
    """Flat images.  # (rows, pixels)"""
    drawing, found = Drawing(settings).eval(), []
    with torch.inference_mode():
        for some in np.array_split(rows, -(-len(rows) // TOGETHER)):
            batch, _ = data.batch(some)
            found.append(drawing(batch).flatten(1).numpy())
    return np.concatenate(found)


def _model(method: Method) -> Any:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.neural_network import MLPRegressor

    if method == "random forest":
        return RandomForestRegressor(TREES, max_features=PIXELS_A_SPLIT, random_state=0)
    if method == "perceptron":
        return MLPRegressor(
            hidden_layer_sizes=(10, 10), max_iter=200, learning_rate_init=1e-3, random_state=0
        )
    if method == "kernel ridge, linear":
        return KernelRidge(alpha=1, kernel="linear")
    return KernelRidge(alpha=1, kernel="rbf", gamma=1)
