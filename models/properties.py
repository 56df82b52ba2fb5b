"""Properties that models answer with, and their units; light, so that every room may ask."""

import difflib
import re

from models.errors import InputError, WrongUnit

# The unit that a property's value has unless told otherwise, then others that also make sense.
PROPERTIES: dict[str, tuple[str, ...]] = {
    "formation-energy-per-atom": ("eV/atom", "meV/atom", "kJ/mol"),
    "energy-per-atom": ("eV/atom", "meV/atom", "kJ/mol"),
    "energy-above-hull": ("eV/atom", "meV/atom"),
    "heat-of-formation": ("eV", "eV/atom"),
    "band-gap": ("eV",),
    "fermi-energy": ("eV",),
    "bulk-modulus": ("GPa",),
    "bulk-modulus-log": ("log10(GPa)",),
    "shear-modulus": ("GPa",),
    "shear-modulus-log": ("log10(GPa)",),
    "poisson-ratio": ("1",),
    "refractive-index": ("1",),
    "dielectric-constant": ("1",),
    "piezoelectric-modulus": ("C/m^2",),
    "phonon-peak": ("1/cm", "THz", "meV"),
    "heat-capacity": ("J/(mol K)", "eV/K"),
    "metal-probability": ("probability",),
    "semi-metal-probability": ("probability",),
}
UNITS: frozenset[str] = frozenset(unit for units in PROPERTIES.values() for unit in units)
NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


def default_unit(name: str) -> str | None:
    """The unit that goes without saying; none for a property that is not known here."""
    units = PROPERTIES.get(name)
    return units[0] if units else None


def check_unit(name: str, unit: str) -> None:
    """Known properties have their own units, any other property has any known unit.

    Raises: WrongUnit, InputError for a name that is none.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} is no name of a property",
            expected="lower-case letters, digits and hyphens",
            got=repr(name[:80]),
            hint="known are " + ", ".join(PROPERTIES),
        )
    allowed = PROPERTIES.get(name, tuple(sorted(UNITS)))
    if unit in allowed:
        return
    near = difflib.get_close_matches(unit, allowed, 1, 0.5)
    raise WrongUnit(
        f"{name} has no unit {unit[:40]!r}",
        expected=" or ".join(allowed),
        got=repr(unit[:40]),
        hint=f"did you mean {near[0]}?" if near else "units are spelled out, as in eV/atom",
    )
