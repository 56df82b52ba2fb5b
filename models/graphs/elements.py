"""What a site starts from: the 92 one-hot columns of its element, as published CGCNN weights expect them, and numbers."""

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import UnsupportedElement
from models.structures.composition import SYMBOLS


@dataclass(frozen=True, slots=True)
class Property:
    """One property of the elements, cut into categories as in the paper's Table II."""

    name: str
    categories: int
    of_element: str  # one digit (base 20) an element from hydrogen on; "-" where it is not known


PROPERTIES = (
    Property(  # group; category 0 are the lanthanides and actinides
        "group",
        19,
        "1i12defghi12defghi123456789abcdefghi123456789abcdefghi"
        "12000000000000003456789abcdefghi12000000000000",
    ),
    Property(
        "period",
        7,
        "001111111122222222333333333333333333444444444444444444"
        "5555555555555555555555555555555566666666666666",
    ),
    Property(  # 0.5 to 4.0
        "electronegativity",
        10,
        "4-1345789-1233457-01223333343334457-012234445443344466"
        "011111-1-1-2222-122334445333344-01122322------",
    ),
    Property(  # 25 to 250 pm
        "covalent radius",
        10,
        "004322211155443333765444443334444434876555444444555444"
        "9766666666666666655444444455555587766666666666",
    ),
    Property(  # 1 to 12
        "valence electrons",
        12,
        "0101234567012345670123456789ab234567012345678bab234567"
        "011111111111111123456789ab23456701111111111111",
    ),
    Property(  # logarithm of eV, 1.3 to 3.3
        "first ionisation energy",
        10,
        "691445667813235567022333333334234456022233333434234455"
        "0122122222222222133334444523344501122222222222",
    ),
    Property(  # -3 to 3.7 eV
        "electron affinity",
        10,
        "5-5046269-5-56579-544455-4566-56579-54455556656-466794"
        "545557--5-65--64444546677-55578-545-----------",
    ),
    Property(  # s, p, d, f
        "block",
        4,
        "000011111100111111002222222222111111002222222222111111"
        "0033333333333333222222222211111100333333333333",
    ),
    Property(  # logarithm of cm³/mol, 1.5 to 4.3
        "atomic volume",
        10,
        "463000444454234456864321111112333457975432222223445568"
        "975555-56555554643322222244555---855435-55----",
    ),
)
ELEMENTS = 100  # hydrogen to fermium
COLUMNS = sum(each.categories for each in PROPERTIES)
NUMBERS = Path(__file__).with_name("elements.csv")  # as pymatgen has them
LOGARITHMS = ("ionisation", "volume")  # span magnitudes

Kind = Literal["categories", "numbers"]

# Covalent radii in Å, hydrogen to curium: B. Cordero et al., Dalton Trans. 2008, 2832.
# Carbon is sp3; manganese, iron and cobalt are low spin.
# fmt: off
CORDERO_RADII = (
    0.31, 0.28,
    1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58,
    1.66, 1.41, 1.21, 1.11, 1.07, 1.05, 1.02, 1.06,
    2.03, 1.76, 1.70, 1.60, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22, 1.20, 1.19, 1.20, 1.20, 1.16,
    2.20, 1.95, 1.90, 1.75, 1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45, 1.44, 1.42, 1.39, 1.39, 1.38, 1.39, 1.40,
    2.44, 2.15, 2.07, 2.04, 2.03, 2.01, 1.99, 1.98, 1.98, 1.96, 1.94, 1.92, 1.92, 1.89, 1.90, 1.87, 1.87,
    1.75, 1.70, 1.62, 1.51, 1.44, 1.41, 1.36, 1.36, 1.32, 1.45, 1.46, 1.48, 1.40, 1.50, 1.50,
    2.60, 2.21, 2.15, 2.06, 2.00, 1.96, 1.90, 1.87, 1.80, 1.69,
)
# fmt: on


@cache
def table(kind: Kind = "categories") -> NDArray[np.float32]:
    """The columns of every element, by atomic number; row 0 is no element.  # (101, 92) or (101, 114)"""
    columns = _categories()
    if kind == "numbers":
        columns = np.concatenate([columns, _numbers()], axis=1)
    columns.setflags(write=False)
    return columns


@cache
def table_sha256(kind: Kind = "categories") -> str:
    """Stands in every card, so that weights never meet another table."""
    kept = hashlib.sha256(_categories().astype("<f4").tobytes())
    if kind == "numbers":
        kept.update(NUMBERS.read_bytes())
    return kept.hexdigest()


def _categories() -> NDArray[np.float32]:
    columns = np.zeros((ELEMENTS + 1, COLUMNS), np.float32)
    start = 0
    for each in PROPERTIES:
        for number, category in enumerate(each.of_element, start=1):
            if category != "-":
                columns[number, start + int(category, 20)] = 1
        start += each.categories
    return columns


def _numbers() -> NDArray[np.float32]:
    """Of mean 0 and deviation 1; one that nobody knows is the mean.  # (101, 22)"""
    with NUMBERS.open(encoding="utf-8", newline="") as file:
        (_, *names), *rows = csv.reader(file)
    values = np.array([[float(each or "nan") for each in row[1:]] for row in rows])
    large = [any(word in name for word in LOGARITHMS) for name in names]
    values[:, large] = np.log(values[:, large])
    values = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    found = np.zeros((ELEMENTS + 1, len(names)), np.float32)
    found[1:] = np.nan_to_num(values)
    return found


@cache
def cordero_radii() -> NDArray[np.float64]:
    """Covalent radius by atomic number; NaN where none is published.  # (101,)"""
    radii = np.full(ELEMENTS + 1, np.nan)
    radii[1 : len(CORDERO_RADII) + 1] = CORDERO_RADII
    radii.setflags(write=False)
    return radii


def check_known(numbers: NDArray[np.uint8]) -> None:
    """Raises: UnsupportedElement for an element that the table does not hold."""
    beyond = np.unique(numbers[(numbers < 1) | (numbers > ELEMENTS)])
    if len(beyond):
        names = ", ".join(SYMBOLS[number] for number in beyond)
        raise UnsupportedElement(
            f"No model here can describe {names}.",
            expected="elements from H to Fm",
            got=names,
        )
