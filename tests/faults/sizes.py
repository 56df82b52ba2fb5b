"""How much is broken: a little with every change, all of it before a release (MATPROP_FAULTS=acceptance).

With every change there is time for those that are not marked slow.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Numbers of faults, and seconds of load."""

    name: str
    worker_kills: int
    broker_kills: int
    broker_pauses: int
    cut_replies: int
    silence_s: float
    training_kills: int
    inputs: int
    rate: int  # requests a second
    load_s: float
    flood_s: float  # at five times the rate
    restarts: int


CI = Size("ci", 20, 5, 5, 10, 4, 3, 1_000, 30, 8, 3, 2)
ACCEPTANCE = Size("acceptance", 200, 50, 50, 50, 60, 60, 100_000, 200, 600, 60, 20)
SIZE = {"ci": CI, "acceptance": ACCEPTANCE}[os.environ.get("MATPROP_FAULTS", "ci")]
AT_ACCEPTANCE = SIZE is ACCEPTANCE
P95_BAR_S = 0.1  # of a machine that does nothing else
REFUSALS = (429, 503)
API_MEMORY_BYTES = 300_000_000
PARSER_MEMORY_BYTES = 1_000_000_000
