"""Symmetry operations: reading `x, y+1/2, -z`, and applying all of them to all sites at once."""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.errors import TooLarge, UnreadableStructure
from models.structures import bounds

Floats = NDArray[np.float64]

_TERM = re.compile(r"([+-]?)(?:(\d+\.?\d*|\.\d+)(?:/(\d+\.?\d*))?)?\*?([xyz])?")
_ALPHABET = re.compile(r"[xyz0-9+\-*/.,]+")
# How far a cell may be from its group's, in parts of its edges: to choose a setting, and at all.
TIGHT, LOOSE = 0.01, 0.05
_EXACT = 1e-14  # squared, of the metric: as most cells are, and checked at once
_NEAR, _FAR = 2e-5, 5e-4  # between these, whether two images are one depends on the metric


class Operations:
    """A list of operations as arrays, with what is known about them as a group."""

    def __init__(self, rotations: Floats, translations: Floats) -> None:
        self.rotations = rotations  # (n, 3, 3)
        self.translations = translations  # (n, 3)
        self.identity = len(rotations) == 1 and bool(
            np.array_equal(rotations[0], np.eye(3)) and not translations.any()
        )
        self._kept: dict[bytes, NDArray[np.bool_]] = {}
        self._table: NDArray[np.int64] | None = None
        self._tried = False
        self._average: Floats | None = None

    def __len__(self) -> int:
        return len(self.rotations)

    def images(self, coordinates: Floats) -> Floats:
        """Every image of every site, unwrapped: (m, n, 3)."""
        terms = self.rotations * coordinates[:, None, None, :]  # (m, n, 3, 3)
        # The order in which pymatgen's matrix product adds: the same bits come out.
        images: Floats = (terms[..., 0] + terms[..., 2]) + (terms[..., 1] + self.translations)
        return images

    def expand(self, coordinates: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """All distinct images, site after site, wrapped to the cell; and the site each comes from.

        Raises: TooLarge.
        """
        m, n = len(coordinates), len(self)
        if m * n > 10 * bounds.SITES:
            raise too_many(m * n)
        if self.identity:
            return coordinates - np.floor(coordinates), np.arange(m)
        images = self.images(coordinates)
        keep = self._distinct(images, coordinates)
        images = images[keep]
        if len(images) > bounds.SITES:
            raise too_many(len(images))
        return images - np.floor(images), np.repeat(np.arange(m), keep.sum(axis=1))

    def _distinct(self, images: Floats, coordinates: Floats) -> NDArray[np.bool_]:
        """(m, n): whether no earlier image of the same site is at the same place."""
        apart = images - coordinates[:, None, :]
        apart = np.abs(apart - np.rint(apart)).max(axis=2)  # (m, n)
        same = apart < bounds.SAME_PLACE
        keep = np.ones(same.shape, bool)
        unclear = ((apart > _NEAR) & (apart < _FAR)).any(axis=1)
        for site in np.flatnonzero((same.sum(axis=1) != 1) | unclear):
            table = None if unclear[site] else self.table()
            if table is None:
                keep[site] = first_of_each(images[site])
                continue
            pattern = same[site].tobytes()
            known = self._kept.get(pattern)
            if known is None:
                # Image i is image j when they differ by an operation that leaves the site in place.
                first = table[:, same[site]].min(axis=1)
                known = self._kept[pattern] = first == np.arange(len(first))
            keep[site] = known
        return keep

    def table(self) -> NDArray[np.int64] | None:
        """`table[i, j]`: which operation is i after j; nothing when the list is no group."""
        if not self._tried:
            self._tried = True
            self._table = _products(self.rotations, self.translations)
        return self._table

    def average(self) -> Floats:
        """(9, 9): what makes of a metric the mean of its images."""
        if self._average is None:
            both = np.einsum("nai,nbj->ijab", self.rotations, self.rotations)
            self._average = both.reshape(9, 9) / len(self)
        return self._average


def misfit(ops: Operations, lattice: Floats) -> float:
    """How far the cell is from one that the operations map onto itself, in parts of its edges."""
    metric = lattice.dot(lattice.T)
    flat = metric.ravel()
    apart = ops.average().dot(flat) - flat
    if apart.dot(apart) <= _EXACT * flat.dot(flat):
        return 0.0
    edges = np.sqrt(metric.diagonal())
    return float((np.abs(apart).reshape(3, 3) / (edges[:, None] * edges)).max())


def no_fit(what: str, lattice: Floats) -> UnreadableStructure:
    """The error for a cell that has not the symmetry that the file gives it."""
    edges = np.sqrt((lattice**2).sum(axis=1))
    cosines = (lattice @ lattice.T / np.outer(edges, edges))[[1, 0, 0], [2, 2, 1]]
    angles = np.degrees(np.arccos(cosines.clip(-1, 1)))
    return UnreadableStructure(
        f"{what} not fit the cell.",
        place="cell",
        expected="edges and angles that the symmetry maps onto themselves",
        got="a, b, c = {:.5g}, {:.5g}, {:.5g} Å; α, β, γ = {:.5g}, {:.5g}, {:.5g}°".format(
            *edges, *angles
        ),
        hint="Correct the cell, or export the file in P 1 with all sites.",
    )


def too_many(count: int) -> TooLarge:
    """The error for a cell of more sites than are read."""
    return TooLarge(
        f"The cell would hold about {count:,} sites.",
        expected=f"at most {bounds.SITES:,} sites a cell",
        got=f"{count:,}",
        hint="Send the primitive cell, or a smaller one.",
    )


def first_of_each(images: Floats) -> NDArray[np.bool_]:
    """Which images (n, 3) are at no earlier kept image's place; one by one, for the unclear cases."""
    apart = images[:, None] - images[None]
    same: NDArray[np.bool_] = np.abs(apart - np.rint(apart)).max(axis=2) < bounds.SAME_PLACE
    keep = np.zeros(len(images), bool)
    for i in range(len(images)):
        keep[i] = not (same[i] & keep).any()
    return keep


def _products(rotations: Floats, translations: Floats) -> NDArray[np.int64] | None:
    steps = translations * 24
    if np.abs(rotations).max() > 1 or np.abs(steps - np.rint(steps)).max() > 1e-6:
        return None
    rotation = rotations.astype(np.int64)
    step = np.rint(steps).astype(np.int64) % 24
    weights = 3 ** np.arange(9).reshape(3, 3)
    place = 24 ** np.arange(3)
    keys = ((rotation + 1) * weights).sum(axis=(1, 2)) * 24**3 + step @ place
    order = np.argsort(keys, kind="stable")
    if (np.diff(keys[order]) == 0).any():
        return None
    product = np.einsum("iab,jbc->ijac", rotation, rotation)
    if np.abs(product).max() > 1:
        return None
    shift = (np.einsum("iab,jb->ija", rotation, step) + step[:, None]) % 24
    wanted = ((product + 1) * weights).sum(axis=(2, 3)) * 24**3 + shift @ place
    at = np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)
    found: NDArray[np.int64] = order[at]
    return found if np.array_equal(keys[found], wanted) else None


