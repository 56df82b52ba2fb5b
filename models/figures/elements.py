"""What a model says of each element, on the mean over the sites of its training structures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.figures.perovskites import OTHER, A, B, are_perovskites, roles
from models.figures.rounding import rounded
from models.figures.told import LARGEST, ElementMean, Elements, ElementTable, Kind
from models.structures.composition import SYMBOLS

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """The sites of some structures, one after the other, and what a model says of each."""

    kind: Kind
    numbers: NDArray[np.uint8]  # (sites,)
    values: Values  # (sites, targets) in the unit of the property
    roles: NDArray[np.int8] | None  # (sites,) none where they are no perovskites
    structures: int
    perovskites: int = 0


def sites_of(kind: Kind, graphs: Sequence[Any], values: Sequence[Values]) -> Sites:
    """From what is said of each structure's sites.  # values: (sites, targets) each"""
    found = [roles(graph) for graph in graphs]
    known = sum(each is not None for each in found)
    each_site = None
    if are_perovskites(found):
        plain = [np.full(graph.n_sites, OTHER, np.int8) for graph in graphs]
        each_site = np.concatenate(
            [one if one is not None else other for one, other in zip(found, plain, strict=True)]
        )
    return Sites(
        kind,
        np.concatenate([graph.numbers for graph in graphs]),
        np.concatenate(values),
        each_site,
        len(graphs),
        known if each_site is not None else 0,
    )


def tables(sites: Sites) -> Elements:
    """One of all sites; of perovskites also one of A and one of B."""
    targets = []
    for values in sites.values.T:
        found = [ElementTable(site="any", elements=_means(sites.numbers, values))]
        if sites.roles is not None:
            for name, role in (("A", A), ("B", B)):
                some = sites.roles == role
                elements = _means(sites.numbers[some], values[some])
                found.append(ElementTable(site=name, elements=elements))
        targets.append(tuple(found))
    return Elements(
        kind=sites.kind,
        structures=sites.structures,
        perovskites=sites.perovskites,
        targets=tuple(targets),
    )


def _means(numbers: NDArray[np.uint8], values: Values) -> tuple[ElementMean, ...]:
    found = []
    for number in np.unique(numbers).tolist():
        some = values[numbers == number]
        some = some[np.abs(some) < LARGEST / 4]
        if len(some):
            mean, std = float(some.mean()), float(some.std(ddof=1)) if len(some) > 1 else None
            found.append(
                ElementMean(
                    element=SYMBOLS[number],
                    mean=rounded(mean),
                    std=None if std is None else rounded(std),
                    n=len(some),
                )
            )
    return tuple(found)
