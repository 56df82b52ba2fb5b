"""Parsed input of late, bounded in bytes, so that the same text is not read twice."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from models.errors import ParserLimit

if TYPE_CHECKING:
    from workers.parser import Parsed, Source

OVERHEAD_BYTES = 600  # what a parsed structure takes beside its arrays


class ParsedCache:
    """Shared by the threads of a process; least recently used out."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._held: OrderedDict[Hashable, tuple[int, tuple[Parsed, ...]]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> "tuple[Parsed, ...] | None":
        """All structures of one source, if it was read lately."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][1]

    def keep(self, key: Hashable, items: "tuple[Parsed, ...]") -> None:
        """Remember one source; a source too big for the bound is not worth keeping."""
        size = sum(map(_size, items))
        if size > self.most_bytes // 8 or any(map(_passing, items)):
            return
        with self._lock:
            before = self._held.pop(key, None)
            self._bytes += size - (before[0] if before else 0)
            self._held[key] = (size, items)
            while self._bytes > self.most_bytes:
                _, (gone, _) = self._held.popitem(last=False)
                self._bytes -= gone


def source_key(source: "Source", how: Hashable) -> Hashable:
    """The same for sources that read the same: text, name, forced format, and how it is read."""
    return hashlib.blake2b(source.data, digest_size=16).digest(), source.name, source.format, how


def _passing(item: "Parsed") -> bool:
    """A limit that was hit on a busy machine may not be hit again."""
    return item.error is not None and item.error["code"] == ParserLimit.code


def _size(item: "Parsed") -> int:
    sites = 32 * len(item.fractional) if item.fractional else 0
    return OVERHEAD_BYTES + len(item.numbers) + sites + sum(map(len, item.graphs.values()))
