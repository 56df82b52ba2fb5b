"""From a structure to an image of it."""
