"""Structures to packed graphs, and graphs to batches."""
