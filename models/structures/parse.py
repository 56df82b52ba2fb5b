"""Bytes of any kind to structures or errors; never raises for what a sender sends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from models.errors import InputError, ParserLimit, TooLarge, UnknownFormat, UnreadableStructure
from models.structures import bounds, cif, cif_text, documents, extxyz, poscar
from models.structures.archive import Member, members
from models.structures.cif_ordinary import ordinary
from models.structures.draft import Disorder, ReadOptions
from models.structures.formats import ARCHIVES, Format, recognise
from models.structures.structure import Structure
from models.structures.text import check_lines, decode

T = TypeVar("T")

__all__ = ["Disorder", "ReadOptions", "Structure", "Unit", "files", "parse", "read", "units"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One structure to be: a block, a frame, an entry."""

    name: str
    make: Callable[[], Structure]


def parse(
    data: bytes,
    name: str,
    format: str | None,  # noqa: A002 - the API's word
    options: ReadOptions,
) -> list[Structure | InputError]:
    """Every structure of a file or archive, in order; a bad one is its error."""
    found: list[Structure | InputError] = []
    for member in files(data, name, format):
        made = units(member, options)
        if isinstance(made, InputError):
            found.append(made)
        else:
            found.extend(read(unit) for unit in made)
    return found


def files(data: bytes, name: str, format: str | None) -> Iterator[Member]:  # noqa: A002
    """The single files of what was sent: itself, or an archive's members."""
    try:
        forced = _forced(format)
        kind = recognise(name, data, forced)
        if kind in ARCHIVES:
            yield from members(data, name, kind, forced)
        else:
            yield Member(name, data, kind)
    except InputError as error:
        yield Member(name, error=error.in_file(name))
    except MemoryError:
        yield Member(name, error=out_of_memory(name))


def units(member: Member, options: ReadOptions) -> list[Unit] | InputError:
    """What one file holds; its text is split, its structures are not yet built."""
    if member.error:
        return member.error
    made = _guarded(member.name, lambda: _units(member, options))
    return made or UnreadableStructure("The file holds no structure.", file=member.name)


def read(unit: Unit) -> Structure | InputError:
    """The structure of a unit, or why there is none."""
    return _guarded(unit.name, unit.make)


def out_of_memory(name: str) -> ParserLimit:
    """The error for a structure that took all the memory it may."""
    return ParserLimit(
        "Reading the structure took more memory than one structure may take.",
        file=name,
        hint="Send a smaller cell, or the file in P 1.",
    )


def _guarded(name: str, make: Callable[[], T]) -> T | InputError:
    try:
        return make()
    except InputError as error:
        return error.in_file(name)
    except MemoryError:
        return out_of_memory(name)
    except RecursionError:
        return UnreadableStructure("The file is nested too deeply.", file=name)
    except Exception as fault:  # noqa: BLE001 - whatever a file makes the libraries do is its error
        return UnreadableStructure(
            f"The file could not be understood ({type(fault).__name__}).",
            file=name,
            hint="Does another program open it? Exporting it again as CIF in P 1 often helps.",
        )


def _forced(word: str | None) -> Format | None:
    if word is None or word in ("", "auto"):
        return None
    try:
        return Format(word.lower())
    except ValueError:
        raise UnknownFormat(
            f"There is no format {word[:40]!r}.", expected=", ".join(Format), got=word[:40]
        ) from None


def _units(member: Member, options: ReadOptions) -> list[Unit]:
    if member.format is Format.CIF:
        made = ordinary(member.data, member.name, options)
        if made is not None:
            return [_unit(member.name, lambda: made)]
    text, notes = decode(member.data, member.name)
    name = member.name
    if member.format is Format.CIF:
        return _of_cif(text, name, options, notes)
    if member.format is Format.POSCAR:
        check_lines(text, name)
        return [Unit(name, lambda: poscar.read(text, name, options, notes))]
    if member.format is Format.EXTXYZ:
        return _of_extxyz(text, name, options, notes)
    if member.format is Format.JSONL:
        return _of_lines(text, name, options, notes)
    entries = list(documents.entries(documents.load(text)))
    labels = names(name, [label for label, _ in entries])
    return [
        _unit(label, _of_entry, entry, label, options, notes)
        for label, (_, entry) in zip(labels, entries, strict=True)
    ]


