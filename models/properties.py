"""Properties that models answer with, and their units; light, so that every room may ask."""

import difflib
import math
import re

from models.errors import InputError, WrongUnit

# The unit that a property's value has unless told otherwise, then others that also make sense.
PROPERTIES: dict[str, tuple[str, ...]] = {
    "formation-energy-per-atom": ("eV/atom", "meV/atom", "kJ/mol"),
    "energy-per-atom": ("eV/atom", "meV/atom", "kJ/mol"),
    "energy-above-hull": ("eV/atom", "meV/atom"),
    "heat-of-formation": ("eV", "eV/atom", "meV/atom", "kJ/mol"),
    "band-gap": ("eV", "meV"),
    "fermi-energy": ("eV", "meV"),
    "bulk-modulus": ("GPa", "log10(GPa)"),
    "bulk-modulus-log": ("log10(GPa)",),
    "shear-modulus": ("GPa", "log10(GPa)"),
    "shear-modulus-log": ("log10(GPa)",),
    "poisson-ratio": ("1",),
    "refractive-index": ("1",),
    "dielectric-constant": ("1",),
    "piezoelectric-modulus": ("C/m^2",),
    "phonon-peak": ("1/cm", "THz", "meV"),
    "heat-capacity": ("J/(mol K)", "eV/K"),
    "metal-probability": ("probability",),
    "adsorption-energy": ("eV", "meV", "kJ/mol"),
    # of sites
    "bader-charge": ("e",),
    "ddec-charge": ("e",),
    "magnetic-moment": ("μB",),
    "oxidation-state": ("1",),
    "phonon-band-center": ("THz", "1/cm", "meV"),
    "o-2p-band-center": ("eV",),
    "d-band-center": ("eV",),
    # of an adsorbate
    "adsorbate-distances": ("Å",),
    # of dimers and sheets
    "dimer-distance": ("Å", "σ"),
    "dimer-energy": ("ε", "eV"),
    "sheet-energy": ("eV/atom", "meV/atom"),
}
# No value lies beyond; the logarithm of one may.
LIMITS: dict[str, tuple[float, float]] = {
    "energy-above-hull": (0.0, math.inf),
    "band-gap": (0.0, math.inf),
    "bulk-modulus": (0.0, math.inf),
    "shear-modulus": (0.0, math.inf),
    "poisson-ratio": (-1.0, 0.5),
    "refractive-index": (1.0, math.inf),
    "dielectric-constant": (1.0, math.inf),
    "piezoelectric-modulus": (0.0, math.inf),
    "phonon-peak": (0.0, math.inf),
    "heat-capacity": (0.0, math.inf),
    "metal-probability": (0.0, 1.0),
    "phonon-band-center": (0.0, math.inf),
    "adsorbate-distances": (0.0, math.inf),
    "dimer-distance": (0.0, math.inf),
}
SPELLINGS: dict[str, str] = {
    "ev": "eV",
    "mev": "meV",
    "ev/atom": "eV/atom",
    "mev/atom": "meV/atom",
    "ev per atom": "eV/atom",
    "gpa": "GPa",
    "log(gpa)": "log10(GPa)",
    "log10(gpa)": "log10(GPa)",
    "log10 gpa": "log10(GPa)",
    "cm^-1": "1/cm",
    "cm-1": "1/cm",
    "thz": "THz",
    "angstrom": "Å",
    "mub": "μB",
    "\u00b5b": "μB",  # written with the micro sign
    "dimensionless": "1",
    "none": "1",
    "": "1",
}
NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")
CARRIED = re.compile(r"(?P<name>[^(\[]+)[(\[](?P<unit>[^()\[\]]+(?:\([^()]*\))?)[)\]]")
UNIT = re.compile(r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,38}[^\s\x00-\x1f\x7f])?$")


def default_unit(name: str) -> str | None:
    """The unit that goes without saying; none for a property that is not known here."""
    units = PROPERTIES.get(name)
    return units[0] if units else None


def limits_of(name: str, unit: str) -> tuple[float, float]:
    """The least and the greatest value that there can be."""
    if unit.startswith("log"):
        return -math.inf, math.inf
    return LIMITS.get(name, (-math.inf, math.inf))


def property_name(text: str) -> str:
    """A property's name in its one spelling. Raises: InputError."""
    name = re.sub(r"[\s_]+", "-", text.strip()).lower()
    if NAME.fullmatch(name):
        return name
    raise InputError(
        f"{text[:80]!r} is no name of a property.",
        expected="at most 63 letters, digits and hyphens",
        got=repr(text[:80]),
        hint=f"Known are {', '.join(PROPERTIES)}.",
    )


def measured(column: str) -> tuple[str, str | None]:
    """Property and, if it is told, unit that the name of a column speaks of.

    `band gap (eV)`, `phonon_band_center_THz`, `band_gap`. Raises: InputError.
    """
    name, unit = parted(column)
    return property_name(name), unit


def parted(column: str) -> tuple[str, str | None]:
    """The same, whatever the property is called."""
    found = CARRIED.fullmatch(column.strip())
    if found:
        return found["name"].strip(), found["unit"].strip()
    name, _, last = re.sub(r"[\s_]+", " ", column.strip()).rpartition(" ")
    unit = SPELLINGS.get(last.lower())
    if name and unit not in (None, "1"):
        return name, unit
    return column, None


def check_unit(name: str, unit: str) -> str:
    """The unit in its one spelling; known properties have their own units, others any.

    Raises: WrongUnit.
    """
    spelled = SPELLINGS.get(unit.strip().lower(), unit.strip())
    allowed = PROPERTIES.get(name)
    if allowed is None and UNIT.fullmatch(spelled):
        return spelled
    if allowed is not None and spelled in allowed:
        return spelled
    near = difflib.get_close_matches(spelled, allowed or (), 1, 0.5)
    raise WrongUnit(
        f"{name} has no unit {unit[:40]!r}.",
        expected=" or ".join(allowed) if allowed else "at most 40 printable characters",
        got=repr(unit[:40]),
        hint=f"Did you mean {near[0]}?" if near else "Units are spelled out, as in eV/atom.",
    )
