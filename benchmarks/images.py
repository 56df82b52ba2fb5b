"""Images of sheets against a loop over atoms in numpy, on one thread of a CPU.

Run: python -m benchmarks.images. Sixty atoms on 256 × 256 pixels that wrap, as in the paper; both in single precision.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.pairs import compare
from models.generators.sheets import Sheets, sheet
from models.images.collate import collate
from models.images.featurise import featurise
from models.images.picture import Picture
from models.infer import prepare_process
from models.networks.drawing import Drawing
from models.settings.image import ImageSettings

BAR = 20  # times as fast
SHEETS = 32
SETTINGS = ImageSettings(box="cell", pixels=256, gamma=0.2)


def main() -> None:
    """Print the ratio, after a look whether both make the same images."""
    prepare_process()
    wanted = Sheets(defects=("none",))
    pictures = [featurise(sheet(wanted, at), SETTINGS) for at in range(SHEETS)]
    drawing = Drawing(SETTINGS).eval()

    def slow() -> list[NDArray[np.float32]]:
        return [looped(picture) for picture in pictures]

    def quick() -> torch.Tensor:
        with torch.inference_mode():
            made: torch.Tensor = drawing(collate(pictures))
            return made

    apart = np.abs(np.stack(slow()) - quick()[:, 0].numpy()).max()
    print(f"largest difference of the two: {apart:.1e} of {quick().max():.1f}")
    compare("image 256², 60 atoms", slow, quick, SHEETS, rounds=7, bar=BAR)


def looped(picture: Picture) -> NDArray[np.float32]:
    """Eq. 1 of the paper as one writes it down: atom by atom, the nearest copy of each."""
    size, (width, height) = picture.pixels, picture.lengths
    middles = (np.arange(size, dtype=np.float32) + 0.5) / size
    image = np.zeros((size, size), np.float32)
    for number, (x, y) in zip(picture.numbers, picture.fractional, strict=True):
        away_x, away_y = middles[:, None] - x, middles[None, :] - y
        away_x, away_y = away_x - np.rint(away_x), away_y - np.rint(away_y)
        squares = (away_x * width) ** 2 + (away_y * height) ** 2
        image += number * np.exp(-squares / np.float32(2 * SETTINGS.gamma**2))
    return image


if __name__ == "__main__":
    main()
