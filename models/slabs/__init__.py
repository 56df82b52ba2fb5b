"""Slabs with an adsorbate: who is adsorbed, on what, and which sites it may bind to."""
