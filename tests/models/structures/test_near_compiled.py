import numpy as np
import pytest

from models.structures import checks, neighbours
from models.structures.neighbours import Pairs, Surroundings, Wanted

pytestmark = pytest.mark.skipif(
    neighbours.compiled is None, reason="built without a C compiler: there is no second search"
)

WANTED = (
    Wanted(12, 8.0, stretch=1.15),
    Wanted(12, 8.0, beyond=1e-3),
    Wanted(30, 4.0),
    Wanted(1, 9.0, beyond=9.0),
)


def cells() -> list[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    found = [("cubic", 4 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))]
    for n in range(40):
        lattice = np.eye(3) * rng.uniform(4, 12, 3) + rng.uniform(-1.5, 1.5, (3, 3))
        found.append((f"random {n}", lattice, rng.uniform(-2, 2, (rng.integers(1, 30), 3))))
    found.append(("far from home", found[3][1], found[3][2] + 40))
    found.append(("sparse", 25 * np.eye(3), rng.uniform(0, 1, (3, 3))))
    return found


def same(one: Pairs, other: Pairs) -> bool:
    return (
        np.array_equal(one.centre, other.centre)
        and np.array_equal(one.points.site[one.point], other.points.site[other.point])
        and np.array_equal(one.distance, other.distance)
        and np.array_equal(one.last, other.last)
        and np.array_equal(one.points.position[:, one.point], other.points.position[:, other.point])
    )


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize(("name", "lattice", "fractional"), cells())
def test_the_compiled_search_finds_the_same_bits(
    name: str, lattice: np.ndarray, fractional: np.ndarray, wanted: Wanted
) -> None:
    around = Surroundings(lattice, fractional)
    quick = around._near_compiled(wanted)
    assert quick is not None
    assert same(quick, around._near_in_python(wanted))


def test_a_large_cell_is_left_to_the_search_in_python() -> None:
    rng = np.random.default_rng(5)
    around = Surroundings(40 * np.eye(3), rng.uniform(0, 1, (1200, 3)))
    assert around._near_compiled(WANTED[0]) is None
    assert len(around.near(WANTED[0]).last) == 1200


def test_nonsense_is_refused_by_the_compiled_search() -> None:
    assert neighbours.compiled is not None
    with pytest.raises(ValueError, match="expected a 3 x 3 lattice"):
        neighbours.compiled.near(b"12345678", b"", 12, 8.0, 1.0, 0.0, 1.0, 1000)


@pytest.mark.parametrize("seed", range(30))
def test_the_compiled_look_at_distances_agrees_with_the_other(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.eye(3) * rng.uniform(3, 6, 3) + np.tril(rng.uniform(-2, 2, (3, 3)), -1)
    fractional, numbers = rng.random((20, 3)), rng.choice([1, 26], 20).astype(np.uint8)
    thickness = checks.check_cell(matrix, 20)
    found = checks.closest(matrix, thickness, numbers, fractional)
    monkeypatch.setattr(checks, "compiled", None)
    assert checks.closest(matrix, thickness, numbers, fractional) == found
