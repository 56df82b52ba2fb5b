"""Which sites are the adsorbed molecule, and which of them holds on to the slab."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import UnfitStructure
from models.graphs.elements import cordero_radii
from models.structures.cells import Floats, inverse
from models.structures.composition import SYMBOLS
from models.structures.neighbours import Pairs
from models.structures.structure import Structure

VACUUM = 6.0  # Å without any site: the surface is there
BOND = 1.25  # of the sum of the covalent radii
SUNK = 1.5  # Å that a molecule may reach below the outermost site of the slab
MOLECULAR = np.array([1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 52, 53])
NAME_IT = "Name the adsorbate: the index of its site (from 0), of all its sites, or its element."

Sites = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Adsorbate:
    """The molecule, and the site of it that its bonds are counted from."""

    molecule: Sites  # (N,)
    anchor: int


def adsorbate(structure: Structure, pairs: Pairs, named: str | None) -> Adsorbate:
    """The adsorbate that is named, or the one there is.  Raises: UnfitStructure."""
    named = named.strip() if named else ""
    if not named:
        molecule = _found(structure, pairs)
        return Adsorbate(molecule, _anchor(structure, pairs, molecule, molecule))
    if re.fullmatch(r"\d+([\s,]+\d+)*", named):
        return _by_index(structure, pairs, named)
    return _by_element(structure, pairs, named)


def _by_index(structure: Structure, pairs: Pairs, named: str) -> Adsorbate:
    sites = np.array([int(each[:9]) for each in re.split(r"[\s,]+", named)])
    if sites.max() >= len(structure.numbers):
        raise _unfit(
            f"There is no site {sites.max()} in this structure of {len(structure.numbers)} sites.",
            f"indices from 0 to {len(structure.numbers) - 1}", named,
        )  # fmt: skip
    molecule = np.zeros(len(structure.numbers), bool)
    molecule[sites] = True
    if len(sites) > 1:
        return Adsorbate(molecule, _anchor(structure, pairs, molecule, molecule))
    whole = _whole(structure, pairs, molecule)
    return Adsorbate(whole, int(sites[0]))


def _by_element(structure: Structure, pairs: Pairs, named: str) -> Adsorbate:
    number = SYMBOLS.index(named) if named in SYMBOLS[1:] else -1
    chosen = structure.numbers == number
    if not chosen.any():
        raise _unfit(f"{named[:40]!r} is no element of this structure.", "an index or an element of it", named)  # fmt: skip
    components = _outside(structure, pairs)
    holding = [each for each in components if (each & chosen).any()]
    if len(holding) == 1:
        return Adsorbate(holding[0], _anchor(structure, pairs, holding[0], holding[0] & chosen))
    if chosen.sum() == 1:
        return Adsorbate(chosen, int(np.flatnonzero(chosen)[0]))
    raise _unfit(
        f"Which {named} is the adsorbate? There are {chosen.sum()}, in {len(holding)} molecules on the surface.",
        "an element that belongs to one molecule", named,
    )  # fmt: skip


def _found(structure: Structure, pairs: Pairs) -> Sites:
    """The one molecule on the surface."""
    components = _outside(structure, pairs)
    if (
        len(components) > 1
    ):  # of an oxide's own oxygen and a molecule, the molecule is something else
        rest = set(structure.numbers[~np.any(components, axis=0)].tolist())
        strange = [each for each in components if set(structure.numbers[each].tolist()) - rest]
        components = strange or components
    if len(components) != 1:
        there = "no molecule" if not components else f"{len(components)} molecules or loose atoms"
        raise _unfit(
            f"There is {there} on this surface, where one adsorbate was looked for.",
            "a slab with one adsorbed molecule or atom", there,
        )  # fmt: skip
    return components[0]


def _outside(structure: Structure, pairs: Pairs) -> list[Sites]:
    """Molecules that lie on either surface."""
    movable = np.isin(structure.numbers, MOLECULAR)
    height = _heights(structure, ~movable if not movable.all() else movable)
    components = _components(structure, pairs, movable)
    slab = ~movable
    if not slab.any() and components:  # graphene and its like: the slab is the largest molecule
        slab = max(components, key=np.count_nonzero)
        components = [each for each in components if each is not slab]
    if not slab.any():
        return []
    low, high = height[slab].min(), height[slab].max()
    # Site by site: a long molecule may reach beyond the middle of the vacuum.
    outside = (height > high - SUNK) | (height < low + SUNK)
    return [each for each in components if outside[each].all()]


def _whole(structure: Structure, pairs: Pairs, part: Sites) -> Sites:
    """The molecule on the surface that this site belongs to; the site alone when it is none."""
    for each in _outside(structure, pairs):
        if (each & part).any():
            return each
    return part


def _components(structure: Structure, pairs: Pairs, among: Sites) -> list[Sites]:
    """Sites that bonds hold together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    neighbour = pairs.points.site[pairs.point]
    bonds = (_scaled(structure, pairs) < BOND) & among[pairs.centre] & among[neighbour]
    size = len(structure.numbers)
    links = coo_array((bonds[bonds], (pairs.centre[bonds], neighbour[bonds])), (size, size))
    _, label = connected_components(links, directed=False)
    return [label == each for each in np.unique(label[among])]


