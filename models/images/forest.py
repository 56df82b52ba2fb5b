"""The baseline of image models: a random forest on raw pixels, as in the paper."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.images.collate import collate
from models.images.draw import gaussians
from models.images.picture import Picture

Floats = NDArray[np.float64]
Images = NDArray[np.float32]

TREES = 100  # the paper has 200; half of them err as little, within a hundredth
PIXELS_A_SPLIT = 1 / 3  # of all, tried at each: the rule of regressions, and quicker than all
GAMMA = 0.2  # Å
TOGETHER = 256


def images(pictures: Sequence[Picture], gamma: float = GAMMA) -> Images:
    """Gaussian images, atoms of all kinds in one.  # (pictures, pixels, pixels[, pixels])"""
    found = []
    with torch.inference_mode():
        for start in range(0, len(pictures), TOGETHER):
            batch = collate(pictures[start : start + TOGETHER])
            widths = batch.lengths.new_full((len(batch.numbers),), gamma)
            found.append(gaussians(batch, batch.numbers[:, :, None].float(), widths)[:, 0])
    made: Images = torch.cat(found).numpy()
    return made


def forest(train: Images, values: Floats, test: Images, seed: int = 0) -> Floats:
    """What a forest that learned `values` from the images of `train` says of those of `test`.

    It takes 15 s for 1,000 images of 64 × 64 and grows a little faster than their number: for small data.
    values: (rows,) or (rows, targets), all known  # (tests, …)
    """
    from sklearn.ensemble import RandomForestRegressor

    trees = RandomForestRegressor(TREES, max_features=PIXELS_A_SPLIT, random_state=seed)
    trees.fit(train.reshape(len(train), -1), values)
    answers: Floats = trees.predict(test.reshape(len(test), -1))
    return answers
