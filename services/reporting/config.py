"""What a deployment can set for reporting, with unit, default and reason. Owned by reporting.

The common part is chassis'.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.settings import PREFIX, SecretFileSource, ServiceSettings


class ReportingSettings(ServiceSettings):
    """reporting's settings (HADIR_...)."""

    database_pool_size: int = Field(
        default=6,
        ge=4,
        le=50,
        description="connections of this process: two consumers, relay, sweep, and two for everybody's reads",
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


class MigrateSettings(BaseSettings):
    """What a migration needs: the schema owner's connection, not the serving role's."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    migrate_database_url: SecretStr = Field(
        description="postgresql+asyncpg://hadir_reporting_owner:password@host/database"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as ServiceSettings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as ServiceSettings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """As ServiceSettings: the environment, then the files that HADIR_..._FILE variables name."""
        return init_settings, env_settings, SecretFileSource(settings_cls)