def _anchor(structure: Structure, pairs: Pairs, molecule: Sites, among: Sites) -> int:
    """The heavy site that touches the slab, in units of the covalent radii."""
    heavy = among & (structure.numbers > 1)
    among = heavy if heavy.any() else among
    neighbour = pairs.points.site[pairs.point]
    contacts = np.flatnonzero(among[pairs.centre] & ~molecule[neighbour])
    if not len(contacts):
        raise _unfit("The adsorbate touches no slab.", "a slab near the adsorbate", "none")
    return int(pairs.centre[contacts[np.argmin(_scaled(structure, pairs)[contacts])]])


def _scaled(structure: Structure, pairs: Pairs) -> Floats:
    """Distances in units of the sum of the covalent radii; an element without one counts as large."""
    radii = np.nan_to_num(cordero_radii(), nan=1.7)[structure.numbers.astype(np.int64)]
    return np.asarray(
        pairs.distance / (radii[pairs.centre] + radii[pairs.points.site[pairs.point]])
    )


def _heights(structure: Structure, slab: Sites) -> Floats:
    """Å along the one axis that crosses the vacuum, from the middle of the vacuum; any axis may be it.

    Only what is surely slab counts: a large molecule may fill the vacuum.
    """
    back, _ = inverse(structure.lattice.tolist())
    spacing = 1 / np.linalg.norm(np.array(back), axis=0)  # of the planes, Å
    wrapped = np.mod(structure.fractional, 1)
    ordered = np.sort(wrapped[slab], axis=0)
    gaps = np.diff(ordered, axis=0, append=ordered[:1] + 1)  # the last: over the cell's border
    widest = gaps.max(0) * spacing
    if np.count_nonzero(widest >= VACUUM) != 1:
        raise UnfitStructure(
            "This is no slab: there is vacuum along "
            f"{'no axis' if widest.max() < VACUUM else 'several axes'} of its cell.",
            expected=f"one axis along which {VACUUM:g} Å are empty",
            got="widest gaps along the axes: " + ", ".join(f"{each:.1f} Å" for each in widest),
            hint="Models of this family read a slab with an adsorbate on it.",
        )
    axis = int(np.argmax(widest))
    after = int(np.argmax(gaps[:, axis]))
    start = ordered[after, axis] + gaps[after, axis] / 2
    return np.asarray(np.mod(wrapped[:, axis] - start, 1) * spacing[axis])


def _unfit(what: str, expected: str, got: str) -> UnfitStructure:
    return UnfitStructure(what, place="adsorbate", expected=expected, got=got[:80], hint=NAME_IT)
