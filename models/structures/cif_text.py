"""CIF text to blocks of tags and values: gemmi's tokeniser, and a forgiving one for what it refuses."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gemmi

from models.errors import TooLarge, UnreadableStructure
from models.structures import bounds

ABSENT = ("?", ".", "")
_RESERVED = re.compile(r"(data_|save_|loop_$|stop_$|global_$)", re.IGNORECASE)
_DATA = re.compile(r"^[ \t]*data_", re.IGNORECASE | re.MULTILINE)


@dataclass(slots=True)
class Loop:
    """Values in rows, as they stand in the file, quotes included."""

    tags: list[str]
    values: list[str]
    fault: str | None = None  # why the values do not fit the tags


@dataclass(slots=True)
class Block:
    """One `data_` block; tags in lower case with `_` for `.`, so that all dialects read the same."""

    name: str
    pairs: dict[str, str] = field(default_factory=dict)
    loops: dict[str, Loop] = field(default_factory=dict)  # by each of their tags
    twice: set[str] = field(default_factory=set)  # tags that stand again with other values

    def add(self, loop: Loop) -> None:
        """A loop is found by any of its tags; of two with one tag the first counts."""
        for tag in loop.tags:
            first = self.loops.setdefault(tag, loop)
            if first is not loop and first.values != loop.values:
                self.twice.add(tag)

    def put(self, tag: str, raw: str) -> None:
        """A tag with its value; of two the first counts."""
        if self.pairs.setdefault(tag, raw) != raw:
            self.twice.add(tag)

    def value(self, *tags: str) -> str | None:
        """The first of these tags that has a value, also as a loop of one row."""
        for tag in tags:
            raw = self.pairs.get(tag)
            if raw is None:
                column = self.column(tag)
                raw = column[0] if column and len(column) == 1 else None
            if raw is not None and (text := unquote(raw)) not in ABSENT:
                return text
        return None

    def column(self, *tags: str) -> list[str] | None:
        """All values of the first of these tags that is there, still quoted."""
        for tag in tags:
            loop = self.loops.get(tag)
            if loop is not None:
                if loop.fault:
                    raise UnreadableStructure(loop.fault, place=f"loop of {tag}")
                return loop.values[loop.tags.index(tag) :: len(loop.tags)]
            if tag in self.pairs:
                return [self.pairs[tag]]
        return None

    def holds(self, tags: frozenset[str]) -> bool:
        """Whether any of these tags is there."""
        return not (tags.isdisjoint(self.pairs) and tags.isdisjoint(self.loops))


def blocks(text: str) -> list[Block]:
    """All blocks of the text, in order.

    Raises: TooLarge, UnreadableStructure.
    """
    try:
        document = gemmi.cif.read_string(text, 0)
    except (ValueError, RuntimeError):
        return list(_checked(forgiving(text)))
    _check_count(len(document))
    return [_block(block) for block in document]


def unquote(raw: str) -> str:
    """The value itself: without quotes, or the lines of a text field joined."""
    first = raw[:1]
    if first in ("'", '"') and len(raw) > 1 and raw[-1] == first:
        return raw[1:-1].strip()
    if first == ";" and "\n" in raw:
        return " ".join(raw[1:].removesuffix(";").split())
    return raw


def _check_count(count: int) -> None:
    if count > bounds.BLOCKS:
        raise TooLarge(
            f"The file has {count:,} data blocks.",
            expected=f"at most {bounds.BLOCKS} blocks a file",
            got=f"{count:,}",
            hint="Split it into several files and send them together or as a zip.",
        )


def _block(source: gemmi.cif.Block) -> Block:
    block = Block(source.name.strip())
    for item in source:
        pair: Any = item.pair
        if pair is not None:
            block.put(_plain_tag(pair[0]), pair[1])
        elif (loop := item.loop) is not None:
            block.add(Loop([_plain_tag(tag) for tag in loop.tags], loop.values))
    return block


@lru_cache(maxsize=4096)
def _plain_tag(tag: str) -> str:
    return tag.lower().replace(".", "_")


def _checked(found: Iterator[Block]) -> Iterator[Block]:
    for count, block in enumerate(found, 1):
        _check_count(count)
        yield block


# -- the forgiving reader --------------------------------------------------------------------------


@dataclass(slots=True)
class _Token:
    text: str  # quotes included
    line: int
    bare: bool


def tokens(text: str) -> Iterator[_Token]:
    """Every value and keyword of the text in one pass, in time linear in its length."""
    field_lines: list[str] | None = None
    start = 0
    count = 0
    for number, line in enumerate(text.split("\n"), 1):
        if field_lines is not None:
            if not line.startswith(";"):
                field_lines.append(line)
                continue
            yield _Token(";" + "\n".join(field_lines) + "\n;", start, bare=False)
            field_lines, rest = None, line[1:]
        elif line.startswith(";"):
            field_lines, start = [line[1:]], number
            continue
        else:
            rest = line
        for token in _of_line(rest, number):
            count += 1
            if count > bounds.TOKENS:
                raise TooLarge(f"The file has more than {bounds.TOKENS:,} values.")
            yield token
    if field_lines is not None:  # never closed: it ends with the file
        yield _Token(";" + "\n".join(field_lines) + "\n;", start, bare=False)


def _of_line(line: str, number: int) -> Iterator[_Token]:
    closers: dict[str, list[int]] = {}
    at = 0
    while at < len(line):
        char = line[at]
        if char.isspace():
            at += 1
            continue
        if char == "#":
            return
        if char in "'\"":
            ends = closers.get(char)
            if ends is None:
                ends = closers[char] = [m.start() for m in re.finditer(char + r"(?=\s|$)", line)]
            place = bisect_left(ends, at + 1)
            end = ends[place] + 1 if place < len(ends) else len(line)
            text = line[at:end] if place < len(ends) else line[at:] + char
            yield _Token(text, number, bare=False)
        else:
            end = at
            while end < len(line) and not line[end].isspace():
                end += 1
            yield _Token(line[at:end], number, bare=True)
        at = end


def forgiving(text: str) -> Iterator[Block]:
    """Blocks of a text with unquoted spaces, open quotes, missing headers or short loops."""
    block = Block("")
    reader = _Reader(block)
    for token in tokens(text):
        if token.bare and (word := _RESERVED.match(token.text)):
            kind = word[1].lower()
            if kind in ("data_", "global_"):
                reader.close()
                if block.pairs or block.loops:
                    yield block
                block = Block(token.text[len(kind) :])
                reader = _Reader(block)
            else:
                reader.close()
                if kind == "loop_":
                    reader.open(token.line)
            continue
        reader.take(token)
    reader.close()
    if block.pairs or block.loops:
        yield block


class _Reader:
    """Gathers the tokens of one block."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.tag: str | None = None
        self.line = 0
        self.tags: list[str] | None = None
        self.rows: list[_Token] = []
        self.alone = False

    def open(self, line: int) -> None:
        """Start a loop."""
        self.tags, self.rows, self.tag, self.line = [], [], None, line

    def take(self, token: _Token) -> None:
        """A tag or a value."""
        if token.bare and token.text.startswith("_"):
            tag = _plain_tag(token.text)
            if self.tags is not None and not self.rows:
                self.alone = token.line != self.line  # on a line of its own
                self.tags.append(tag)
                self.line = token.line
                return
            self.close()
            self.tag, self.line = tag, token.line
            return
        if self.tags and not self.rows and self.alone and token.line == self.line:
            tag = self.tags.pop()  # a loop without values, then a tag with its value
            self.close()
            self.tag = tag
        if self.tags is not None:
            self.rows.append(token)
        elif self.tag is not None:
            self._value(self.tag, token)

    def _value(self, tag: str, token: _Token) -> None:
        known = self.block.pairs.get(tag)
        if known is None:
            self.block.pairs[tag] = token.text
            self.line = token.line
        elif token.line == self.line:  # `_symmetry_space_group_name_H-M  P 21/c`
            self.block.pairs[tag] = f"{known} {token.text}"

    def close(self) -> None:
        """End the loop, if one is open."""
        if self.tags:
            self.block.add(_fitted(self.tags, self.rows))
        self.tags, self.tag = None, None


def _fitted(tags: list[str], rows: list[_Token]) -> Loop:
    width = len(tags)
    values = [token.text for token in rows]
    if len(values) % width == 0:
        return Loop(tags, values)
    lines: dict[int, list[str]] = {}
    for token in rows:
        lines.setdefault(token.line, []).append(token.text)
    if any(tag.endswith("_xyz") for tag in tags):
        return Loop(tags, [value for line in lines.values() for value in _joined(tags, line)])
    short = next((n for n, line in lines.items() if len(line) != width), 0)
    fault = (
        f"A loop of {width} columns holds {len(values)} values; "
        f"line {short} has {len(lines.get(short, []))}."
    )
    return Loop(tags, values, fault)


def _joined(tags: list[str], line: list[str]) -> list[str]:
    """A row whose operation was written with blanks and without quotes."""
    width = len(tags)
    if len(line) <= width:
        return line + ["?"] * (width - len(line))
    column = next(i for i, tag in enumerate(tags) if tag.endswith("_xyz"))
    after = width - column - 1
    end = len(line) - after
    return [*line[:column], " ".join(line[column:end]), *line[end:]]
