"""The wire: what callers send and get; shared with the client."""
