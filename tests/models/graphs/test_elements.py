import numpy as np
import pytest

from models.errors import UnsupportedElement
from models.graphs.elements import check_known, cordero_radii, table, table_sha256

# Of the table that the published weights were trained with.
PUBLISHED = "2528283725e38cbfa49fa7fd7b9feaaa20c694d61ece08500935d9fd0bf80d4a"


def test_the_table_is_the_published_one() -> None:
    assert table().shape == (101, 92)
    assert table_sha256() == PUBLISHED


def test_no_two_elements_of_the_main_groups_look_alike() -> None:
    light = table()[1:57]

    assert len(np.unique(light, axis=0)) == len(light)


def test_radii_are_those_of_cordero() -> None:
    assert cordero_radii()[[1, 6, 55, 96]].tolist() == [0.31, 0.76, 2.44, 1.69]


def test_an_element_without_features_is_named() -> None:
    with pytest.raises(UnsupportedElement, match="Md"):
        check_known(np.array([8, 101], np.uint8))
