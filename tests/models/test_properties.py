import pytest

from models.errors import InputError, WrongUnit
from models.properties import PROPERTIES, check_unit, default_unit, measured, property_name


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_has_its_own_units(name: str) -> None:
    assert property_name(name) == name
    assert all(check_unit(name, unit) == unit for unit in PROPERTIES[name])
    assert default_unit(name) == PROPERTIES[name][0]


@pytest.mark.parametrize(
    ("name", "said", "unit"),
    [
        ("band-gap", " ev ", "eV"),
        ("bulk-modulus-log", "log(GPa)", "log10(GPa)"),
        ("poisson-ratio", "dimensionless", "1"),
        ("ionic-conductivity", "S/cm", "S/cm"),
    ],
)
def test_units_have_one_spelling(name: str, said: str, unit: str) -> None:
    assert check_unit(name, said) == unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [("band-gap", "GPa"), ("band-gap", "x" * 50), ("hardness", "a\nb"), ("hardness", "x" * 50)],
)
def test_a_wrong_unit_is_told(name: str, unit: str) -> None:
    with pytest.raises(WrongUnit) as caught:
        check_unit(name, unit)

    assert caught.value.expected


def test_a_property_is_spelled_with_hyphens() -> None:
    assert property_name("Band_Gap") == "band-gap"
    with pytest.raises(InputError):
        property_name("band/gap")


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("band_gap", ("band-gap", None)),
        ("Band gap (eV)", ("band-gap", "eV")),
        ("K [log10(GPa)]", ("k", "log10(GPa)")),
        ("phonon_band_center_THz", ("phonon-band-center", "THz")),
        ("energy none", ("energy-none", None)),
    ],
)
def test_a_columns_name_can_tell_its_unit(column: str, told: tuple[str, str | None]) -> None:
    assert measured(column) == told


def test_the_micro_sign_is_a_mu() -> None:
    assert check_unit("magnetic-moment", "\u00b5B") == "\u03bcB"
