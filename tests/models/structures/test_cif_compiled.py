import random
from pathlib import Path

import numpy as np
import pytest

from models.errors import InputError
from models.structures import cif_ordinary, cif_text
from models.structures.cif import structure
from models.structures.parse import ReadOptions
from models.structures.structure import Structure

pytestmark = pytest.mark.skipif(
    cif_ordinary.compiled is None, reason="built without a C compiler: there is no short way"
)

FILES = sorted((Path(__file__).parents[2] / "data" / "structures" / "cif").glob("*.cif"))
OPTIONS = ReadOptions()
WORDS = (b" ", b"\n", b"\t", b"'", b'"', b";", b"\n;", b"#", b"_", b"loop_", b"data_x ", b"?", b".", b"1", b"-",
         b"nan", b"1e5", b"0.3333", b"H", b"_atom_site_occupancy", b"_cell_length_a 4\n", b"\r", b"\xff", b"",
         b"(3)", b"99999999999999999999", b"x,y,z", b"save_", b"global_\n", b"$a", b"_atom_site.fract_x")  # fmt: skip


def short(data: bytes) -> object:
    """What the short way makes of it: arrays and warnings, an error, or nothing."""
    try:
        return told(cif_ordinary.ordinary(data, "a.cif", OPTIONS))
    except InputError as error:
        return error.as_dict()


def long(data: bytes) -> object:
    """What the long way makes of the same."""
    try:
        (block,) = cif_text.blocks(data.decode())
        return told(structure(block, "a.cif", OPTIONS))
    except InputError as error:
        return error.as_dict()


def told(made: Structure | None) -> object:
    return made and (made.digest(), made.warnings)


def damaged(seed: int, cif) -> bytes:
    change = random.Random(seed)
    data = bytearray(
        change.choice([*(path.read_bytes() for path in FILES), cif().encode(), cif().encode()])
    )
    for _ in range(change.randrange(4)):
        at = change.randrange(len(data))
        data[at : at + change.choice((0, 0, 1, 2, 9))] = change.choice(WORDS)
    return bytes(data)


@pytest.mark.parametrize("part", range(10))
def test_the_short_way_gives_what_the_long_way_gives_or_nothing(cif, part):
    for seed in range(200 * part, 200 * part + 200):
        data = damaged(seed, cif)
        found = short(data)
        assert found is None or found == long(data), data


def test_ordinary_files_take_the_short_way(cif):
    assert short(cif().encode()) is not None
    assert sum(short(path.read_bytes()) is not None for path in FILES) >= 2


@pytest.mark.parametrize(
    "value",
    [
        "0.1234567890123456789",
        "1234567.5e-7",
        "0.30000000000000004",
        ".5",
        "5.",
        "+0.25",
        "-0.0",
        "1E-3",
        "1e-300",
    ],
)
def test_numbers_are_read_to_the_last_bit(cif, value):
    data = cif(f"Cs1 Cs {value} 0 0").encode()
    found = cif_ordinary.compiled.ordinary(data, 4096, 10_000)
    assert np.frombuffer(found[3])[0] == float(value)


@pytest.mark.parametrize(
    "value", ["nan", "inf", "1_0", "0x1", "1e999", "", "--1", "1.2.3", "1(2)", "é"]
)
def test_what_is_no_plain_number_takes_the_long_way(cif, value):
    assert cif_ordinary.compiled.ordinary(cif(f"Cs1 Cs {value} 0 0").encode(), 4096, 10_000) is None
