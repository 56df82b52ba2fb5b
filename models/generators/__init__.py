"""Data sets made by computation: pairs of atoms, and sheets."""
