"""Messages between a parser and its child: msgpack over a socket, never pickle."""

import select
import socket
import time
from typing import Any

import msgpack

MOST_BYTES = 256_000_000  # of one message; a child that sends more has gone mad
CHUNK = 1 << 18


class Closed(Exception):
    """The other side is gone."""


class Channel:
    """The parent's side: sends without ever waiting for a child that does not read."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        end.setblocking(False)
        self._out = bytearray()
        self._unpacker = msgpack.Unpacker(max_buffer_size=MOST_BYTES, strict_map_key=True)

    def send(self, message: list[Any]) -> None:
        """Queue a message and send what the socket takes."""
        self._out += msgpack.packb(message)
        self._flush()

    def receive(self, until: float) -> list[list[Any]]:
        """The messages there are, waiting for the first; empty when the time is over.

        Raises: Closed.
        """
        while True:
            events = select.POLLIN | (select.POLLOUT if self._out else 0)
            poll = select.poll()
            poll.register(self.end, events)
            left = max(0.0, until - time.monotonic())
            ready = poll.poll(left * 1000)
            if not ready:
                return []
            if ready[0][1] & select.POLLOUT:
                self._flush()
            if ready[0][1] & ~select.POLLOUT and (messages := self._read()):
                return messages

    def close(self) -> None:
        """Hang up."""
        self.end.close()

    def _flush(self) -> None:
        try:
            while self._out:
                sent = self.end.send(memoryview(self._out)[:CHUNK])
                del self._out[:sent]
        except BlockingIOError:
            return
        except OSError:
            self._out.clear()  # what is left to read says how it ended

    def _read(self) -> list[list[Any]]:
        try:
            data = self.end.recv(CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            raise Closed from None
        if not data:
            raise Closed
        try:
            self._unpacker.feed(data)
            return list(self._unpacker)
        except (ValueError, msgpack.UnpackException, msgpack.BufferFull):
            raise Closed from None
