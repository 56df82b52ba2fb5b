"""Brokers that are reached in other ways: over TLS, as a user with few rights, by Sentinels."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.conftest import server_binary
from tests.ports import free_port
from workers import rights
from workers.address import BadAddress, address_of, for_celery, shown
from workers.broker import connect, connect_async, connect_once, let_go
from workers.contract import Task
from workers.jobs import AsyncJobs, Jobs, NewJob, new_id
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
USER, SECRET = "matprop", "p%40ss"  # the latter as a URL has it


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts programs, and ends them."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: str, log: str = "log", **more: Any) -> subprocess.Popen[bytes]:
        with (tmp_path / log).open("ab") as file:
            started.append(subprocess.Popen(command, stdout=file, stderr=file, **more))
        return started[-1]

    yield begin
    for one in reversed(started):  # whoever talks to a server before that
        one.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            one.wait(15)
        one.kill()
        one.wait()


def until(true: Callable[[], Any], patience_s: float = 60) -> Any:
    deadline = time.monotonic() + patience_s
    while True:
        with suppress(RedisConnectionError, OSError):
            if found := true():
                return found
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def certificates(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that vouches for itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from ipaddress import ip_address

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem"


def tls_server() -> str:
    """A server program that was built with TLS."""
    candidates = [os.environ.get("MATPROP_TEST_TLS_SERVER"), *map(shutil.which, ("valkey-server", "redis-server"))]  # fmt: skip
    for program in filter(None, candidates):
        done = subprocess.run(
            [program, "--port", "0", "--tls-port", "1", "--tls-cert-file", "/none"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        if "Missing implement" not in done.stdout and "Bad directive" not in done.stderr:
            return program
    pytest.skip("no server with TLS here; set MATPROP_TEST_TLS_SERVER to one")


def serving(settings: WorkerSettings, start: Any) -> None:
    """A job that only Celery brings is ended by a worker process, and the service's client sees it."""
    import asyncio

    environment = os.environ | {
        "MATPROP_REDIS_URL": settings.redis_url,
        "MATPROP_STATE": str(settings.state),
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-P", "-m", "celery", "-A", "workers.app", "worker"]
    start(*argv, "-Q", "parse", "-c", "1", env=environment, cwd=settings.state.parent)
    redis = connect(settings, patience=20)
    jobs = Jobs(redis)
    until(lambda: jobs.health().workers["parse"])
    from workers.broker import make_celery, publish

    job = new_id("job")
    assert jobs.submit(NewJob(id=job, kind=Task.IMPORT, order='{"name":"a"}'))
    publish(make_celery(settings), Task.IMPORT, job)
    until(lambda: jobs.get(job).status == "failed", 30)  # there is no upload

    async def seen() -> str:
        client = connect_async(settings)
        try:
            return str((await AsyncJobs(client).get(job)).status)
        finally:
            await let_go(client)

    assert asyncio.run(seen()) == "failed"
    redis.close()


def test_a_broker_over_tls_serves_a_user_with_the_rights_in_the_guide_and_no_more(
    tmp_path: Path, start: Any
) -> None:
    program, certificate, port = tls_server(), certificates(tmp_path), free_port()
    state = tmp_path / "state"
    state.mkdir()
    rule = rights.line(USER, "p@ss")
    config = tmp_path / "broker.conf"
    config.write_text(
        f"port 0\ntls-port {port}\nbind 127.0.0.1\nappendonly yes\ndir {tmp_path}\n"
        f"tls-cert-file {certificate}\ntls-key-file {tmp_path}/key.pem\n"
        f"tls-ca-cert-file {certificate}\ntls-auth-clients no\n"
        f"user default on >admin ~* &* +@all\n{rule}\n"
    )
    start(program, str(config), log="broker.log")
    where = f"127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
    admin = Redis.from_url(f"rediss://default:admin@{where}")
    until(admin.ping)
    with pytest.raises(RedisConnectionError):  # nobody vouches for the certificate
        connect_once(f"rediss://{USER}:{SECRET}@127.0.0.1:{port}/0", 2).ping()
    settings = WorkerSettings(redis_url=f"rediss://{USER}:{SECRET}@{where}", state=state)
    with connect(settings) as redis:
        assert rights.refused(redis) == []
    serving(settings, start)
    denied = [(one["object"], one["reason"]) for one in admin.acl_log()]  # type: ignore[union-attr]
    assert [one for one in denied if "setinfo" not in one[0] and "maint" not in one[0]] == []
    admin.execute_command("ACL", "SETUSER", USER, "-zadd", "-eval")
    with connect(settings) as redis:
        assert rights.refused(redis) == ["EVAL", "ZADD"]
    assert "p@ss" not in (tmp_path / "log").read_text()
    admin.close()


def test_every_command_of_the_scripts_is_among_the_rights() -> None:
    used: set[str] = set()
    for path in (*ROOT.glob("workers/lua/*.lua"), *ROOT.glob("service/*.py")):
        used |= set(re.findall(r"redis\.call\(\s*'([A-Z]+)'", path.read_text()))
    assert used <= set(rights.COMMANDS)


def test_the_guide_has_the_rights() -> None:
    assert rights.line() in (ROOT / "docs/how-to/own-broker.md").read_text("utf-8")


@pytest.mark.slow
def test_sentinels_name_the_new_master_when_the_old_one_is_lost(tmp_path: Path, start: Any) -> None:
    ports, watch = [free_port(), free_port()], [free_port() for _ in range(3)]
    servers = []
    for number, port in enumerate(ports):
        folder = tmp_path / f"server{number}"
        folder.mkdir()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]  # fmt: skip
        options += ["--replicaof", f"127.0.0.1 {ports[0]}"] if number else []
        servers.append(start(server_binary(), *options, "--repl-diskless-sync-delay", "0"))
    until(lambda: Redis(port=ports[1]).info("replication")["master_link_status"] == "up")  # type: ignore[index]
    for port in watch:
        config = tmp_path / f"sentinel{port}.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
            f"sentinel monitor main 127.0.0.1 {ports[0]} 2\n"
            "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
        )
        start(server_binary(), str(config), "--sentinel")
    hosts = ",".join(f"127.0.0.1:{port}" for port in watch)
    state = tmp_path / "state"
    state.mkdir()
    settings = WorkerSettings(redis_url=f"redis+sentinel://{hosts}/0?master=main", state=state)
    until(lambda: connect(settings).ping())
    serving(settings, start)
    until(lambda: Redis(port=watch[0]).sentinel_master("main")["num-slaves"])  # type: ignore[index]
    until(lambda: Redis(port=watch[0]).sentinel_master("main")["num-other-sentinels"] == 2)  # type: ignore[index]
    servers[0].kill()
    until(lambda: Redis(port=ports[1]).info("replication")["role"] == "master")  # type: ignore[index]
    serving(settings, start)


