"""Paired timings: the two ways in turn, several times over, and the median of the ratios.

Of one thread the processor time counts, which other processes on the machine do not add to.
"""

import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Processor time that it takes once."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(
    what: str,
    reference: Callable[[], object],
    ours: Callable[[], object],
    count: int,
    *,
    rounds: int = 5,
    bar: float | None = None,
) -> None:
    """Print µs a piece of both, the ratio, and the least it has to be."""
    ours()  # whatever is only done the first time
    times = [(seconds(reference), seconds(ours)) for _ in range(rounds)]
    ratio = statistics.median(slow / quick for slow, quick in times)
    slow, quick = (statistics.median(each) * 1e6 / count for each in zip(*times, strict=True))
    print(
        f"{what:44s} reference {slow:9.1f} µs  ours {quick:8.1f} µs  ratio {ratio:6.1f}"
        + (f"  bar ≥ {bar:g}" if bar else ""),
        flush=True,
    )
