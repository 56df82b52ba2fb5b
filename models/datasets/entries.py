"""A row that is a dictionary: what of it is the structure, and what are labels."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.datasets.labels import Cell, Unfit, cell
from models.errors import BadDataset, InputError, UnreadableStructure
from models.structures.formats import is_whole

NAMES = ("id", "material_id", "name", "jid", "filename")
RESERVED = ("name", "formula", "n_sites")  # what every set says of its rows itself
LATTICE = ("lattice", "cell", "lattice_matrix", "lattice_mat", "lattice_vectors")
NUMBERS = ("numbers", "atomic_numbers", "species", "symbols", "elements", "atom_types", "z")
FRACTIONAL = (
    "frac_coords", "fractional", "fractional_coordinates", "fractional_positions", "frac_positions",
    "scaled_positions",
)  # fmt: skip
CARTESIAN = ("positions", "cart_coords", "pos", "cartesian_coordinates")
EITHER = ("coords",)
WHICH = ("cartesian", "coords_are_cartesian")  # says it of these
TEXTS = {"structure": None, "cif": "cif", "poscar": "poscar"}  # and the format of each
OPTIMADE = frozenset(
    ("lattice_vectors", "cartesian_site_positions", "species", "species_at_sites", "dimension_types",
     "structure_features", "elements", "elements_ratios", "last_modified", "assemblies")
)  # fmt: skip
OF_OPTIMADE = frozenset(("lattice_vectors", "cartesian_site_positions", "species_at_sites"))
OF_STRUCTURES = frozenset(("@module", "@class", "@version", "properties", "charge"))
EXPECTED = (
    "`structure` (a pymatgen dictionary or a text), `cif`, `poscar`, an OPTIMADE entry, "
    "or `lattice` with `numbers` and `frac_coords`"
)
LONGEST_NAME = 100
# What code meets that looks for a site or a property where there is something else.
ODD = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A structure to be read with its labels, or why there is none."""

    number: int  # in its source, from 1
    name: str
    data: bytes = b""
    format: str | None = None
    labels: dict[str, Cell] = field(default_factory=dict)
    error: InputError | None = None


@dataclass(slots=True)
class Wishes:
    """How rows are to be read, and what was met on the way."""

    coordinates: str | None = None  # the column that holds the fractional coordinates
    placed: int = 0  # rows that have taken them from there
    columns: frozenset[str] | None = None
    left_out: set[str] = field(default_factory=set)  # columns with something that is no label
    per_site: set[str] = field(default_factory=set)  # columns that are said to be so
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """For the sender, once."""
        if text not in self.notes:
            self.notes.append(text)

    def kept(self, labels: Mapping[str, Any]) -> dict[str, Cell]:
        """The labels among these values."""
        found: dict[str, Cell] = {}
        for key, value in labels.items():
            name = str(key).strip()
            if (
                not name
                or name in RESERVED
                or (self.columns is not None and name not in self.columns)
            ):
                continue
            if len(name) > LONGEST_NAME or not name.isprintable():
                self.left_out.add(ascii(name[:LONGEST_NAME]))
                continue
            try:
                found[name] = cell(value)
            except Unfit:
                self.left_out.add(name)
        return found


def check_heads(heads: Sequence[str], name: str | None = None) -> None:
    """Columns without a name are none; of others no two may share it. Raises: BadDataset."""
    twice = [head for head, count in Counter(heads).items() if head and count > 1]
    if twice:
        shown = ", ".join(twice[:5])[:200]
        raise BadDataset(
            f"The table has several columns of one name: {shown}.",
            file=name,
            expected="each name once",
            got=", ".join(heads[:12])[:200],
            hint="Rename or leave out all but one of them.",
        )


def row_of(number: int, record: Record, wishes: Wishes) -> Row:
    """The row that a dictionary is."""
    named = next((key for key in NAMES if _is_name(record.get(key))), None)
    name = str(record[named])[:LONGEST_NAME] if named else f"row {number}"
    try:
        data, kind, used, more = _structure(record, wishes.coordinates)
        wishes.placed += wishes.coordinates in used
    except InputError as error:
        return Row(number, name, error=error)
    except ODD as fault:
        got = f"{type(fault).__name__}: {fault}"[:100]
        odd = UnreadableStructure(
            "The row is not built like any structure.", expected=EXPECTED, got=got
        )
        return Row(number, name, error=odd)
    rest = {key: value for key, value in record.items() if key not in used and key != named}
    return Row(number, name, data, kind, wishes.kept(more | rest))


