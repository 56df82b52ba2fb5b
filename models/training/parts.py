"""Which part a row belongs to, in plain Python: the service must foresee what the trainer will do. Light."""

from collections import Counter
from collections.abc import Hashable, Sequence
from hashlib import blake2b

PARTS = ("train", "val", "test")


def divided(groups: Sequence[Hashable], val: float, test: float, seed: int) -> list[str]:
    """The part of each row; rows of one group stay together.

    A group's place follows from its name and the seed alone. No part that was asked for stays empty when
    there are as many groups as parts.
    """
    order, sizes = _drawn(groups, max(val, test), seed)
    ends = _ends([sizes[group] for group in order], val, test)
    part = {
        group: "test" if at < ends[0] else "val" if at < ends[1] else "train"
        for at, group in enumerate(order)
    }
    return [part[group] for group in groups]


def chosen(rows: Sequence[int], count: int, seed: int) -> list[int]:
    """So many of the rows; fewer are always among more of the same seed."""
    return sorted(sorted(rows, key=lambda row: drawn(seed, f"row {row}"))[:count])


def drawn(seed: int, name: object) -> bytes:
    """What decides a name's place in an order by chance."""
    return blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()


def _drawn(
    groups: Sequence[Hashable], share: float, seed: int
) -> tuple[list[Hashable], Counter[Hashable]]:
    """Groups in their order by chance; those larger than a part come last, where the training rows are."""
    sizes = Counter(groups)
    most = max(1.0, share * len(groups))
    return sorted(sizes, key=lambda group: (sizes[group] > most, drawn(seed, group))), sizes


def _ends(sizes: Sequence[int], val: float, test: float) -> tuple[int, int]:
    """How many groups are test rows, and how many test or validation rows."""
    total, before, middles = sum(sizes), 0, []
    for size in sizes:
        middles.append(before + size / 2)
        before += size
    last = len(sizes) - 1  # one group at least is left to learn from
    judging = sum(middle < test * total for middle in middles)
    judging = max(0, min(max(judging, test > 0), last - (val > 0)))
    choosing = sum(middle < (test + val) * total for middle in middles)
    return judging, max(judging, min(max(choosing, judging + (val > 0)), last))
