"""How far to trust an answer: calibrated intervals, the domain of a model, and the nearest of what it has seen."""