def _is_name(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (
        isinstance(value, int) and not isinstance(value, bool)
    )


Found = tuple[bytes, str | None, frozenset[str], dict[str, Any]]


def _structure(record: Record, coordinates: str | None) -> Found:
    """The structure's text and format, the keys it took, and the labels that lay in it."""
    for key, kind in TEXTS.items():
        value = record.get(key)
        if isinstance(value, dict):
            return _document(value, frozenset((key,)))
        if is_whole(value):
            _check_text(value)
            kind = "json" if kind is None and value.lstrip()[:1] == "{" else kind  # noqa: PLW2901
            return value.encode("utf-8", "replace"), kind, frozenset((key,)), {}
    attributes = record.get("attributes")
    if isinstance(attributes, dict):
        labels = {key: value for key, value in attributes.items() if key not in OPTIMADE}
        used = frozenset(("attributes", "type", "links", "relationships", "meta"))
        return _json({"attributes": attributes}), "json", used, labels
    if record.keys() >= OF_OPTIMADE:
        own = {key: value for key, value in record.items() if key in OPTIMADE}
        return _json({"attributes": own}), "json", frozenset(own), {}
    if isinstance(record.get("sites"), list):
        return _document(record, frozenset(record) & (OF_STRUCTURES | {"lattice", "sites"}))
    if isinstance(record.get("atoms"), dict):
        return _document(record["atoms"], frozenset(("atoms",)))
    return _arrays(record, coordinates)


def _check_text(text: str) -> None:
    """A table that pandas wrote may hold how Python shows a structure, from which it cannot be read."""
    if text.lstrip().startswith(("{'", "Full Formula (")):
        raise UnreadableStructure(
            "The text is how Python shows a structure.",
            expected="CIF, POSCAR or JSON",
            got=text.lstrip()[:40],
            hint="Write json.dumps(structure.as_dict()), or structure.to(fmt='cif').",
        )


def _document(value: Record, used: frozenset[str]) -> Found:
    """A pymatgen dictionary; what its sites have as properties are labels of sites."""
    inner = {key: value[key] for key in ("lattice", "sites", "attributes") if key in value}
    if len(inner) < 2 and "attributes" not in inner:
        return (*_arrays(value, None)[:2], used, {})
    return _json(inner), "json", used, _site_labels(inner.get("sites"))


def _site_labels(sites: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not isinstance(sites, list) or not sites or not isinstance(sites[0], dict):
        return found
    for key in (sites[0].get("properties") or {}) if len(sites) else ():
        values = [(site.get("properties") or {}).get(key) for site in sites]
        if all(value is None or isinstance(value, int | float | list) for value in values):
            found[str(key)] = values
    return found


def _arrays(record: Record, coordinates: str | None) -> Found:
    if coordinates is not None:
        if coordinates not in record:
            raise UnreadableStructure(
                f"The row has no {coordinates[:60]!r}, which holds the coordinates.",
                got=", ".join(map(str, list(record)[:12]))[:200],
            )
        where, key = coordinates, "frac_coords"
    else:
        where = _first(record, FRACTIONAL + CARTESIAN + EITHER) or ""
        key = "positions" if where in CARTESIAN or _is_cartesian(record, where) else "frac_coords"
    lattice, numbers = _first(record, LATTICE), _first(record, NUMBERS)
    if not where or lattice is None or numbers is None:
        raise _none(record)
    kinds = record[numbers]
    named = isinstance(kinds, list) and bool(kinds) and isinstance(kinds[0], str)
    arrays = {
        "lattice": record[lattice],
        ("species" if named else "numbers"): kinds,
        key: record[where],
    }
    return _json(arrays), "json", frozenset((lattice, numbers, where, *WHICH)), {}


def _is_cartesian(record: Record, where: str) -> bool:
    """Whether coordinates that may be either are in Å; those of JARVIS are not unless it says so."""
    said = next((record[key] for key in WHICH if record.get(key) is not None), None)
    if where in EITHER and said is None and "lattice_mat" not in record:
        raise UnreadableStructure(
            f"`{where}` may be fractions or Å.",
            place=where,
            expected="frac_coords or positions",
            hint="Call fractions `frac_coords` and Å `positions`, or add `cartesian`: true or false.",
        )
    return where in EITHER and bool(said)


def _first(record: Record, keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if isinstance(record.get(key), list)), None)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), default=str).encode()


def _none(record: Record) -> UnreadableStructure:
    got = ", ".join(map(str, list(record)[:12]))[:200] or "nothing"
    parts = (
        ("lattice", LATTICE),
        ("numbers", NUMBERS),
        ("frac_coords", FRACTIONAL + CARTESIAN + EITHER),
    )
    missing = [part for part, keys in parts if _first(record, keys) is None]
    word = next((key for key in TEXTS if isinstance(record.get(key), str)), None)
    hint = f"`{word}` is not the text of a structure." if word else None
    if len(missing) == 1:
        hint = f"There is no list `{missing[0]}`, or what else it may be called."
    return UnreadableStructure("The row holds no structure.", expected=EXPECTED, got=got, hint=hint)
