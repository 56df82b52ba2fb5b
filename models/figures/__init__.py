"""What the page of a model shows: made once at the end of a training, drawn once, then only read."""
