"""What goes with each answer. Plain Python: it is sent between processes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Near:
    """A structure that the model has learned from."""

    name: str
    formula: str
    distance: float  # between the vectors of whole structures; 1 is where the domain ends
    labels: tuple[float | None, ...] = ()  # a number a target; empty for sites and bonds


@dataclass(frozen=True, slots=True)
class Trust:
    """How far to trust the answer for one structure."""

    # Beside each number of the answer (bonds: each distance); half an interval's width is
    # `Intervals.factor(level)` times this. Empty where there are no intervals.
    difficulty: tuple[float, ...]
    score: float  # above 1 it is outside of the domain
    reasons: tuple[str, ...] = ()  # sentences; none when it is inside
    nearest: tuple[Near, ...] | None = None  # the nearest first; none unless asked for