@pytest.mark.parametrize(
    "url", ["sentinel://a:1/0", "sentinel:///0?master=m", "sentinel://a:b/0?master=m", "http://a"]
)
def test_a_bad_address_is_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        address_of(url)


def test_a_sentinel_url_has_all_that_redis_and_celery_need() -> None:
    address = address_of(
        "rediss+sentinel://me:a%2Fb@one:1,two/3?master=m&sentinel_password=s&ssl_ca_certs=/ca"
    )
    assert address.sentinels == (("one", 1), ("two", 26379))
    assert address.to_master == {
        "db": 3,
        "username": "me",
        "password": "a/b",
        "ssl": True,
        "ssl_ca_certs": "/ca",
    }
    url, options, tls = for_celery(address)
    assert url == "sentinel://me:a%2Fb@one:1/3;sentinel://two:26379/3"
    assert options["master_name"] == "m"
    assert options["sentinel_kwargs"] == {"password": "s", "ssl": True, "ssl_ca_certs": "/ca"}
    assert tls == {"ssl_ca_certs": "/ca", "ssl_cert_reqs": "required"}


def test_an_address_is_shown_without_its_secrets() -> None:
    assert shown("redis://me:secret@a:1/0") == "redis://me:…@a:1/0"
    told = shown("sentinel://me:secret@a:1,b:2/0?master=m&sentinel_password=other")
    assert told == "sentinel://me:…@a:1,b:2/0?master=m&sentinel_password=…"
    assert shown("unix:///run/a.sock?db=1") == "unix:///run/a.sock?db=1"
