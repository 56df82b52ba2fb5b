"""Elements by symbol and number, their order, and formulas written as pymatgen writes them; light, for every room."""

from collections import Counter
from collections.abc import Iterable
from math import gcd, inf, nan

SYMBOLS = ["Vac", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"]  # fmt: skip
VACANCY = 0
NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}

# Pauling electronegativities by atomic number; they fix the order of sites and of formulas.
ELECTRONEGATIVITY = (
    nan, 2.2, nan, 0.98, 1.57, 2.04, 2.55, 3.04, 3.44, 3.98, nan, 0.93, 1.31, 1.61, 1.9, 2.19, 2.58,
    3.16, nan, 0.82, 1.0, 1.36, 1.54, 1.63, 1.66, 1.55, 1.83, 1.88, 1.91, 1.9, 1.65, 1.81, 2.01,
    2.18, 2.55, 2.96, 3.0, 0.82, 0.95, 1.22, 1.33, 1.6, 2.16, 1.9, 2.2, 2.28, 2.2, 1.93, 1.69, 1.78,
    1.96, 2.05, 2.1, 2.66, 2.6, 0.79, 0.89, 1.1, 1.12, 1.13, 1.14, 1.13, 1.17, 1.2, 1.2, 1.1, 1.22,
    1.23, 1.24, 1.25, 1.1, 1.27, 1.3, 1.5, 2.36, 1.9, 2.2, 2.2, 2.28, 2.54, 2.0, 1.62, 2.33, 2.02,
    2.0, 2.2, 2.2, 0.7, 0.9, 1.1, 1.3, 1.5, 1.38, 1.36, 1.28, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3,
    1.3, 1.3, *(nan,) * 15,
)  # fmt: skip

# Formulas that chemists do not reduce any further.
UNREDUCED = {
    "LiO": "Li2O2", "NaO": "Na2O2", "KO": "K2O2", "HO": "H2O2", "CsO": "Cs2O2", "RbO": "Rb2O2",
    "O": "O2", "N": "N2", "F": "F2", "Cl": "Cl2", "H": "H2",
}  # fmt: skip


def electronegativity_key(number: int) -> tuple[float, str]:
    """Sorts elements from electropositive to electronegative, those without a value last."""
    value = ELECTRONEGATIVITY[number]
    return (inf if value != value else value, SYMBOLS[number])  # noqa: PLR0124 - NaN


RANK = {z: rank for rank, z in enumerate(sorted(NUMBERS.values(), key=electronegativity_key))}


def formula(numbers: Iterable[int]) -> str:
    """The reduced formula of these atomic numbers, polyanions in brackets: `Ca3(PO4)2`."""
    amounts = Counter(numbers)
    if not amounts:
        return ""
    divisor = gcd(*amounts.values())
    elements = sorted(amounts, key=RANK.__getitem__)
    written = _reduced(elements, [amounts[z] // divisor for z in elements])
    return UNREDUCED.get(written, written)


def _reduced(elements: list[int], amounts: list[int]) -> str:
    anion = ""
    if len(elements) >= 3 and _polyanion(elements[-2], elements[-1]):
        times = gcd(*amounts[-2:])
        if times != 1:
            inner = _reduced(elements[-2:], [amount // times for amount in amounts[-2:]])
            anion = f"({inner}){times}"
            elements, amounts = elements[:-2], amounts[:-2]
    plain = "".join(
        SYMBOLS[z] + (str(amount) if amount != 1 else "")
        for z, amount in zip(elements, amounts, strict=True)
    )
    return plain + anion


def _polyanion(first: int, second: int) -> bool:
    return ELECTRONEGATIVITY[second] - ELECTRONEGATIVITY[first] < 1.65
