import csv
from collections.abc import Callable

import numpy as np
import pytest
from pymatgen.core import Element

from models.errors import UnsupportedElement
from models.graphs.elements import NUMBERS, check_known, cordero_radii, table, table_sha256

# Of the table that the published weights were trained with.
PUBLISHED = "2528283725e38cbfa49fa7fd7b9feaaa20c694d61ece08500935d9fd0bf80d4a"


def test_the_table_is_the_published_one() -> None:
    assert table().shape == (101, 92)
    assert table_sha256() == PUBLISHED


def test_numbers_stand_beside_the_categories() -> None:
    both = table("numbers")

    assert both.shape == (101, 92 + 22)
    assert np.array_equal(both[:, :92], table())
    assert not both[0].any()
    assert np.allclose(both[1:, 92:].mean(0), 0, atol=1e-6)  # what is not known is the mean
    assert np.isfinite(both).all()
    assert table_sha256("numbers") != table_sha256()


@pytest.mark.parametrize(
    ("column", "known"),
    [
        ("electronegativity", lambda element: element.X),
        ("atomic radius / Å", lambda element: element.atomic_radius),
        ("van der Waals radius / Å", lambda element: element.van_der_waals_radius),
        ("ionic radius / Å", lambda element: element.average_ionic_radius or None),
        ("molar volume / cm³/mol", lambda element: element.molar_volume),
        ("1st ionisation / eV", lambda element: element.ionization_energies[0]),
        ("melting point / K", lambda element: element.melting_point),
        ("lowest oxidation", lambda element: min(element.common_oxidation_states, default=None)),
        ("Mendeleev number", lambda element: element.mendeleev_no),
        ("group", lambda element: element.group),
    ],
)
def test_numbers_are_what_pymatgen_knows(column: str, known: Callable[[Element], object]) -> None:
    with NUMBERS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    for number in (1, 3, 8, 26, 31, 57, 82, 92):
        row, value = rows[number - 1], known(Element.from_Z(number))
        assert row["element"] == Element.from_Z(number).symbol
        if value is None:
            assert row[column] == ""
        else:
            assert float(row[column]) == pytest.approx(float(str(value).split()[0]), rel=1e-4)


def test_no_two_elements_of_the_main_groups_look_alike() -> None:
    light = table()[1:57]

    assert len(np.unique(light, axis=0)) == len(light)


def test_radii_are_those_of_cordero() -> None:
    assert cordero_radii()[[1, 6, 55, 96]].tolist() == [0.31, 0.76, 2.44, 1.69]


def test_an_element_without_features_is_named() -> None:
    with pytest.raises(UnsupportedElement, match="Md"):
        check_known(np.array([8, 101], np.uint8))
