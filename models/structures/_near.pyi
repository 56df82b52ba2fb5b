def near(
    lattice: object,
    fractional: object,
    count: int,
    edge: float,
    stretch: float,
    beyond: float,
    guess: float,
    most: int,
    /,
) -> tuple[bytes, bytes, bytes, bytes, bytes] | None:
    """Centres, sites, positions, distances of all pairs, and the last of each centre."""

def apart(
    lattice: object, fractional: object, numbers: object, other: float, hydrogen: float, /
) -> bool:
    """Whether no two sites are too near, the nearest image of each considered."""
