"""HTTP/1.1 on the wire: uvicorn's h11 protocol, with deadlines for the head and for what is left unread."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.ids import request_id
from service.problems import MEDIA_TYPE, Problem

LAST_HEAD_S = 1.0  # at a stop: for who has connected, and is about to ask
LINGER_S = 10.0  # so that a client that is still sending can read why it was refused
MOST_HEAD_BYTES = 32_768
MOST_CONNECTIONS = 2_000  # of a process; more would wait longer than callers do


def protocol(head_s: float) -> type[H11Protocol]:
    """The protocol with this patience for a head."""
    return type("Protocol", (PatientProtocol,), {"head_s": head_s})


class PatientProtocol(H11Protocol):
    """Closes connections that send their head too slowly, and answers broken ones with a problem."""

    head_s: float
    _head_timer: asyncio.TimerHandle | None = None
    _linger_timer: asyncio.TimerHandle | None = None
    _leaving = False
    _turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A fresh connection has to say what it wants; one too many is told at once to come again."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._turn_away()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The first byte after an answer starts the clock of the next head."""
        if self._turned_away:
            return
        between = self.cycle is None or self.cycle.response_complete
        if between and self._linger_timer is None:
            self._await_head()
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_timers()
            self.cycle.keep_alive &= not self._leaving

    def on_response_complete(self) -> None:
        """An answer before the end of the request: the rest is read and thrown away, but not for ever."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.SEND_BODY and self._linger_timer is None:
            self._linger_timer = self.loop.call_later(LINGER_S, self._close)
        elif self.cycle.response_complete and self.conn.trailing_data[0]:
            self._await_head()  # the beginning of the next request came with this one

    def shutdown(self) -> None:
        """A stop begins. Who has just connected, or has begun to ask, gets his answer and then a close."""
        asking = self.cycle is None or (self.cycle.response_complete and self.conn.trailing_data[0])
        if not asking or self.transport.is_closing() or self._linger_timer is not None:
            super().shutdown()
            return
        self._leaving = True
        self._stop_timers()
        self._head_timer = self.loop.call_later(LAST_HEAD_S, self._head_late)

    def send_400_response(self, msg: str) -> None:
        """Not HTTP at all, or too much of it."""
        self._stop_timers()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        if self.conn.their_state is h11.ERROR and self._head_is_too_large():
            self._refuse(
                Problem("head_too_large", f"The head has more than {MOST_HEAD_BYTES} bytes.")
            )
        else:
            self._refuse(Problem("bad_request", msg))

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self._head_late)

    def _head_is_too_large(self) -> bool:
        return len(self.conn.trailing_data[0]) > MOST_HEAD_BYTES

    def _head_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(
                Problem("receive_timeout", f"The head did not come within {self.head_s:g} s.")
            )
        else:
            self._close()

    def _turn_away(self) -> None:
        self._turned_away = True
        self._answer(Problem("busy", f"{MOST_CONNECTIONS:,} connections are open."))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # To hang up on who is still sending would take the answer from him.
        self._linger_timer = self.loop.call_later(LAST_HEAD_S, self._close)

    def _refuse(self, problem: Problem) -> None:
        """Answers without the application, and closes."""
        self._answer(problem)
        self.transport.close()

    def _answer(self, problem: Problem) -> None:
        name = request_id(None)
        body = problem.response(name).body
        headers = [
            *((key.lower().encode(), value.encode()) for key, value in problem.headers.items()),
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", name.encode()),
        ]
        events: list[Any] = [
            h11.Response(status_code=problem.status, headers=headers),
            h11.Data(data=bytes(body)),
            h11.EndOfMessage(),
        ]
        try:
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._linger_timer = None
