"""What the door can be set to, on top of what it shares with the workers."""

import os
import socket
from ipaddress import ip_address

from pydantic import Field, SecretStr, field_validator

from service.locations import roots_of
from workers.settings import WorkerSettings

MIB = 1024 * 1024


class ServiceSettings(WorkerSettings):
    """The address, the bounds and the patience of the service."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Anything but loopback needs API keys: set `MATPROP_ADMIN_KEY`.",
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    listen_fd: int | None = Field(
        None,
        ge=3,
        description="A listening socket that whoever starts the service hands over, by its number; it takes the place "
        "of address and port, and who connects during a restart waits in it. systemd's first one is 3.",
    )
    admin_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="A key with every right, to make the first API keys with. Setting it turns keys on.",
    )
    allowed_hosts: str = Field(
        "",
        description="Comma-separated further names that the `Host` header may carry when no keys are used; "
        "loopback names always may.",
    )

    max_files: int = Field(1_000, ge=1, description="Structures or files of one call.")
    max_structure_bytes: int = Field(5_000_000, ge=1, description="Bytes of one structure file.")
    max_archive_bytes: int = Field(64_000_000, ge=1, description="Bytes of one archive.")
    max_body_bytes: int = Field(64_000_000, ge=1, description="Bytes of one request body.")
    max_dataset_bytes: int = Field(2_000_000_000, ge=1, description="Bytes of one data set.")
    max_screening_bytes: int = Field(
        20_000_000_000, ge=1, description="Bytes of one screening's upload."
    )
    max_screening_files: int = Field(
        200_000, ge=1, description="Files of one screening's upload; archives count as one."
    )
    max_json_bytes: int = Field(16_000_000, ge=1, description="Bytes of one JSON body.")
    max_models: int = Field(16, ge=1, description="Models of one call.")
    max_fields: int = Field(64, ge=1, description="Form fields of one call that are not files.")
    max_field_bytes: int = Field(
        4_096, ge=64, description="Bytes of one form field that is not a file."
    )

    input_roots: str = Field(
        "",
        description="Comma-separated folders and `s3://bucket/prefix` addresses whose content callers may screen "
        "by its `location`; none when empty.",
    )
    max_table_queries: int = Field(
        2, ge=1, description="Questions to tables that are answered at once; a few more wait."
    )
    table_s: float = Field(10.0, gt=0, description="Longest time of one question to a table.")
    export_s: float = Field(
        300.0, gt=0, description="Longest time in which a whole table is made a file."
    )
    table_memory_bytes: int = Field(
        128_000_000,
        ge=64_000_000,
        description="Memory that questions to tables may take together.",
    )
    table_disk_bytes: int = Field(
        4_000_000_000,
        ge=0,
        description="Disk that sorting a table may take, beyond memory.",
    )

    wait_default_s: float = Field(
        5.0, ge=0, description="How long a POST waits for its answer unless asked."
    )
    wait_max_s: float = Field(60.0, ge=0, le=600, description="The longest `Prefer: wait`.")
    head_s: float = Field(10.0, gt=0, description="Time in which a request's head must have come.")
    receive_s: float = Field(
        20.0,
        gt=0,
        description="Time that may pass waiting for a request's body, beyond what its size allows.",
    )
    receive_bytes_per_s: int = Field(
        50_000, ge=1, description="The slowest upload: every so many bytes allow one more second."
    )
    keep_alive_s: int = Field(30, ge=1, description="How long an idle connection is kept.")
    shutdown_s: int = Field(
        7, ge=0, description="Time that requests in flight have to finish at shutdown."
    )

    drain_s: float = Field(
        0.3,
        ge=0,
        le=60,
        description="Time between readiness turning 503 and the end of listening, at shutdown.",
    )

    max_requests: int = Field(512, ge=1, description="Requests in progress at once; more get 503.")
    max_streams: int = Field(64, ge=1, description="Event streams open at once; more get 503.")
    max_uploads: int = Field(32, ge=1, description="Large uploads received at once; more get 503.")
    min_free_bytes: int = Field(
        200_000_000, ge=0, description="Free disk space below which no upload is taken."
    )
    ping_s: float = Field(15.0, gt=0, description="Pause between the pings of an event stream.")
    stream_s: float = Field(
        3_600.0,
        gt=0,
        description="Longest life of one event stream; clients reconnect with `Last-Event-ID`.",
    )

    quota_requests_per_minute: int = Field(
        600, ge=1, description="Requests a minute of a new key, unless it is given another figure."
    )
    quota_structures_per_day: int = Field(
        100_000,
        ge=1,
        description="Structures a day of a new key, unless it is given another figure.",
    )

    @field_validator("input_roots")
    @classmethod
    def _are_roots(cls, value: str) -> str:
        roots_of(value)
        return value

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        host = self.host.strip("[]") if self.listen_fd is None else address_of(self.listen_fd)
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False


def address_of(listen_fd: int) -> str:
    """Where a socket that was handed over listens, whatever the settings say; `localhost` for one of this machine."""
    try:
        with socket.socket(fileno=os.dup(listen_fd)) as handed:
            if handed.family == socket.AF_UNIX:
                return "localhost"
            return str(handed.getsockname()[0])
    except OSError:
        return ""  # the start will fail