def _of_cif(text: str, name: str, options: ReadOptions, notes: list[str]) -> list[Unit]:
    check_lines(text, name)
    blocks = cif_text.blocks(text)
    found = [block for block in blocks if cif.holds_structure(block)]
    if not found:
        raise UnreadableStructure(
            "The CIF holds no structure: no block lists sites with coordinates.",
            expected="a data block with a cell and an _atom_site loop",
            got=f"{len(blocks)} block{'s' if len(blocks) != 1 else ''} without sites",
        )
    labels = names(name, [block.name for block in found])
    return [
        _unit(label, cif.structure, block, label, options, notes)
        for label, block in zip(labels, found, strict=True)
    ]


def _of_extxyz(text: str, name: str, options: ReadOptions, notes: list[str]) -> list[Unit]:
    check_lines(text, name)
    found: list[tuple[int, list[str]]] = []
    broken: list[InputError] = []
    try:
        found.extend(islice(extxyz.frames(text), bounds.FRAMES + 1))
    except InputError as error:
        broken.append(error)
    if len(found) > bounds.FRAMES:
        raise TooLarge(
            "The file has too many frames.",
            expected=f"at most {bounds.FRAMES:,} frames a file",
            hint="Split it into several files.",
        )
    labels = names(name, [str(count + 1) for count in range(len(found) + len(broken))])
    made = [
        _unit(label, extxyz.read, lines, start, label, options, notes)
        for label, (start, lines) in zip(labels, found, strict=False)
    ]
    return made + [_unit(labels[-1], _raise, error) for error in broken]


def _raise(error: InputError) -> Structure:
    raise error


def _of_entry(
    entry: documents.Json, label: str, options: ReadOptions, notes: list[str]
) -> Structure:
    """The structure of an entry of a document, which may hold the text of a file."""
    held = documents.text_of(entry)
    if held is None:
        return documents.read(entry, label, options, notes)
    data = held[0].encode("utf-8", "replace")
    member = Member(label, data, recognise("", data, held[1]))
    return _only(_units(member, options), "text").make()


def _only(found: list[T], place: str) -> T:
    """The single one. Raises: UnreadableStructure."""
    if len(found) != 1:
        number = "several structures" if found else "no structure"
        raise UnreadableStructure(f"The {place} holds {number}.", expected=f"one a {place}")
    return found[0]


def _of_lines(text: str, name: str, options: ReadOptions, notes: list[str]) -> list[Unit]:
    lines = [(row, line) for row, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > bounds.FRAMES:
        raise TooLarge(
            f"The file has {len(lines):,} lines.",
            expected=f"at most {bounds.FRAMES:,} structures a file",
        )

    def make(row: int, line: str, label: str) -> Structure:
        try:
            _, entry = _only(list(documents.entries(documents.load(line))), "line")
            return _of_entry(entry, label, options, notes)
        except InputError as error:
            error.place = f"line {row}" + (f", {error.place}" if error.place else "")
            raise

    labels = names(name, [str(row) for row, _ in lines])
    return [
        _unit(label, make, row, line, label)
        for label, (row, line) in zip(labels, lines, strict=True)
    ]


def _unit(name: str, make: Callable[..., Structure], *arguments: object) -> Unit:
    return Unit(name, lambda: make(*arguments))


def names(name: str, labels: list[str]) -> list[str]:
    """`file`, or `file#label` for each of several; the second of one label is `label-2`."""
    if len(labels) == 1:
        return [name]
    count: dict[str, int] = {}
    found = []
    for position, label in enumerate(labels, 1):
        label = label[:60] or str(position)  # noqa: PLW2901
        count[label] = count.get(label, 0) + 1
        found.append(f"{name}#{label}" + (f"-{count[label]}" if count[label] > 1 else ""))
    return found
