"""The sites of a CIF row by row: uncertainties, charges, labels, occupancies, unknown positions."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from models.errors import InputError, UnreadableStructure
from models.structures.cif_text import ABSENT, Block, unquote
from models.structures.cif_values import idealised, number, stated_formula
from models.structures.composition import NUMBERS, SYMBOLS
from models.structures.draft import check_coordinates
from models.structures.sites import Sites
from models.structures.symbols import of_label, of_symbol
from models.structures.symmetry import Floats

_MIXTURE = re.compile(r"\s*(\d*\.?\d+)\s*\(?\d*\)?\s*([A-Z][a-z]?)[\d+\-]*\s*")


@dataclass(slots=True)
class _Row:
    label: str
    number: int
    position: tuple[float, float, float]
    occupancy: float
    state: str | None
    part: tuple[str, str] | None


@dataclass(slots=True)
class _Notes:
    """What to tell the sender, each thing once with the sites it befell."""

    by_text: dict[str, list[str]] = field(default_factory=dict)

    def add(self, text: str, label: str) -> None:
        """Note this about a site."""
        self.by_text.setdefault(text, []).append(label)

    def sentences(self) -> list[str]:
        """One line for each kind of note."""
        return [f"{named_sites(labels)}: {text}." for text, labels in self.by_text.items()]


def named_sites(labels: list[str]) -> str:
    """`Site Fe1`, or `Sites Fe1, Fe2 and 7 more`."""
    shown = ", ".join(labels[:4])
    if len(labels) > 4:
        shown += f" and {len(labels) - 4} more"
    return f"Site{'s' if len(labels) > 1 else ''} {shown}"


def careful_sites(
    block: Block, columns: list[list[str]], matrix: Floats, warnings: list[str], *, fractional: bool
) -> Sites:
    """All listed sites that have a position.

    Raises: UnknownElement, UnreadableStructure, ImpossibleGeometry, each naming the site.
    """
    reader = _Reader(block, columns)
    rows = reader.rows()
    if not rows:
        raise UnreadableStructure("No listed site has a position.", place="_atom_site loop")
    warnings.extend(reader.notes.sentences())
    coordinates = np.array([row.position for row in rows])
    check_coordinates(coordinates if fractional else coordinates / 100)
    if not fractional:
        coordinates = coordinates @ np.linalg.inv(_upright(matrix))
        warnings.append("Cartesian coordinates were read with a along x and b in the xy plane.")
    full = all(abs(row.occupancy - 1) < 1e-9 for row in rows)
    parts = [row.part or ("", "") for row in rows] if any(row.part for row in rows) else None
    states = [row.state or SYMBOLS[row.number] for row in rows]
    return Sites(
        labels=[row.label for row in rows],
        numbers=[row.number for row in rows],
        coordinates=idealised(coordinates),
        occupancy=None if full and all(row.number for row in rows) else [r.occupancy for r in rows],
        states=states if any(row.state for row in rows) else None,
        parts=parts,
    )


class _Reader:
    """The columns of the site loop."""

    def __init__(self, block: Block, columns: list[list[str]]) -> None:
        self.axes = columns
        self.count = len(columns[0])
        self.labels = self._column(
            block, "_atom_site_label", "_atom_site_id", "_atom_site_label_atom_id"
        )
        self.symbols = self._column(block, "_atom_site_type_symbol")
        self.occupancies = self._column(block, "_atom_site_occupancy")
        self.flags = self._column(block, "_atom_site_calc_flag")
        self.attached = self._column(block, "_atom_site_attached_hydrogens")
        self.assemblies = self._column(block, "_atom_site_disorder_assembly")
        self.groups = self._column(block, "_atom_site_disorder_group", "_atom_site_label_alt_id")
        self.states = _states(block)
        self.expected = _expected(block)
        self.notes = _Notes()
        if self.labels is None and self.symbols is None:
            raise UnreadableStructure(
                "The sites name no elements.",
                place="_atom_site loop",
                expected="_atom_site_type_symbol or _atom_site_label",
            )

    def _column(self, block: Block, *tags: str) -> list[str] | None:
        for tag in tags:
            column = block.column(tag)
            if column is not None and any(raw not in ABSENT for raw in column):
                if len(column) != self.count:
                    raise UnreadableStructure(
                        f"{tag} has {len(column)} values for {self.count} sites.",
                        place="_atom_site loop",
                    )
                return [unquote(raw) for raw in column]
        return None

    def rows(self) -> list[_Row]:
        """All rows that hold an atom."""
        found: list[_Row] = []
        for index in range(self.count):
            label = self._label(index)
            try:
                found.extend(self._row(index, label))
            except InputError as error:
                error.place = (
                    error.place if error.place and "site" in error.place else f"site {label}"
                )
                raise
        return found

    def _label(self, index: int) -> str:
        for column in (self.labels, self.symbols):
            if column and column[index] not in ABSENT:
                return column[index][:40]
        return str(index + 1)

    def _row(self, index: int, label: str) -> list[_Row]:
        if self.flags and self.flags[index].lower() == "dum":
            self.notes.add("marked as a dummy and left out", label)
            return []
        species = self._species(index, label)
        occupancy = self._occupancy(index, label)
        if occupancy == 0:
            self.notes.add("has occupancy 0 and was left out", label)
            return []
        if any(axis[index] in ABSENT for axis in self.axes):
            return self._unplaced(index, label, species)
        x, y, z = (number(axis[index], f"site {label}") for axis in self.axes)
        if self.attached and self.attached[index] not in ("0", *ABSENT):
            self.notes.add("has hydrogens attached that are not listed as sites", label)
        return [
            _Row(
                label,
                kind,
                (x, y, z),
                share * occupancy,
                self._state(index, kind),
                self._part(index),
            )
            for kind, share in species
        ]

    def _species(self, index: int, label: str) -> list[tuple[int, float]]:
        symbol = self.symbols[index] if self.symbols else "?"
        if " + " in symbol:
            return _mixture(symbol)
        if symbol not in ABSENT:
            kind, note = of_symbol(symbol)
        else:
            kind, note = of_label(label, self.expected)
        if note:
            self.notes.add(note, label)
        return [(kind, 1.0)]

    def _occupancy(self, index: int, label: str) -> float:
        if self.occupancies is None or self.occupancies[index] in ABSENT:
            return 1.0
        value = number(self.occupancies[index], f"site {label}")
        if value < 0:
            raise UnreadableStructure(
                f"Site {label} has the negative occupancy {value:g}.",
                place=f"site {label}",
                expected="0 to 1",
                got=f"{value:g}",
            )
        return value

    def _unplaced(self, index: int, label: str, species: list[tuple[int, float]]) -> list[_Row]:
        if all(kind == 1 for kind, _ in species):
            self.notes.add("has no position in the file and is missing here", label)
            return []
        got = ", ".join(axis[index] for axis in self.axes)
        raise UnreadableStructure(
            f"Site {label} has no position.",
            place=f"site {label}",
            expected="three numbers",
            got=got,
        )

    def _state(self, index: int, kind: int) -> str | None:
        if self.states is None:
            return None
        symbol = self.symbols[index] if self.symbols else ""
        charge = self.states.get(symbol, self.states.get(SYMBOLS[kind], 0.0))
        size = f"{abs(charge):g}" if abs(charge) != 1 else ""
        return f"{SYMBOLS[kind]}{size}{'+' if charge >= 0 else '-'}"

    def _part(self, index: int) -> tuple[str, str] | None:
        group = self.groups[index] if self.groups else "."
        if group in (*ABSENT, "0"):
            return None
        assembly = self.assemblies[index] if self.assemblies else "."
        return ("" if assembly in ABSENT else assembly, group)


def _mixture(symbol: str) -> list[tuple[int, float]]:
    """`0.8Nb + 0.2Zr` of the Pauling file."""
    found: list[tuple[int, float]] = []
    for part in symbol.split(" + "):
        match = _MIXTURE.match(part)
        kind = NUMBERS.get(match[2]) if match else None
        if match is None or kind is None:
            raise UnreadableStructure(
                "A mixed site cannot be read.", expected="like `0.8Nb + 0.2Zr`", got=symbol[:40]
            )
        found.append((kind, float(match[1])))
    return found


def _states(block: Block) -> dict[str, float] | None:
    """Charges by type symbol and by bare element, as pymatgen reads them."""
    symbols = block.column("_atom_type_symbol")
    charges = block.column("_atom_type_oxidation_number")
    if symbols is None or charges is None or len(symbols) != len(charges):
        return None
    try:
        values = [0.0 if raw == "." else number(raw, "_atom_type loop") for raw in charges]
    except InputError:
        return None
    names = [unquote(raw) for raw in symbols]
    states = dict(zip(names, values, strict=True))
    states.update((re.sub(r"\d?[+\-,]?$", "", n), v) for n, v in zip(names, values, strict=True))
    return states


def _expected(block: Block) -> frozenset[int]:
    """The elements that the file says it holds."""
    found: set[int] = set()
    reader: Callable[[str], tuple[int, str | None]] = of_symbol
    for raw in block.column("_atom_type_symbol") or ():
        try:
            found.add(reader(unquote(raw))[0])
        except InputError:
            continue
    text = block.value("_chemical_formula_sum")
    if not found and text:
        found.update(stated_formula(text) or ())
    return frozenset(found)


def _upright(matrix: Floats) -> Floats:
    """The same cell with a along x and b in the xy plane."""
    triangle = np.linalg.qr(matrix.T)[1].T
    signs = np.sign(np.diag(triangle))
    upright: Floats = triangle * signs[None, :]
    return upright
