"""What a deployment can set for reporting, with unit, default and reason. Owned by reporting.

The common part is chassis'.
"""

from pathlib import Path

from pydantic import Field

from chassis.settings import ServiceSettings


class ReportingSettings(ServiceSettings):
    """reporting's settings (HADIR_...)."""

    database_pool_size: int = Field(
        default=6,
        ge=4,
        le=50,
        description="connections of this process: consumers of taps and of people, relay, sweep, and two for reads;"
        " what is rare (revocations, keys) takes its turn",
    )
    auth_target: str = Field(description="host:port or unix:/path of auth, for public keys and rebuilds")
    checkin_target: str | None = Field(
        default=None, description="host:port or unix:/path of checkin; needed by rebuild only"
    )
    service_token_file: Path | None = Field(
        default=None, description="file with reporting's service token; needed by rebuild only"
    )
    policy_file: Path | None = Field(
        default=None,
        description="JSON policy; unset: the packaged default (07:00-15:30, five and six day weeks)",
    )
    most_watchers: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="boards watched at once through this process: they share one reading a second",
    )
    sweep_seconds: float = Field(
        default=20.0,
        ge=0.1,
        le=3600,
        description="between two looks for days that time alone decided; how late such a day may be told",
    )
