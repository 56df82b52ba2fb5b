def ordinary(
    text: bytes, longest_line: int, most_sites: int, /
) -> (
    tuple[
        tuple[float, float, float, float, float, float],
        tuple[str, ...],
        bytes,
        bytes,
        str | None,
        str | None,
        str | None,
        str | None,
        str | None,
        bool,
    ]
    | None
):
    """Cell, operations, numbers, coordinates, formula, units, volume, group, its number, thirds; nothing for an unusual file."""
