"""The part of an answer that is worth remembering, as bytes: the same ones are sent, kept and read."""

import math
import struct
from dataclasses import dataclass

LAYOUT = 1
HEAD = struct.Struct("<BIIIf")  # layout, how many values, deviations and difficulties, score
LARGEST = 3e38  # of single precision
MOST_REASONS = 2_000  # bytes of them: what is kept for each structure is bounded


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says of one structure whatever it is asked."""

    values: tuple[float, ...] = ()  # as `Kind.answers` says
    std: tuple[float, ...] = ()  # beside the numbers; none of a single network
    difficulty: tuple[float, ...] = ()  # beside the numbers; none without intervals
    score: float | None = None  # none without a guide
    reasons: tuple[str, ...] = ()


def pack_said(said: Said) -> bytes:
    """A number takes 8 bytes; what is only an estimate of its error 4."""
    std, difficulty = _finite(said.std), _finite(said.difficulty)
    score = math.nan if said.score is None else min(said.score, LARGEST)
    values = said.values
    return b"".join(
        (
            HEAD.pack(LAYOUT, len(values), len(std), len(difficulty), score),
            struct.pack(
                f"<{len(values)}d{len(std)}f{len(difficulty)}f", *values, *std, *difficulty
            ),
            _text(said.reasons),
        )
    )


def unpack_said(packed: bytes) -> Said | None:
    """What was packed; none when another version has packed it."""
    try:
        layout, values, std, difficulty, score = HEAD.unpack_from(packed)
        if layout != LAYOUT:
            return None
        numbers = struct.unpack_from(f"<{values}d{std + difficulty}f", packed, HEAD.size)
    except struct.error:
        return None
    rest = packed[HEAD.size + 8 * values + 4 * (std + difficulty) :]
    return Said(
        numbers[:values],
        numbers[values : values + std],
        numbers[values + std :],
        None if math.isnan(score) else score,
        tuple(rest.decode().split("\n")) if rest else (),
    )


def _finite(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """All, or none when one of them is no number: JSON has no other."""
    return numbers if all(abs(one) < LARGEST for one in numbers) else ()


def _text(reasons: tuple[str, ...]) -> bytes:
    kept: list[bytes] = []
    for reason in reasons:
        line = " ".join(reason.split()).encode()
        if sum(map(len, kept)) + len(line) > MOST_REASONS:
            break
        kept.append(line)
    return b"\n".join(kept)
