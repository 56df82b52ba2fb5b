from collections.abc import Callable

import pytest
import torch

from models.errors import InputError
from models.structures.parse import ReadOptions, parse
from models.structures.structure import Structure

Reader = Callable[..., list[Structure | InputError]]


@pytest.fixture(autouse=True)
def subnormals() -> None:
    """A test that computed before may have done without the smallest numbers; here some are drawn."""
    torch.set_flush_denormal(False)


@pytest.fixture
def read() -> Reader:
    """Parse bytes or text under a name, with options by keyword."""

    def reader(data: bytes | str, name: str = "a.cif", kind: str | None = None, **options: object):
        raw = data.encode() if isinstance(data, str) else data
        return parse(raw, name, kind, ReadOptions(**options))

    return reader


@pytest.fixture
def one(read: Reader) -> Callable[..., Structure]:
    """The only structure of a file that must be read."""

    def reader(*arguments: object, **options: object) -> Structure:
        (found,) = read(*arguments, **options)
        assert isinstance(found, Structure), found.as_dict()
        return found

    return reader


@pytest.fixture
def fault(read: Reader) -> Callable[..., InputError]:
    """The only error of a file that must be refused."""

    def reader(*arguments: object, **options: object) -> InputError:
        (found,) = read(*arguments, **options)
        assert isinstance(found, InputError), found
        assert found.file, "an error names its file"
        return found

    return reader


CUBE = (
    "_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n"
    "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
)
P1 = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n"
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")


@pytest.fixture
def cif() -> Callable[..., str]:
    """A CIF of these rows of sites; edge, symmetry, columns and header by keyword."""

    def write(
        *rows: str,
        edge: float | str = 4,
        symmetry: str = P1,
        columns: tuple[str, ...] = (),
        head: str = "data_x\n",
    ) -> str:
        rows = rows or ("Cs1 Cs 0 0 0", "Cl1 Cl 0.5 0.5 0.5")
        extra = ("occupancy",) if len(rows[0].split()) == 6 else ()
        tags = "".join(f"_atom_site_{tag}\n" for tag in columns or COLUMNS + extra)
        cell = CUBE.replace(" 4\n", f" {edge}\n")
        return head + cell + symmetry + "loop_\n" + tags + "\n".join(rows) + "\n"

    return write
