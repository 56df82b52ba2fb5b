"""The families of models: stages are shared, a family is a thin file."""
