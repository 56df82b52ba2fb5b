"""The tables of the four papers: what is learned for them, how it is kept, how it is drawn."""
