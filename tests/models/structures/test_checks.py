import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ImpossibleGeometry
from models.structures.checks import check_cell, closest

CUBE = np.eye(3) * 4.0


def naive(matrix, numbers, fractional) -> float:
    """The smallest ratio of a distance to what it must be, over all pairs and many images."""
    images = np.array(list(np.ndindex(7, 7, 7))) - 3
    least = np.inf
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            apart = (fractional[i] - fractional[j] + images) @ matrix
            limit = 0.3 if 1 in (numbers[i], numbers[j]) else 0.5
            least = min(least, np.linalg.norm(apart, axis=1).min() / limit)
    return float(least)


@settings(max_examples=150)
@given(st.integers(0, 10**6), st.integers(2, 70), st.floats(0.0, 0.8, allow_subnormal=False))
def test_a_pair_too_near_is_found_in_any_cell_and_only_then(seed, count, skew):
    random = np.random.default_rng(seed)
    edge = (count * random.uniform(3, 30)) ** (1 / 3)
    matrix = np.eye(3) * edge * random.uniform(0.6, 1.5, 3)
    matrix += np.tril(random.uniform(-skew, skew, (3, 3)) * edge, -1)
    fractional = random.random((count, 3))
    numbers = random.choice([1, 8, 26], count).astype(np.uint8)
    try:
        thickness = check_cell(matrix, count)
    except ImpossibleGeometry:
        return
    found = closest(matrix, thickness, numbers, fractional)
    expected = naive(matrix, numbers, fractional)
    if abs(expected - 1) > 1e-6:
        assert (found is not None) == (expected < 1)


@pytest.mark.parametrize("edge", [0.55, 0.8, 1.05, 3.0])
@pytest.mark.parametrize("offset", [0.02, 0.98])
def test_thin_cells_are_searched_beyond_the_nearest_image(edge, offset):
    matrix = np.diag([edge, 9.0, 9.0])
    fractional = np.array([[0.0, 0, 0], [offset, 0, 0]])
    numbers = np.array([26, 26], np.uint8)
    found = closest(matrix, check_cell(matrix, 2), numbers, fractional)
    assert found is not None
    assert found[2] == pytest.approx(0.02 * edge)


def test_hydrogen_may_be_nearer():
    fractional = np.array([[0, 0, 0], [0.1, 0, 0]])
    thickness = check_cell(CUBE, 2)
    assert closest(CUBE, thickness, np.array([1, 8], np.uint8), fractional) is None
    assert closest(CUBE, thickness, np.array([6, 8], np.uint8), fractional) is not None


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3) * 0.4,
        np.eye(3) * 1001,
        np.diag([4, 4, 0.0]),
        np.array([[4, 0, 0], [4, 0.05, 0], [0, 0, 4.0]]),
        np.array([[4, 0, 0], [0, 4, 0], [2, 2, 0.1]]),
        np.array([[4, 0, 0], [0, np.nan, 0], [0, 0, 4]]),
        np.array([[4, 0, 0], [0, np.inf, 0], [0, 0, 4]]),
    ],
)
def test_cells_that_no_crystal_has_are_refused(matrix):
    with pytest.raises(ImpossibleGeometry):
        check_cell(matrix, 1)


def test_the_thickness_is_the_distance_of_opposite_faces():
    matrix = np.array([[4, 0, 0], [2, 3, 0], [1, 1, 5.0]])
    normals = np.cross(np.roll(matrix, -1, axis=0), np.roll(matrix, -2, axis=0))
    expected = abs(np.linalg.det(matrix)) / np.linalg.norm(normals, axis=1)
    assert check_cell(matrix, 1) == pytest.approx(expected)