IDENTITY = Operations(np.eye(3)[None], np.zeros((1, 3)))


@lru_cache(maxsize=256)
def operations(texts: tuple[str, ...]) -> Operations:
    """These operations, in this order.

    Raises: TooLarge, UnreadableStructure naming the operation.
    """
    if len(texts) > bounds.OPERATIONS:
        raise TooLarge(
            f"The file lists {len(texts):,} symmetry operations.",
            expected=f"at most {bounds.OPERATIONS}",
            got=f"{len(texts):,}",
        )
    read = [operation(text) for text in texts]
    unique = list({(r.tobytes(), (t % 1).tobytes()): (r, t) for r, t in read}.values())
    made = Operations(np.array([r for r, _ in unique]), np.array([t for _, t in unique]))
    return IDENTITY if made.identity else made


@lru_cache(maxsize=4096)  # groups share most of theirs
def operation(text: str) -> tuple[Floats, Floats]:
    """Rotation (3, 3) and translation (3,) of `-x+1/2, y, z`.

    Raises: UnreadableStructure.
    """
    plain = "".join(text.split()).lower().strip("()'\";")
    if len(plain) > bounds.OPERATION_CHARS:
        raise _bad(text, f"at most {bounds.OPERATION_CHARS} characters")
    parts = plain.split(",")
    if len(parts) != 3 or not _ALPHABET.fullmatch(plain):
        raise _bad(text, "three parts of x, y, z and numbers, like `-x+1/2, y, z`")
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    for row, part in enumerate(parts):
        _component(text, part, rotation[row], translation, row)
    whole = np.array_equal(rotation, np.rint(rotation)) and np.abs(rotation).max() <= 20
    if not whole or abs(abs(np.linalg.det(rotation)) - 1) > 1e-6:
        raise _bad(text, "an operation that keeps volumes (determinant 1 or -1)")
    if np.abs(translation).max() > 100:
        raise _bad(text, "a translation of less than 100 cells")
    rotation.setflags(write=False)
    translation.setflags(write=False)
    return rotation, translation


def _component(text: str, part: str, row: Floats, translation: Floats, index: int) -> None:
    at = 0
    while at < len(part):
        term = _TERM.match(part, at)
        if term is None or term.end() == at or (term[2] is None and term[4] is None):
            raise _bad(text, "terms like `x`, `-y` or `+1/2`")
        factor = float(term[2]) if term[2] else 1.0
        divisor = float(term[3]) if term[3] else 1.0
        if divisor == 0 or (at > 0 and not term[1]):
            raise _bad(text, "terms joined by + or -, no division by zero")
        factor = (-1.0 if term[1] == "-" else 1.0) * (factor / divisor if term[3] else factor)
        if term[4]:
            row["xyz".index(term[4])] += factor
        else:
            translation[index] += _ideal(factor) if term[3] is None else factor
        at = term.end()


def _ideal(shift: float) -> float:
    """0.3333 is a third: decimals near a multiple of 1/24 are that."""
    for divisor in (1, 2, 3, 4, 6, 8, 12, 24):
        near = round(shift * divisor)
        if abs(shift - near / divisor) < 5e-4:
            return near / divisor
    return shift


def _bad(text: str, expected: str) -> UnreadableStructure:
    shown = text.strip()
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return UnreadableStructure(
        "A symmetry operation cannot be read.",
        place="symmetry operations",
        expected=expected,
        got=shown,
    )
