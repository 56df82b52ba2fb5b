"""How a network learns: data, split, normaliser, loop, metrics."""
