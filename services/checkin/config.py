"""What a deployment can set for checkin, with unit, default and reason; the common part is chassis'."""

from pathlib import Path

from pydantic import Field, SecretStr

from chassis.settings import ServiceSettings


class CheckinSettings(ServiceSettings):
    """checkin's settings (HADIR_...)."""

    database_pool_size: int = Field(
        default=6,
        ge=4,
        le=50,
        description="connections of this process: two transactions of taps, relay, consumer, two reads",
    )
    receipt_key: SecretStr = Field(description="PEM of the P-256 key that signs receipts")
    retired_receipt_keys_dir: Path | None = Field(
        default=None,
        description="folder of PEM public keys that signed receipts before; GetReceiptKeys tells them too",
    )
    anchor_key: SecretStr = Field(
        description="hex of at least 32 bytes, the HMAC key of time anchors; several with commas, the newest first"
    )
    auth_target: str = Field(
        description="host:port or unix:/path of auth, for public keys and the device feed"
    )
    service_token_file: Path = Field(
        description="file with checkin's service token, read again when it changes"
    )
    policy_file: Path | None = Field(
        default=None,
        description="JSON policy; unset: the packaged default (07:00-15:30, five and six day weeks)",
    )
    device_cache_size: int = Field(
        default=20_000,
        ge=1,
        le=1_000_000,
        description="verified certificates kept, about 2 kB each: a replica's share of a regency of 11,000, and spare",
    )
    reads_at_once: int = Field(
        default=2,
        ge=1,
        le=20,
        description="plans, days, listings at once; the pool's other connections are for taps",
    )
    reads_waiting: int = Field(
        default=2000,
        ge=1,
        le=100_000,
        description="such calls that may wait for their turn; more get a RetryInfo",
    )
    queue_length: int = Field(
        default=8000,
        ge=1,
        le=1_000_000,
        description="taps that may wait in this process, about 4 kB each; at 2,000 a second four seconds of work",
    )
    queue_age_seconds: float = Field(
        default=6.0,
        gt=0,
        le=60,
        description="age of the oldest waiting tap beyond which newcomers get a slot; the edge gives up after 10 s",
    )
    batch_size: int = Field(
        default=500,
        ge=1,
        le=5000,
        description="rows of a transaction: beyond 500 the gain is small and the wait grows",
    )
    commits_in_flight: int = Field(
        default=2, ge=1, le=16, description="transactions at once: one fills while the other flushes its WAL"
    )
    slot_horizon_seconds: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        description="latest return slot given; a caller beyond it asks again then",
    )
    assumed_drain_rate: float = Field(
        default=500.0,
        gt=0,
        description="taps a second assumed for slots until the first busy spell was measured",
    )
    retry_after_seconds: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="RetryInfo while the database is away, before jitter of as much again",
    )
