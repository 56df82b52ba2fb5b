"""Sites that are shared, partly empty or listed twice: merged, refused, or settled by majority."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import DisorderedStructure, ImpossibleGeometry, UnreadableStructure
from models.structures import bounds
from models.structures.checks import check_cell, closest, overlap
from models.structures.cif_sites import named_sites
from models.structures.composition import SYMBOLS, VACANCY
from models.structures.draft import Disorder, ReadOptions
from models.structures.sites import Reading, Sites, sorted_sites
from models.structures.symmetry import Floats, Operations

_ROUNDED = 0.15  # Å; images of one site that are this near are one site with rounded coordinates
_SPLIT = 0.9  # Å; two partly filled sites this near are alternatives
_OVERFULL = 0.05  # occupancies refined to a little more than 1 are 1


@dataclass(slots=True)
class Place:
    """One position of the asymmetric unit with all that sits on it."""

    coordinates: Floats  # (3,)
    labels: list[str]
    species: dict[int, float]
    state: str
    settled: int = VACANCY

    def total(self) -> float:
        """How much of the place is filled."""
        return sum(share for kind, share in self.species.items() if kind != VACANCY)

    def describe(self) -> str:
        """`Fe1: Fe 0.5, Co 0.5`."""
        shares = [f"{SYMBOLS[z]} {share:g}" for z, share in self.species.items() if z != VACANCY]
        empty = 1 - self.total()
        if empty > bounds.FULL:
            shares.append(f"empty {empty:.3g}")
        return f"{'/'.join(dict.fromkeys(self.labels))}: {', '.join(shares)}"


def resolved(reading: Reading, ops: Operations) -> tuple[NDArray[np.uint8], Floats, bool]:
    """All sites of the cell, one species each; and whether nothing was left out.

    Raises: DisorderedStructure, ImpossibleGeometry, UnreadableStructure.
    """
    listed = _one_part(reading)
    places = _places(listed, ops, reading.warnings)
    kept = settled(places, reading.options, reading.warnings)
    partial = any(place.total() < 1 - bounds.FULL or len(place.species) > 1 for place in kept)
    numbers, fractional = _expanded(kept, ops, reading, partial=partial)
    whole = not partial and listed is reading.sites and len(kept) == len(places)
    return numbers, fractional, whole


def settled(places: list[Place], options: ReadOptions, warnings: list[str]) -> list[Place]:
    """The places that hold an atom, each with its one species.

    Raises: DisorderedStructure, UnreadableStructure.
    """
    partial = [place for place in places if not _settle(place)]
    if partial and options.disorder != Disorder.MAJORITY:
        raise disordered([place.describe() for place in partial])
    _by_majority(partial, warnings)
    kept = [place for place in places if place.settled != VACANCY]
    empty = [place.labels[0] for place in places if place.total() == 0]
    if empty:
        warnings.append(f"{named_sites(empty)}: a vacancy, left out.")
    if not kept:
        raise UnreadableStructure("Every site is empty.", place="sites")
    return kept


def disordered(sites: Sequence[str]) -> DisorderedStructure:
    """The error that names the shared sites."""
    shown = "; ".join(sites[:5]) + (f"; and {len(sites) - 5} more" if len(sites) > 5 else "")
    return DisorderedStructure(
        f"{len(sites)} site{'s are' if len(sites) > 1 else ' is'} shared or partly empty ({shown}).",
        place=sites[0].split(":")[0],
        expected="one element on each site, occupancy 1",
        got=shown,
        hint="Send disorder=majority to take the most abundant species of each site, "
        "or an ordered approximant.",
    )


def _one_part(reading: Reading) -> Sites:
    """The sites without the less populated alternatives of each disorder assembly."""
    listed = reading.sites
    if listed.parts is None:
        return listed
    shares = listed.occupancy or [1.0] * len(listed.labels)
    assemblies: dict[str, dict[str, list[float]]] = {}
    for (assembly, group), share in zip(listed.parts, shares, strict=True):
        if group:
            assemblies.setdefault(assembly, {}).setdefault(group, []).append(share)
    rivals = {name: groups for name, groups in assemblies.items() if len(groups) > 1}
    if not rivals:
        return listed
    if reading.options.disorder != Disorder.MAJORITY:
        sites = [
            f"{label}: group {group}, occupancy {share:g}"
            for label, (name, group), share in zip(listed.labels, listed.parts, shares, strict=True)
            if name in rivals and group
        ]
        raise disordered(sites)
    best = {
        name: max(sorted(groups), key=lambda group: sum(groups[group]) / len(groups[group]))
        for name, groups in rivals.items()
    }
    chosen = [
        i
        for i, (name, group) in enumerate(listed.parts)
        if not group or best.get(name, group) == group
    ]
    dropped = [label for i, label in enumerate(listed.labels) if i not in set(chosen)]
    reading.warnings.append(
        f"{named_sites(dropped)}: left out, of a less populated disorder group."
    )
    full = [1.0 if listed.parts[i][1] and listed.parts[i][0] in best else shares[i] for i in chosen]
    return Sites(
        labels=[listed.labels[i] for i in chosen],
        numbers=[listed.numbers[i] for i in chosen],
        coordinates=listed.coordinates[chosen],
        occupancy=full,
        states=[listed.states[i] for i in chosen] if listed.states else None,
    )


def _places(listed: Sites, ops: Operations, warnings: list[str]) -> list[Place]:
    """Rows at one position, by symmetry or by being listed twice, become one place."""
    images = ops.images(listed.coordinates)  # (m, n, 3)
    shares = listed.occupancy or [1.0] * len(listed.labels)
    places: list[Place] = []
    at = np.empty_like(listed.coordinates)
    twice: list[str] = []
    for row, label in enumerate(listed.labels):
        kind = listed.numbers[row]
        apart = images[row][:, None, :] - at[None, : len(places), :]
        same = (np.abs(apart - np.rint(apart)) < bounds.SAME_PLACE).all(axis=2)
        if same.any():
            place = places[int(np.argmax(same)) % len(places)]
            twice.extend(_merge(place, label, kind, shares[row]))
            continue
        at[len(places)] = listed.coordinates[row]
        state = listed.states[row] if listed.states else SYMBOLS[kind]
        places.append(Place(listed.coordinates[row], [label], {kind: shares[row]}, state))
    if twice:
        warnings.append(f"{named_sites(twice)}: the same place as an earlier site, counted once.")
    return places


def _merge(place: Place, label: str, kind: int, share: float) -> list[str]:
    known = place.species.get(kind)
    full = 1 - bounds.FULL
    if known is not None and known >= full and share >= full:
        return [label]
    if known is None and share >= full and place.total() >= full and kind != VACANCY:
        raise ImpossibleGeometry(
            f"Sites {place.labels[0]} and {label} are at the same place and both full.",
            place=f"sites {place.labels[0]} and {label}",
            expected="one atom a place, or occupancies that sum to 1",
        )
    place.labels.append(label)
    place.species[kind] = (known or 0.0) + share
    return []


def _settle(place: Place) -> bool:
    """Whether one species fills the place, within rounding.

    Raises: UnreadableStructure on more than a full place.
    """
    total = place.total()
    if total > 1 + _OVERFULL:
        raise UnreadableStructure(
            f"The occupancies of {'/'.join(place.labels)} sum to {total:g}.",
            place=f"site {place.labels[0]}",
            expected="at most 1",
            got=f"{total:g}",
        )
    real = [kind for kind in place.species if kind != VACANCY]
    if not real:
        return place.species[VACANCY] >= 1 - bounds.FULL
    if len(real) > 1 or total < 1 - bounds.FULL:
        return False
    place.settled = real[0]
    return True


def _by_majority(partial: list[Place], warnings: list[str]) -> None:
    """Settle each shared place on its most abundant species; mostly empty ones stay empty."""
    told = [_majority(place) for place in partial]
    warnings.extend(told[:50])
    if len(told) > 50:
        warnings.append(f"And {len(told) - 50} more disordered sites, settled in the same way.")


def _majority(place: Place) -> str:
    empty = 1 - place.total()
    shares = {z: share for z, share in place.species.items() if z != VACANCY}
    most = max(shares.values())
    if empty > most + 1e-6:
        return f"Disordered site {place.describe()}: mostly empty, left out."
    tied = sorted(z for z, share in shares.items() if abs(share - most) < 1e-6)
    place.settled = tied[0]
    why = "the most abundant"
    if len(tied) > 1:
        why = "the lightest of equals"
    elif abs(empty - most) < 1e-6:
        why = "as often there as not"
    return f"Disordered site {place.describe()}: taken as {SYMBOLS[tied[0]]}, {why}."


def _expanded(
    kept: list[Place], ops: Operations, reading: Reading, *, partial: bool
) -> tuple[NDArray[np.uint8], Floats]:
    listed = Sites(
        labels=[place.labels[0] for place in kept],
        numbers=[place.settled for place in kept],
        coordinates=np.array([place.coordinates for place in kept]),
        states=[place.state for place in kept] if reading.sites.states and not partial else None,
    )
    fractional, source = ops.expand(listed.coordinates)
    numbers = np.array(listed.numbers, np.uint8)[source]
    thickness = check_cell(reading.lattice, len(numbers))
    pair = closest(reading.lattice, thickness, numbers, fractional)
    if pair:
        keep = _rounded(reading, fractional, source, listed.labels)
        fractional, source, numbers = fractional[keep], source[keep], numbers[keep]
    if partial:
        keep = _alternatives(reading, fractional, source, kept)
        fractional, source, numbers = fractional[keep], source[keep], numbers[keep]
    order = sorted_sites(listed, numbers, source)
    if order is not None:
        numbers, fractional = numbers[order], fractional[order]
    pair = closest(reading.lattice, thickness, numbers, fractional)
    if pair:
        raise overlap(numbers, pair)
    return numbers, fractional


def _near(reading: Reading, first: Floats, others: Floats) -> Floats:
    apart = others - first
    distances: Floats = np.linalg.norm((apart - np.rint(apart)) @ reading.lattice, axis=1)
    return distances


def _rounded(
    reading: Reading, fractional: Floats, source: NDArray[np.int64], labels: list[str]
) -> NDArray[np.bool_]:
    """Without images of a special position that miss each other by the file's rounding."""
    keep = np.ones(len(source), bool)
    merged: list[str] = []
    for site, label in enumerate(labels):
        rows = np.flatnonzero(source == site)
        for at, row in enumerate(rows[1:], 1):
            before = rows[:at][keep[rows[:at]]]
            if (_near(reading, fractional[row], fractional[before]) < _ROUNDED).any():
                keep[row] = False
        if not keep[rows].all():
            merged.append(label)
    if merged:
        reading.warnings.append(
            f"{named_sites(merged)}: images within {_ROUNDED} Å of each other were merged; "
            "the coordinates are rounded."
        )
    return keep


def _alternatives(
    reading: Reading, fractional: Floats, source: NDArray[np.int64], kept: list[Place]
) -> NDArray[np.bool_]:
    """Of partly filled sites too near to be there at once, the most populated one."""
    shares = np.array([place.species[place.settled] for place in kept])[source]
    rows = [row for row in np.argsort(-shares, kind="stable") if shares[row] < 1 - bounds.FULL]
    keep = np.ones(len(source), bool)
    taken: list[int] = []
    left: list[str] = []
    for row in rows:
        if taken and (_near(reading, fractional[row], fractional[taken]) < _SPLIT).any():
            keep[row] = False
            left.append(kept[source[row]].labels[0])
        else:
            taken.append(int(row))
    if left:
        reading.warnings.append(
            f"{named_sites(list(dict.fromkeys(left)))}: {len(left)} positions left out, "
            f"nearer than {_SPLIT} Å to another half-filled one."
        )
    return keep
