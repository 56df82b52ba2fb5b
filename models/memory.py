"""Whether an error means that there was no memory left."""

import torch

SIGNS = ("can't allocate memory", "not enough memory", "defaultcpuallocator")


def exhausted(error: Exception) -> bool:
    """True of a GPU's memory as of the machine's, which torch reports as an error like any other."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error).lower() for sign in SIGNS)
