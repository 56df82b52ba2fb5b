"""Networks only: no files, no training, no units."""
