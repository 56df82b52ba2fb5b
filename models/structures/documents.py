"""JSON: structures of pymatgen and JARVIS, OPTIMADE's entries, plain arrays; built from checked numbers only."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from models.errors import InputError, TooLarge, UnreadableStructure
from models.structures import bounds
from models.structures.checks import Floats, check_cell, said_of_directions
from models.structures.cif_values import lattice_of
from models.structures.composition import SYMBOLS
from models.structures.disorder import Place, settled
from models.structures.draft import ReadOptions, finished
from models.structures.formats import Format, is_whole
from models.structures.structure import Structure
from models.structures.symbols import of_symbol
from models.structures.symmetry import too_many

Json = Mapping[str, Any]

_TEXTS = {"structure": None, "cif": Format.CIF, "poscar": Format.POSCAR}  # and the format of each
_HOLDERS = ("structure", "attributes", "atoms")  # in which an entry may hold its structure
_KEYS = frozenset(("lattice", "sites", "frac_coords", "positions", "coords"))
_LABELS = ("id", "material_id", "entry_id", "jid")


def load(text: str) -> Any:
    """The document, without NaN, without endless nesting or digits.

    Raises: UnreadableStructure.
    """
    _check_depth(text)
    try:
        return json.loads(text, parse_constant=_no_constant, parse_int=_int)
    except json.JSONDecodeError as fault:
        raise UnreadableStructure(
            f"The JSON is broken: {fault.msg}.",
            place=f"line {fault.lineno}, column {fault.colno}",
            expected="JSON",
        ) from None


def entries(document: Any) -> Iterator[tuple[str, Json]]:
    """A label and the dictionary of each structure of the document.

    Raises: UnreadableStructure, TooLarge.
    """
    found = _unwrapped(document)
    if len(found) > bounds.FRAMES:
        most = f"at most {bounds.FRAMES:,} structures a file"
        raise TooLarge("The file holds too many structures.", expected=most, got=f"{len(found):,}")
    for number, entry in enumerate(found, 1):
        if not isinstance(entry, dict):
            raise _no_structure(entry)
        label = next((entry[key] for key in _LABELS if entry.get(key)), None)
        yield (str(label)[:60] if isinstance(label, str | int) else str(number)), entry


def text_of(entry: Json) -> tuple[str, Format | None] | None:
    """The text of a file that an entry holds in place of a structure, and its format if that is known."""
    if isinstance(entry.get("structure"), dict):
        return None
    found = ((entry.get(key), kind) for key, kind in _TEXTS.items())
    return next(((text, kind) for text, kind in found if is_whole(text)), None)


def read(entry: Json, name: str, options: ReadOptions, notes: Sequence[str] = ()) -> Structure:
    """The structure of one entry, of any kind.

    Raises: InputError naming the key.
    """
    warnings = list(notes)
    parts = _parts(entry)
    inner = next(filter(_is_structure, parts), parts[0])
    if "lattice_mat" in inner or inner.keys() & _KEYS == {"lattice", "coords"}:
        inner = _jarvis(inner)
    if "lattice" in inner and ("frac_coords" in inner or "positions" in inner):
        return _arrays(inner, name, options, warnings)
    if "cartesian_site_positions" in inner:
        lattice, places = _optimade(inner, warnings)
    elif {"lattice", "sites"} <= inner.keys():
        lattice, places = _pymatgen(inner, warnings)
    else:
        raise _no_structure(inner)
    kept = settled(places, options, warnings)
    numbers = [place.settled for place in kept]
    coordinates = np.array([place.coordinates for place in kept]).reshape(-1, 3)
    return finished(
        name, lattice, numbers, coordinates, warnings=list(dict.fromkeys(warnings)), options=options
    )


def _unwrapped(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise _no_structure(document)
    if text_of(document) or any(map(_is_structure, _parts(document))):
        return [document]
    for key in ("data", "structures"):
        inner = document.get(key)
        if isinstance(inner, list):
            return inner
        if isinstance(inner, dict):
            return [inner]
    if document and all(isinstance(each, dict) for each in document.values()):
        return [{"id": key} | each for key, each in document.items()]
    return [document]


def _parts(entry: Json) -> list[Json]:
    """What an entry may hold its structure in, and the entry itself."""
    return [part for part in (*map(entry.get, _HOLDERS), entry) if isinstance(part, dict)]


def _is_structure(part: Json) -> bool:
    """Whether this holds a cell with sites, and not labels of these names."""
    cell = isinstance(part.get("lattice"), list | dict) and len(part.keys() & _KEYS) > 1
    return cell or "lattice_mat" in part or "cartesian_site_positions" in part


def _no_structure(found: Any) -> UnreadableStructure:
    got = (
        f"an object with {', '.join(map(str, list(found)[:6])) or 'nothing in it'}"
        if isinstance(found, dict)
        else type(found).__name__
    )
    return UnreadableStructure(
        "The JSON holds no structure.",
        expected="a pymatgen Structure (`lattice`, `sites`), an OPTIMADE entry (`attributes`), "
        "arrays (`lattice`, `numbers`, `frac_coords`), or the text of a file (`cif`, `poscar`)",
        got=got[:120],
    )


# -- pymatgen --------------------------------------------------------------------------------------


def _pymatgen(entry: Json, warnings: list[str]) -> tuple[Floats, list[Place]]:
    raw = entry["lattice"]
    directions = raw.get("pbc") if isinstance(raw, dict) else None
    if isinstance(directions, list):
        warnings += said_of_directions(directions)
    lattice = _cell(raw)
    sites = _list(entry["sites"], "sites")
    return lattice, [_site(site, index, lattice, warnings) for index, site in enumerate(sites)]


def _cell(raw: Any) -> Floats:
    if isinstance(raw, dict) and "matrix" not in raw:
        keys = ("a", "b", "c", "alpha", "beta", "gamma")
        return lattice_of([_number(raw.get(key), f"lattice.{key}") for key in keys])
    matrix = raw["matrix"] if isinstance(raw, dict) else raw
    cell = np.array(_vectors(matrix, "lattice.matrix", 3))
    check_cell(cell, 1)
    return cell


def _site(site: Any, index: int, lattice: Floats, warnings: list[str]) -> Place:
    place = f"sites[{index}]"
    if not isinstance(site, dict):
        raise _bad(place, "an object", site)
    species: dict[int, float] = {}
    for part in _list(site.get("species"), f"{place}.species"):
        if not isinstance(part, dict) or not isinstance(part.get("element"), str):
            raise _bad(f"{place}.species", 'like {"element": "Fe", "occu": 1}', part)
        kind = _element(part["element"], place, warnings)
        species[kind] = species.get(kind, 0.0) + _share(part.get("occu", 1.0), place)
    label = site.get("label")
    label = label[:40] if isinstance(label, str) and label else str(index + 1)
    if "abc" in site:
        position = _vector(site["abc"], f"{place}.abc")
    else:
        position = _vector(site.get("xyz"), f"{place}.xyz") @ np.linalg.inv(lattice)
    return Place(position, [label], species, "")


# -- OPTIMADE --------------------------------------------------------------------------------------


def _optimade(attributes: Json, warnings: list[str]) -> tuple[Floats, list[Place]]:
    directions = attributes.get("dimension_types")
    if isinstance(directions, list):
        warnings += said_of_directions(directions)
    cell = np.array(_vectors(attributes.get("lattice_vectors"), "lattice_vectors", 3))
    check_cell(cell, 1)
    names = _list(attributes.get("species_at_sites"), "species_at_sites")
    positions = _list(attributes["cartesian_site_positions"], "cartesian_site_positions")
    if len(names) != len(positions):
        raise UnreadableStructure(
            f"{len(positions)} positions, but {len(names)} species_at_sites.",
            place="species_at_sites",
        )
    kinds = _kinds(attributes, names, warnings)
    inverse = np.linalg.inv(cell)
    features = attributes.get("structure_features")
    if isinstance(features, list) and "assemblies" in features:
        warnings.append("The entry has alternatives (assemblies); all its sites were taken.")
    places = []
    for index, (name, raw) in enumerate(zip(names, positions, strict=True)):
        position = _vector(raw, f"cartesian_site_positions[{index}]") @ inverse
        places.append(
            Place(position, [f"{str(name)[:30]} ({index + 1})"], dict(kinds[str(name)]), "")
        )
    return cell, places


def _kinds(attributes: Json, names: list[Any], warnings: list[str]) -> dict[str, dict[int, float]]:
    kinds: dict[str, dict[int, float]] = {}
    for index, kind in enumerate(_list(attributes.get("species") or [], "species")):
        if not isinstance(kind, dict):
            raise _bad(f"species[{index}]", "an object", kind)
        symbols = _list(kind.get("chemical_symbols"), f"species[{index}].chemical_symbols")
        shares = kind.get("concentration") or [1.0] * len(symbols)
        known: dict[int, float] = {}
        for symbol, share in zip(
            symbols, _list(shares, f"species[{index}].concentration"), strict=False
        ):
            number = _element(str(symbol), f"species[{index}]", warnings)
            known[number] = known.get(number, 0.0) + _share(share, f"species[{index}]")
        if kind.get("nattached"):
            warnings.append(
                f"Species {str(kind.get('name'))[:30]} has atoms attached that are missing here."
            )
        kinds[str(kind.get("name"))] = known
    for name in {str(name) for name in names} - kinds.keys():
        kinds[name] = {_element(name, "species_at_sites", warnings): 1.0}
    return kinds


# -- arrays ----------------------------------------------------------------------------------------


def _jarvis(entry: Json) -> Json:
    """The arrays of what JARVIS writes; others must say whether their `coords` are fractions."""
    words = (entry.get("cartesian"), entry.get("coords_are_cartesian"))
    said = next((word for word in words if word is not None), None)
    if said is None and "lattice_mat" not in entry:
        raise UnreadableStructure(
            "`coords` may be fractions or Å.",
            place="coords",
            expected="frac_coords or positions",
            hint="Call fractions `frac_coords` and Å `positions`, or add `cartesian`: true or false.",
        )
    return {
        **entry,
        "lattice": entry.get("lattice_mat", entry.get("lattice")),
        "species": entry.get("elements", entry.get("species")),
        ("positions" if said else "frac_coords"): entry.get("coords"),
    }


def _arrays(entry: Json, name: str, options: ReadOptions, warnings: list[str]) -> Structure:
    cell = _floats(entry["lattice"], "lattice")
    if cell.size != 9:
        raise _bad("lattice", "9 numbers", entry["lattice"])
    lattice = cell.reshape(3, 3)
    key = "frac_coords" if "frac_coords" in entry else "positions"
    coordinates = _floats(entry[key], key)
    kinds = "numbers" if "numbers" in entry else "species"
    numbers = [_kind(kind, kinds, warnings) for kind in _list(entry.get(kinds), kinds)]
    if coordinates.size != 3 * len(numbers):
        raise UnreadableStructure(
            f"{len(numbers)} {kinds}, but {coordinates.size} numbers in {key}.",
            place=key,
            expected=f"{3 * len(numbers)} numbers",
            got=str(coordinates.size),
        )
    sites = coordinates.reshape(-1, 3)
    if key == "positions":
        check_cell(lattice, max(1, len(numbers)))
        sites = sites @ np.linalg.inv(lattice)
    found = list(dict.fromkeys(warnings))
    return finished(name, lattice, numbers, sites, warnings=found, options=options)


def _kind(raw: Any, place: str, warnings: list[str]) -> int:
    if isinstance(raw, str):
        number = _element(raw, place, warnings)
    else:
        number = int(raw) if isinstance(raw, int | float) and raw == raw // 1 else 0
    if not 0 < number < len(SYMBOLS):
        raise _bad(place, "a list of elements", raw)
    return number


def _floats(raw: Any, place: str) -> Floats:
    """All numbers of a list, or of a list of lists, in their order."""
    values = raw if isinstance(raw, list) else None
    if values and isinstance(values[0], list):
        values = [value for row in _list(values, place) for value in _list(row, place)]
    if values is None or len(values) > 3 * bounds.SITES:
        raise _bad(place, "a list of numbers", raw)
    return np.array([_number(value, place) for value in values])


# -- checked values --------------------------------------------------------------------------------


def _element(symbol: str, place: str, warnings: list[str]) -> int:
    try:
        number, note = of_symbol(symbol)
    except InputError as error:
        error.place = place
        raise
    if note:
        warnings.append(f"{symbol[:20]}: {note}.")
    return number


def _share(raw: Any, place: str) -> float:
    share = _number(raw, place)
    if not 0 <= share <= 1.05:
        raise UnreadableStructure(
            f"An occupancy is {share:g}.", place=place, expected="0 to 1", got=f"{share:g}"
        )
    return share


def _number(raw: Any, place: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise _bad(place, "a finite number", raw)
    return float(raw)


def _vector(raw: Any, place: str) -> Floats:
    values = _list(raw, place)
    if len(values) != 3:
        raise _bad(place, "three numbers", raw)
    return np.array([_number(value, place) for value in values])


def _vectors(raw: Any, place: str, count: int) -> list[Floats]:
    rows = _list(raw, place)
    if len(rows) != count:
        raise _bad(place, f"{count} vectors", raw)
    return [_vector(row, f"{place}[{index}]") for index, row in enumerate(rows)]


def _list(raw: Any, place: str) -> list[Any]:
    if not isinstance(raw, list):
        raise _bad(place, "a list", raw)
    if len(raw) > bounds.SITES:
        raise too_many(len(raw))
    return raw


def _bad(place: str, expected: str, got: Any) -> UnreadableStructure:
    shown = "nothing" if got is None else repr(got)
    return UnreadableStructure(
        f"{place} is not {expected}.", place=place, expected=expected, got=shown[:60]
    )


def _no_constant(word: str) -> NoReturn:
    raise UnreadableStructure(f"The JSON holds {word}.", expected="finite numbers", got=word)


def _int(digits: str) -> float:
    if len(digits) > 300:
        raise UnreadableStructure("The JSON holds a number of too many digits.")
    return int(digits)


def _check_depth(text: str) -> None:
    """Raises: UnreadableStructure; the decoder would overflow its stack."""
    depth = 0
    opened = text.count("[") + text.count("{")
    if opened <= bounds.JSON_DEPTH:
        return
    in_text = escaped = False
    for char in text:
        if in_text:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_text = False
        elif char == '"':
            in_text = True
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if depth > bounds.JSON_DEPTH:
            raise UnreadableStructure(
                "The JSON is nested too deeply.", expected=f"at most {bounds.JSON_DEPTH} levels"
            )
