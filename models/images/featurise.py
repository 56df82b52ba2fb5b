"""A structure to the box that is drawn."""

import numpy as np
from numpy.typing import NDArray

from models.errors import TooLarge, UnfitStructure, UnsupportedElement
from models.images.picture import Picture
from models.images.supercell import CELLS, orthogonal, repeated
from models.settings.image import ImageSettings
from models.structures import bounds
from models.structures.composition import NUMBERS, SYMBOLS
from models.structures.structure import Structure

Floats = NDArray[np.float64]

VACUUM = 5.0  # Å, the least empty space across a sheet
AROUND = 4.0  # Å, the least empty space around a molecule
FLAT = 0.1  # Å
AXES = "abc"
RESAMPLED = (
    "The cell is not orthogonal: the image shows an orthogonal one of {cells} such cells. A value that grows with "
    "the number of atoms is that of the image."
)
HEIGHTS = "The structure is not flat; this model's image does not show heights."


def featurise(structure: Structure, settings: ImageSettings) -> Picture:
    """The box that a model with these settings draws.

    Raises: UnfitStructure, UnsupportedElement, TooLarge.
    """
    _check_species(structure.numbers, settings)
    make = _cell if settings.box == "cell" else _molecule
    return make(structure, settings)


def notes(picture: Picture) -> tuple[str, ...]:
    """What the sender should know of an answer made from this picture."""
    found = [RESAMPLED.format(cells=picture.cells)] if picture.cells > 1 else []
    return (*found, HEIGHTS) if picture.thick else tuple(found)


def _molecule(structure: Structure, settings: ImageSettings) -> Picture:
    size = settings.dimensions
    gaps, whole = _unwrapped(structure)
    if (gaps < AROUND).any():
        axis = int(np.argmin(gaps))
        raise UnfitStructure(
            f"This is no molecule: along {AXES[axis]} there is no empty space around it.",
            place=f"axis {AXES[axis]}",
            expected=f"at least {AROUND:g} Å of empty space",
            got=f"{gaps[axis]:.2f} Å",
            hint="This model reads molecules in a box; sheets and crystals need a model whose box is the cell.",
        )
    fractional = whole if settings.centred else structure.fractional
    places = (fractional @ structure.lattice)[:, :size]
    if settings.centred:
        places += settings.side / 2 - places.mean(0)
    if places.min() < 0 or places.max() > settings.side:
        raise _outside(places, settings)
    thick = size == 2 and np.ptp((whole @ structure.lattice)[:, 2]) > FLAT
    return Picture(
        structure.numbers,
        (places / settings.side).astype(np.float32),
        np.full(size, settings.side, np.float32),
        settings.pixels,
        periodic=False,
        thick=bool(thick),
    )


def _cell(structure: Structure, settings: ImageSettings) -> Picture:
    vectors, fractional, thick = structure.lattice, structure.fractional, False
    if settings.dimensions == 2:
        vectors, fractional, thick = _plane(structure)
    cell = orthogonal(vectors)
    if cell is None:
        raise _skewed(vectors)
    cells = round(abs(np.linalg.det(cell.astype(float))))
    if cells * len(fractional) > bounds.SITES:
        raise TooLarge(
            "The orthogonal cell has too many sites.",
            expected=f"at most {bounds.SITES}",
            got=str(cells * len(fractional)),
        )
    return Picture(
        np.tile(structure.numbers, cells),
        (repeated(fractional, cell) % 1.0).astype(np.float32),
        np.linalg.norm(cell @ vectors, axis=1).astype(np.float32),
        settings.pixels,
        periodic=True,
        cells=cells,
        thick=thick,
    )


def _plane(structure: Structure) -> tuple[Floats, Floats, bool]:
    """The sheet's two vectors, its sites seen from above, and whether it is thick."""
    gaps, whole = _unwrapped(structure)
    across = 2 - int(np.argmax(gaps[::-1]))  # of equals the last: sheets lie in a and b
    if gaps[across] < VACUUM:
        raise UnfitStructure(
            "This is no sheet: there is no vacuum along any axis.",
            expected=f"at least {VACUUM:g} Å of empty space along one axis",
            got=", ".join(
                f"{gap:.2f} Å along {axis}" for axis, gap in zip(AXES, gaps, strict=True)
            ),
            hint="A 2D image shows a sheet from above; crystals need a 3D model.",
        )
    plane = [axis for axis in range(3) if axis != across]
    vectors = structure.lattice[plane]
    # What the third vector adds along the sheet, in the two others: it need not stand upright.
    slope = np.linalg.lstsq(vectors.T, structure.lattice[across], rcond=None)[0]
    heights = whole[:, across] - whole[:, across].mean()
    fractional = structure.fractional[:, plane] + heights[:, None] * slope
    thick = np.ptp(heights) * _spacings(structure.lattice)[across] > FLAT
    return _flat(vectors), fractional, bool(thick)


def _flat(vectors: Floats) -> Floats:
    """Two vectors of space as vectors of the plane that they span.  # (2, 2)"""
    first, second = vectors
    length = np.linalg.norm(first)
    along = first @ second / length
    return np.array([[length, 0.0], [along, np.sqrt(second @ second - along**2)]])


def _unwrapped(structure: Structure) -> tuple[Floats, Floats]:
    """The largest empty space along each axis in Å, and coordinates that are not cut but there."""
    wrapped = structure.fractional % 1.0
    ordered = np.sort(wrapped, axis=0)
    gaps = np.diff(ordered, axis=0, append=ordered[:1] + 1)
    widest = gaps.argmax(0)
    starts = np.take_along_axis(ordered, (widest[None] + 1) % len(ordered), 0)[0]
    whole = (wrapped - starts) % 1.0 + starts
    return gaps.max(0) * _spacings(structure.lattice), whole


def _spacings(lattice: Floats) -> Floats:
    """Distances of opposite faces.  # (3,) Å"""
    spacings: Floats = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    return spacings


def _check_species(numbers: NDArray[np.uint8], settings: ImageSettings) -> None:
    if not settings.species:
        return
    known = [NUMBERS[each] for each in settings.species]
    strange = np.flatnonzero(~np.isin(numbers, known))
    if len(strange):
        site, symbol = int(strange[0]), SYMBOLS[numbers[strange[0]]]
        raise UnsupportedElement(
            f"This model's image has no place for {symbol}.",
            place=f"site {site} ({symbol})",
            expected="one of " + ", ".join(settings.species),
            got=symbol,
        )


def _outside(places: Floats, settings: ImageSettings) -> UnfitStructure:
    site = int(np.argmax(np.maximum(-places, places - settings.side).max(1)))
    where = ", ".join(f"{each:.2f}" for each in places[site])
    extent = np.ptp(places, axis=0).max()
    fits = extent < settings.side and not settings.centred
    return UnfitStructure(
        "The molecule does not lie within the box of this model's images."
        if fits
        else "The molecule is larger than the box of this model's images.",
        place=f"site {site}",
        expected=f"coordinates from 0 to {settings.side:g} Å",
        got=f"({where}) Å, {extent:.2f} Å from end to end",
        hint="Move the molecule into the box." if fits else "A model with a larger side is needed.",
    )


def _skewed(vectors: Floats) -> UnfitStructure:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    angles = ", ".join(f"{np.degrees(np.arccos(each)):.2f}°" for each in cosines)
    return UnfitStructure(
        f"The cell is skewed, and no orthogonal one of at most {CELLS} cells exists.",
        place="cell",
        expected="right angles",
        got=angles,
        hint="Send an orthogonal supercell; an image has no skewed axes.",
    )
