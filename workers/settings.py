"""What a deployment can set, read once a process from `MATPROP_…`; a bad value refuses the start."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.address import address_of


class WorkerSettings(BaseSettings):
    """Shared by workers and service: where the broker and the files are."""

    model_config = SettingsConfigDict(
        env_prefix="MATPROP_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="The broker, a Redis 7 or Valkey server: `redis://`, `rediss://` (TLS) or `unix://`; or its Sentinels: `sentinel://HOST:PORT,HOST:PORT/DB?master=NAME`, `rediss+sentinel://…`.",
    )

    redis_timeout_s: float = Field(
        5.0,
        ge=1.5,
        le=60,
        description="Silence after which a connection to the broker counts as dead.",
    )
    state: Path = Field(
        Path("state"),
        description="Folder of uploads, results and models, shared by all; with a store of its own for them, of this machine alone.",
    )
    store_url: str = Field(
        "",
        pattern=r"^(|file:///[^?#]+|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.!*'()/-]*)?)$",
        description="Where uploads, results, data sets and models lie: `file:///folder`, `s3://bucket/prefix`, or nothing for the state folder. Credentials come from the environment (`AWS_ACCESS_KEY_ID`, …), never from here.",
    )
    store_endpoint: str = Field(
        "",
        pattern=r"^(|https?://[^@]+)$",
        description="Address of an S3 server that is not Amazon's; `AWS_ENDPOINT_URL` is understood too.",
    )
    store_timeout_s: float = Field(
        5.0, ge=0.5, le=60, description="Silence after which a call of the object store has failed."
    )
    store_patience_s: float = Field(
        60.0,
        ge=0,
        le=120,
        description="How long a job waits for an object store that is away before it fails.",
    )
    store_snapshot_s: float = Field(
        10.0,
        ge=0.5,
        le=3_600,
        description="Pause between two snapshots that a training sends to an object store; what is learned after the last one is lost with its machine.",
    )
    store_cache_bytes: int = Field(
        10_000_000_000,
        ge=1_000_000,
        description="Bytes of copies from an object store that this machine keeps.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where networks run: `auto`, `cpu` or `cuda:N`.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Arithmetic of inference; `bfloat16` on GPUs only."
    )
    batch_edges: int = Field(
        200_000, ge=1_000, description="Edges of one batch; bounds the memory of inference."
    )
    resident_models: int = Field(
        8, ge=1, description="Models held in memory by an inference worker."
    )
    cache_answers: int = Field(
        200_000,
        ge=0,
        description="Answers kept per model version, so that no structure is computed twice.",
    )
    cache_parsed_bytes: int = Field(
        64_000_000, ge=0, description="Bytes of parsed input that each parse worker keeps."
    )
    parse_wall_s: float = Field(
        8.0, gt=0, le=60, description="Longest time one structure may take to read."
    )
    parse_memory_bytes: int = Field(
        1_000_000_000,
        ge=100_000_000,
        description="Memory that reading may take beyond the child's own.",
    )
    lease_s: float = Field(
        10.0, gt=1, description="A worker that stays silent this long has lost its job."
    )
    result_ttl_s: int = Field(
        7 * 86_400, ge=60, description="How long an ended job and its files are kept."
    )
    max_queued_jobs: int = Field(
        10_000, ge=1, description="Jobs that may wait; beyond that new ones are refused with 503."
    )
    max_kept_jobs: int = Field(
        100_000, ge=100, description="Ended jobs kept at most; beyond that the oldest go early."
    )
    max_redis_bytes: int = Field(
        2_000_000_000,
        ge=16_000_000,
        description="Broker memory beyond which new jobs are refused, unless its own `maxmemory` is lower.",
    )
    grace_s: float = Field(
        5.0,
        ge=0,
        le=300,
        description="Time a worker that is told to stop gives to the job in hand.",
    )
    train_workers: int = Field(
        1, ge=1, le=64, description="Trainings that `matprop up` lets run at once."
    )
    train_threads: int = Field(1, ge=1, le=1024, description="Threads of one training.")
    train_memory_bytes: int = Field(
        16_000_000_000,
        ge=1_000_000_000,
        description="Memory that one training may take on a CPU; on a GPU none is bounded.",
    )
    train_wall_s: float = Field(7 * 86_400, gt=0, description="Longest time one training may take.")
    train_grace_s: float = Field(
        120.0,
        gt=1,
        le=3_600,
        description="Time a cancelled training has to keep the best so far.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe lines that are logged."
    )
    log_json: bool = Field(False, description="JSON lines instead of readable ones.")

    @field_validator("redis_url")
    @classmethod
    def _known(cls, url: str) -> str:
        address_of(url)
        return url
