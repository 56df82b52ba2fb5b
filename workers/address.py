"""A broker's address: one server, or a set of Sentinels that know which server is the master."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

DIRECT = ("redis", "rediss", "unix")
SENTINEL = ("sentinel", "redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26_379
SECRETS = ("password", "sentinel_password")


class BadAddress(ValueError):
    """It cannot be read; the message says why, without its secrets."""


@dataclass(frozen=True, slots=True)
class Address:
    """`url` for one server; the rest for Sentinels."""

    url: str
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = None
    tls: tuple[tuple[str, str | bool], ...] = ()  # options of redis-py
    of_sentinels: tuple[
        tuple[str, str], ...
    ] = ()  # user and password there, where they have their own

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return urlsplit(self.url).scheme.startswith("rediss")

    @property
    def to_master(self) -> dict[str, Any]:
        """Options of the connection to the master that the Sentinels name."""
        who = {"username": self.username, "password": self.password}
        return {"db": self.db, **who, **({"ssl": True} if self.encrypted else {}), **dict(self.tls)}

    @property
    def to_sentinels(self) -> dict[str, Any]:
        """Options of the connections to them."""
        ssl = {"ssl": True} if self.encrypted else {}
        return {**dict(self.of_sentinels), **ssl, **dict(self.tls)}


def address_of(url: str) -> Address:
    """What the URL means. Raises: BadAddress."""
    parts = urlsplit(url)
    if parts.scheme in DIRECT:
        return Address(url, tls=tuple(_tls(parse_qs(parts.query)).items()))
    if parts.scheme not in SENTINEL:
        known = ", ".join(f"{scheme}://" for scheme in (*DIRECT, *SENTINEL))
        raise BadAddress(f"a broker's URL begins with one of {known}")
    asked = parse_qs(parts.query)
    if not (master := asked.get("master", [""])[0]):
        raise BadAddress("a Sentinel URL names the master that is asked for: `?master=NAME`")
    user, at, hosts = parts.netloc.rpartition("@")
    name, _, secret = user.partition(":")
    try:
        db = int(parts.path.strip("/") or 0)
        sentinels = tuple(_host(one) for one in hosts.split(",") if one)
    except ValueError:
        raise BadAddress(
            "a Sentinel URL is sentinel://HOST:PORT,HOST:PORT/DB?master=NAME"
        ) from None
    if not sentinels:
        raise BadAddress("a Sentinel URL names at least one host")
    own = {
        key: asked[f"sentinel_{key}"][0]
        for key in ("username", "password")
        if f"sentinel_{key}" in asked
    }
    return Address(
        url,
        sentinels,
        master,
        db,
        unquote(name) if at and name else None,
        unquote(secret) if secret else None,
        tuple(_tls(asked).items()),
        tuple(own.items()),
    )


def for_celery(address: Address) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """Kombu's URL, its transport options, and how it speaks TLS."""
    parts = urlsplit(address.url)
    if parts.scheme == "unix":
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return f"redis+socket://{parts.path}?virtual_host={database}", {}, None
    tls = dict(address.tls) if address.encrypted else None
    if tls is not None:
        tls.setdefault("ssl_cert_reqs", "required")
    if not address.sentinels:
        asked = [
            (name, value[0])
            for name, value in parse_qs(parts.query).items()
            if not name.startswith("ssl_")
        ]
        return parts._replace(query=urlencode(asked)).geturl(), {}, tls
    who = ""
    if address.password is not None:
        who = f"{quote(address.username or '', safe='')}:{quote(address.password, safe='')}@"
    # Kombu takes user, password and database from the first one.
    first, *rest = (f"{host}:{port}/{address.db}" for host, port in address.sentinels)
    url = ";".join([f"sentinel://{who}{first}", *(f"sentinel://{one}" for one in rest)])
    options = {"master_name": address.master, "sentinel_kwargs": address.to_sentinels}
    return url, options, tls


def shown(url: str) -> str:
    """A broker's address without its secrets."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    asked = "&".join(
        f"{key}={'…' if key in SECRETS else value}"
        for key, (value, *_) in parse_qs(parts.query).items()
    )
    hidden = f"{name}{':…' if colon else ''}{at}{hosts}"
    return f"{parts.scheme}://{hidden}{parts.path}{'?' if asked else ''}{asked}"


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), SENTINEL_PORT
    return host.strip("[]"), int(port)


def _tls(asked: dict[str, list[str]]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for name, (value, *_) in asked.items():
        if name.startswith("ssl_"):
            found[name] = (
                value.lower() not in ("0", "false", "no") if name == "ssl_check_hostname" else value
            )
    return found
