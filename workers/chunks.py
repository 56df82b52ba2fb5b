"""Graphs on their way to inference: those for one model go together, equal structures once."""

from dataclasses import dataclass, field

from models.samples import cost_of
from workers.assembly import Line

CHUNK = 64  # graphs of an entry at most
CHUNK_EDGES = 50_000


@dataclass(slots=True)
class Ask:
    """One graph that waits for one model."""

    line: Line
    digest: str
    graph: bytes


@dataclass(slots=True)
class Chunk:
    """What goes to one model in one entry: graphs, and for each who asks for it."""

    place: int
    groups: dict[str, list[Ask]] = field(default_factory=dict)  # by the structure's digest
    edges: int = 0

    def add(self, ask: Ask) -> None:
        """One graph more; equal structures share one."""
        if ask.digest not in self.groups:
            self.groups[ask.digest] = []
            self.edges += cost_of(ask.graph)
        self.groups[ask.digest].append(ask)

    def is_full(self, most: int = CHUNK) -> bool:
        """Whether it should go."""
        return len(self.groups) >= most or self.edges >= CHUNK_EDGES

    @property
    def lives(self) -> int:
        """A graph by itself may cost a third worker before it is given up; a chunk is taken apart before."""
        return 3 if len(self.groups) == 1 else 2
