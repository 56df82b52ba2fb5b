"""The word that a worker is to stop, from the parent process to its children and their threads."""

import mmap
import struct
import time

MOMENT = struct.Struct("<d")


class Stopping:
    """A page of memory shared by fork; the monotonic clock is the same in all processes."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, MOMENT.size)

    def ask(self) -> None:
        """From now on nothing new is begun; the first call counts."""
        if not self.asked:
            MOMENT.pack_into(self._page, 0, time.monotonic())

    @property
    def asked(self) -> bool:
        """Whether it is time to begin nothing new."""
        return self._since > 0

    def overdue(self, grace_s: float) -> bool:
        """Whether what is in hand has to be given back."""
        return self.asked and time.monotonic() - self._since > grace_s

    @property
    def _since(self) -> float:
        return float(MOMENT.unpack_from(self._page)[0])
