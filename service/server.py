"""The service as a process: bounded in every direction, and leaving without hanging up on anybody."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.protocol import MOST_HEAD_BYTES, protocol
from service.settings import ServiceSettings


def configured(app: FastAPI, settings: ServiceSettings) -> uvicorn.Config:
    """How uvicorn runs it; each option with its reason."""
    return uvicorn.Config(
        app,
        host=settings.host.strip("[]"),
        port=settings.port,
        loop="auto",  # uvloop where there is one
        http=protocol(settings.head_s),  # strict h11, with deadlines
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        ws="none",
        lifespan="on",
        log_config=None,  # one form of log for the whole process
        access_log=False,  # our own line has the request id
        server_header=False,
        proxy_headers=False,  # nobody may say he is somebody else
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_s,
        backlog=1024,
    )


class Server(uvicorn.Server):
    """Says that it is about to stop before it stops listening."""

    def __init__(self, app: FastAPI, settings: ServiceSettings) -> None:
        super().__init__(configured(app, settings))
        self.house = app.state.house
        self.drain_s = settings.drain_s
        self.listen_fd = settings.listen_fd
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_started: Callable[[], None] = lambda: None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until a signal asks to stop."""
        self._loop = asyncio.get_running_loop()
        if sockets is None and self.listen_fd is not None:
            # Not ours to close: who connects while nobody accepts waits there for our successor.
            try:
                sockets = [socket.socket(fileno=self.listen_fd)]
            except OSError as error:
                sys.exit(f"MATPROP_LISTEN_FD: {self.listen_fd} is no socket: {error.strerror}")
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Then it listens."""
        await super().startup(sockets)
        if self.started:
            self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who has connected by now is let in: the end of a socket hangs up on those it has not."""
        for listening in [one for server in self.servers for one in server.sockets]:
            await self._let_in_all(listening.fileno())
        await super().shutdown(sockets)

    async def _let_in_all(self, listening: int) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(fileno=os.dup(listening)) as door, suppress(BlockingIOError):
            while True:
                connection, _ = door.accept()
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First readiness turns 503, then, after the time to drain, nobody new is let in."""
        if self.house.traffic.stopping or self._loop is None or not self.started:
            super().handle_exit(sig, frame)
            return
        self.house.traffic.stopping = True
        self._loop.call_soon_threadsafe(self._begin_to_stop)

    def _begin_to_stop(self) -> None:
        self.house.answers.stir()  # who waits gets his 202 now
        asyncio.get_running_loop().call_later(self.drain_s, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
