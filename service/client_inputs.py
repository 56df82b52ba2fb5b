"""From what people have in hand to named file contents: paths, texts, pymatgen and ASE objects."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.client_errors import UnreadableInput

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".zst", ".tzst", ".jsonl")
SUFFIXES = (".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".xyz", ".extxyz", ".json", *ARCHIVES)
BARE_NAMES = ("POSCAR", "CONTCAR")
SINGLE = (str, bytes, os.PathLike, dict, tuple)


@dataclass(frozen=True, slots=True)
class Source:
    """One file to send; the content of a path is read when it is sent."""

    name: str
    content: bytes | Path
    ending: str = ""  # of what was made from an object, whatever its owner calls it

    @property
    def sent_as(self) -> str:
        """The file's name on its way; its ending tells the service the kind."""
        return self.name + self.ending

    @property
    def size_bytes(self) -> int:
        """How much it adds to a request."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    @property
    def is_archive(self) -> bool:
        """Whether it holds many structures."""
        return self.sent_as.lower().endswith(ARCHIVES)

    def read(self) -> bytes:
        """The content."""
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


def sources_of(given: Any) -> list[Source]:
    """Everything given, in order; one thing alone is taken as a list of one."""
    things = [given] if is_single(given) or not isinstance(given, Iterable) else given
    found: list[Source] = []
    for thing in things:
        found.extend(sources_of_one(thing, len(found)))
    return found


def is_single(given: Any) -> bool:
    """Whether this is one structure and not a list of them; a structure iterates over its sites."""
    if isinstance(given, tuple):
        return len(given) == 2 and isinstance(given[0], str) and not is_file(given[0])
    return isinstance(given, SINGLE) or is_pymatgen(given) or is_ase(given)


def sources_of_one(thing: Any, number: int) -> Iterator[Source]:
    """One thing can be a folder of many."""
    unnamed = f"structure-{number + 1}"
    if isinstance(thing, tuple) and len(thing) == 2:
        name, content = thing
        for source in sources_of_one(content, number):
            yield Source(str(name), source.content, source.ending)
    elif isinstance(thing, os.PathLike) or (isinstance(thing, str) and is_path(thing)):
        yield from sources_of_path(Path(thing))
    elif isinstance(thing, str):
        yield Source(unnamed, thing.encode())
    elif isinstance(thing, bytes):
        yield Source(unnamed, thing)
    elif isinstance(thing, dict):
        yield Source(unnamed, json.dumps(thing).encode(), ".json")
    elif is_pymatgen(thing):
        yield Source(thing.composition.reduced_formula or unnamed, from_pymatgen(thing), ".json")
    elif is_ase(thing):
        yield Source(thing.get_chemical_formula("metal") or unnamed, from_ase(thing), ".extxyz")
    elif is_pymatgen(getattr(thing, "structure", None)):  # an entry that holds a structure
        yield from sources_of_one(thing.structure, number)
    else:
        raise UnreadableInput(
            f"cannot predict for a {type(thing).__module__}.{type(thing).__qualname__}: give a path, "
            "the text of a file, a pymatgen Structure, an ASE Atoms, or a pair (name, any of these)"
        )


def sources_of_path(path: Path) -> Iterator[Source]:
    """A file, or the structure files of a folder, its folders included, sorted."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if is_structure_file(file)]
        if not files:
            raise UnreadableInput(f"no structure files in {path}: looked for {', '.join(SUFFIXES)}")
        yield from (Source(file.as_posix(), file) for file in files)
    elif path.is_file():
        yield Source(path.as_posix(), path)
    else:
        raise UnreadableInput(f"no such file: {path}")


def is_structure_file(path: Path) -> bool:
    """By name only, for folders."""
    known = path.name.lower().endswith(SUFFIXES) or path.name.startswith(BARE_NAMES)
    return known and not path.name.startswith(".") and path.is_file()


def is_path(text: str) -> bool:
    """Whether a text is a path and not the content of a file; an empty one is no folder's name."""
    if not text.strip():
        raise UnreadableInput("an empty text is neither a path nor a structure")
    return "\n" not in text and "\r" not in text


def is_file(text: str) -> bool:
    """Whether a text names a file that is there."""
    try:
        return "\n" not in text and Path(text).exists()
    except (OSError, ValueError):
        return False


def is_pymatgen(thing: Any) -> bool:
    """A periodic structure of pymatgen, told without importing it."""
    return all(hasattr(thing, name) for name in ("lattice", "sites", "composition"))


def is_ase(thing: Any) -> bool:
    """Atoms of ASE, told without importing it."""
    return all(
        hasattr(thing, name) for name in ("get_chemical_symbols", "get_pbc", "get_positions")
    )


def from_pymatgen(structure: Any) -> bytes:
    """The JSON of pymatgen with what a prediction needs; shared and empty sites stay what they are."""
    sites = [
        {
            "species": [
                {"element": getattr(specie, "symbol", str(specie)), "occu": float(amount)}
                for specie, amount in site.species.items()
            ],
            "abc": [float(x) for x in site.frac_coords],
            "label": str(getattr(site, "label", "") or ""),
        }
        for site in structure.sites
    ]
    matrix = [[float(x) for x in row] for row in structure.lattice.matrix]
    pbc = [bool(x) for x in getattr(structure.lattice, "pbc", (True, True, True))]
    content = {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": {"matrix": matrix, "pbc": pbc},
        "sites": sites,
    }
    return json.dumps(content).encode()


def from_ase(atoms: Any) -> bytes:
    """Extended XYZ with every digit."""
    cell = " ".join(repr(float(x)) for row in atoms.cell for x in row)
    pbc = " ".join("T" if x else "F" for x in atoms.get_pbc())
    lines = [str(len(atoms)), f'Lattice="{cell}" Properties=species:S:1:pos:R:3 pbc="{pbc}"']
    for symbol, position in zip(atoms.get_chemical_symbols(), atoms.get_positions(), strict=True):
        lines.append(" ".join([symbol, *(repr(float(x)) for x in position)]))
    return ("\n".join(lines) + "\n").encode()


def chunks_of(sources: Iterable[Source], most: int, size_bytes: int) -> Iterator[list[Source]]:
    """Cut for single requests, by number and by size; a file over the size travels alone."""
    chunk: list[Source] = []
    held = 0
    for source in sources:
        size = source.size_bytes
        if chunk and (len(chunk) >= most or held + size > size_bytes or source.is_archive):
            yield chunk
            chunk, held = [], 0
        chunk.append(source)
        held += size
        if source.is_archive:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def places(shown: Sequence[str], sources: Sequence[Source]) -> list[str]:
    """Where each record came from, by the paths given; the service tells last parts of names only.

    A source has one record or several in a row (`file#block`, `archive/member`).
    """
    if len(shown) == len(sources):
        return [with_rest(source, name) for source, name in zip(sources, shown, strict=True)]
    found: list[str] = []
    at, seen = 0, set[str]()
    for name in shown:
        while at < len(sources) and (name in seen or not belongs(name, sources[at])):
            at, seen = at + 1, set()
        if at == len(sources):
            return list(shown)  # not as expected: tell what the service told
        seen.add(name)
        found.append(with_rest(sources[at], name))
    return found


def belongs(name: str, source: Source) -> bool:
    """Whether a record's name is of this file."""
    last = source.sent_as.rpartition("/")[2]
    return name == last or name.startswith((f"{last}#", f"{last}/"))


def with_rest(source: Source, name: str) -> str:
    """The path, and what the record's name has beyond the file's."""
    last = source.sent_as.rpartition("/")[2]
    return source.name + name.removeprefix(last) if belongs(name, source) else source.name
