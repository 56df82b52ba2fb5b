"""Data sets: what is known of one, and how its rows are read."""
