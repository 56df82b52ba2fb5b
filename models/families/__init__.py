"""One thin file a family of models."""
