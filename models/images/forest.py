"""The baseline of image models: a random forest on raw pixels, as in the paper."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.images.collate import collate
from models.images.draw import gaussians
from models.images.picture import Picture

if TYPE_CHECKING:  # the data of a training hold more than pictures
    from models.training.dataset import Dataset, Rows

Floats = NDArray[np.float64]
Images = NDArray[np.float32]

TREES = 100
PIXELS_A_SPLIT = 1 / 3  # of all, tried at each: the rule of regressions, and quicker than all
LEARNED = (
    1_000  # rows; they take some ten seconds, and time grows a little faster than their number
)
PIXELS = {2: 64, 3: 16}  # along a side, at most
GAMMA = 0.4  # Å
TOGETHER = 256


def forest(data: "Dataset", train: "Rows") -> Floats:
    """What a forest that learned from some of the rows of `train` says of all rows.  # (rows, targets)"""
    labels = data.labels.exact(np.arange(len(data)))
    answers = np.full(labels.shape, np.nan)
    for target, column in enumerate(labels.T):
        known = train[np.isfinite(column[train])]
        some = np.random.default_rng(0).permutation(known)[:LEARNED]
        answers[:, target] = grown(data.samples, some, column[some])
    return answers


def grown(pictures: Sequence[Picture], rows: "Rows", values: Floats) -> Floats:
    """Answers for all pictures of the forest that learned the values of these rows.  # (pictures,)"""
    from sklearn.ensemble import RandomForestRegressor

    trees = RandomForestRegressor(TREES, max_features=PIXELS_A_SPLIT, random_state=0)
    trees.fit(images([pictures[row] for row in rows]), values)
    found = []
    for start in range(0, len(pictures), TOGETHER):
        some = [pictures[row] for row in range(start, min(start + TOGETHER, len(pictures)))]
        found.append(trees.predict(images(some)))
    return np.concatenate(found)


def images(pictures: Sequence[Picture]) -> Images:
    """Gaussian images of atoms of all kinds in one, flat.  # (pictures, pixels)"""
    few = min(pictures[0].pixels, PIXELS[pictures[0].dimensions])
    found = []
    with torch.inference_mode():
        for start in range(0, len(pictures), TOGETHER):
            some = [replace(each, pixels=few) for each in pictures[start : start + TOGETHER]]
            batch = collate(some)
            widths = batch.lengths.new_full((len(some),), GAMMA)
            made = gaussians(batch, batch.numbers[:, :, None].float(), widths)
            found.append(made.flatten(1))
    flat: Images = torch.cat(found).numpy()
    return flat
