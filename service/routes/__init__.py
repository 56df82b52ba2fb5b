"""One file a noun of the URL."""
