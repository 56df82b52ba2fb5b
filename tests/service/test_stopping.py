"""At a stop nobody is hung up on: who has connected is answered, and who comes later waits for the next service."""

import socket
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from service import protocol
from service.cli.start import EXAMPLE, first_prediction
from service.settings import ServiceSettings
from tests.service.conftest import Door, opened

ASK = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


def answer(connection: socket.socket) -> bytes:
    """All that comes until the service closes."""
    found = b""
    while data := connection.recv(65_536):
        found += data
    return found


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


@pytest.fixture
def settings_here(own_broker: Any, tmp_path: Any) -> ServiceSettings:
    return ServiceSettings(redis_url=own_broker.url, state=tmp_path, port=0)


def connected(door: Door) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", door.port), timeout=20)
    until(lambda: door.server.server_state.connections)
    return connection


def stopping(door: Door) -> bool:
    return not door.server.servers[0].sockets


@pytest.fixture
def time_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a busy machine may need."""
    monkeypatch.setattr("service.protocol.LAST_HEAD_S", 30.0)


@pytest.mark.usefixtures("time_to_ask")
def test_who_has_connected_may_still_ask(settings_here: ServiceSettings) -> None:
    with opened(settings_here) as door, connected(door) as connection:
        door.server.should_exit = True
        until(lambda: stopping(door))
        connection.sendall(ASK + b"\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("time_to_ask")
def test_who_has_begun_to_ask_on_a_kept_connection_may_end(settings_here: ServiceSettings) -> None:
    with opened(settings_here) as door, connected(door) as connection:
        connection.sendall(ASK + b"\r\n")
        first = b""
        while not first.endswith(b"}"):  # head and body may come apart
            first += connection.recv(65_536)
        assert first.startswith(b"HTTP/1.1 200")
        kept: Any = next(iter(door.server.server_state.connections))
        connection.sendall(ASK)
        until(lambda: kept.conn.trailing_data[0])
        door.server.should_exit = True
        until(lambda: stopping(door))
        connection.sendall(b"\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200")


def test_who_says_nothing_does_not_hold_up_the_stop(settings_here: ServiceSettings) -> None:
    assert protocol.LAST_HEAD_S < 5
    patient = settings_here.model_copy(update={"head_s": 600.0})
    with opened(patient) as door, connected(door) as connection:
        door.server.should_exit = True
        assert answer(connection) == b""  # within the connection's own 20 s


def test_who_comes_between_two_services_waits_for_the_second(
    settings_here: ServiceSettings,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def handed() -> ServiceSettings:
            held = listening.dup()
            return settings_here.model_copy(update={"listen_fd": held.detach()})

        with opened(handed()):
            pass
        with socket.create_connection(listening.getsockname(), timeout=30) as connection:
            connection.sendall(ASK + b"Connection: close\r\n\r\n")
            found: list[bytes] = []
            waiting = threading.Thread(target=lambda: found.append(answer(connection)))
            waiting.start()
            with opened(handed()):
                waiting.join(20)
        assert found[0].startswith(b"HTTP/1.1 200")


def test_a_socket_that_others_reach_needs_keys_whatever_the_host_is_set_to(
    settings_here: ServiceSettings,
) -> None:
    for address, loopback in (("0.0.0.0", False), ("127.0.0.1", True)):
        with socket.create_server((address, 0)) as listening:
            told = settings_here.model_copy(update={"listen_fd": listening.fileno()})
            assert told.on_loopback is loopback


def test_a_first_prediction_does_not_wait_for_a_service_that_has_gone(
    settings_here: ServiceSettings,
) -> None:
    example, said = Path(str(files("service") / "examples" / EXAMPLE)), list[str]()

    with opened(settings_here) as door:
        door.worker.sleep()
        first = threading.Thread(
            target=lambda: said.append(first_prediction(door.url, settings_here, example)),
            daemon=True,
        )
        first.start()
        until(lambda: door.client.get("/v1/jobs").json()["jobs"])
    first.join(30)

    assert said
    assert said[0].startswith("The first prediction did not work: ")
