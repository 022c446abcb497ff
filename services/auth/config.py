"""What a deployment can set for auth, with unit, default and reason. Owned by auth; the common part is chassis'."""

from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.clock import Clock, clock_from
from chassis.settings import PREFIX, SecretFileSource, ServiceSettings
from services.auth.application.sessions import SessionRules
from services.auth.domain.certificates import CertificateRules, Window
from services.auth.domain.roster import HonoraryRule

_PEAKS = (Window(time(6), time(8, 30)), Window(time(14), time(16, 30)))


class AuthSettings(ServiceSettings):
    """auth's settings (HADIR_...)."""

    database_pool_size: int = Field(
        default=8,
        ge=3,
        le=50,
        description="connections of this process: calls take turns on all but two, which are the relay's and health's",
    )
    auth_signing_key: SecretStr = Field(
        description="PEM of the P-256 private key that signs certificates and tokens; every replica has the same"
    )
    auth_retired_keys_dir: Path | None = Field(
        default=None,
        description="folder of *.pem keys that signed before; GetJwks tells them until what they signed has ended",
    )
    certificate_days: int = Field(
        default=56,
        ge=4,
        le=400,
        description="shortest validity of a device certificate, days; eight weeks outlast a school holiday",
    )
    certificate_spread_days: int = Field(
        default=7,
        ge=0,
        le=100,
        description="up to so many days more, at random: all enroll in one week and must not end in one",
    )
    certificate_grace_days: int = Field(
        default=14, ge=0, le=100, description="so long after its end a certificate can still be renewed, days"
    )
    peak_windows: Annotated[tuple[Window, ...], NoDecode] = Field(
        default=_PEAKS,
        max_length=12,
        description="local times when nothing is renewed, as 06:00-08:30,14:00-16:30: both ends of the school day",
    )
    challenge_seconds: int = Field(
        default=120,
        ge=10,
        le=600,
        description="how long a challenge can be used, seconds; the contract says 120",
    )
    open_challenges: int = Field(
        default=8, ge=1, le=100, description="unused challenges kept of a device; one more drops its oldest"
    )
    access_token_minutes: int = Field(
        default=60,
        ge=1,
        le=720,
        description="validity of an access token; a revoked device's session lasts at most so long",
    )
    activation_code_days: int = Field(
        default=30,
        ge=1,
        le=365,
        description="how long a code can be used, days: lists are printed and handed out",
    )
    wrong_numbers: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="wrong staff numbers that void a code; a lost list must not be tried out",
    )
    honorary: HonoraryRule = Field(
        default=HonoraryRule.REFUSE,
        description="honorary teachers, who have no NIP: refuse, by_nuptk, or by_nuptk_or_own_number",
    )
    watch_poll_seconds: float = Field(
        default=0.5,
        ge=0.05,
        le=10,
        description="between two looks for changed devices: how late a revocation may come",
    )
    watch_heartbeat_seconds: float = Field(
        default=10.0, ge=0.1, le=15, description="longest silence of a device stream; the contract says 15 s"
    )
    most_watchers: int = Field(
        default=64, ge=1, le=1000, description="device streams at once; each costs one indexed query per poll"
    )
    most_imports: int = Field(
        default=2,
        ge=1,
        le=16,
        description="imports read at once; each takes up to 160 MB at its greatest size",
    )
    most_waiting: int = Field(
        default=2000,
        ge=1,
        le=100_000,
        description="calls that may wait for a connection; at some 700 enrolments a second they wait three seconds",
    )

    @field_validator("peak_windows", mode="before")
    @classmethod
    def _read_windows(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(_window(part.strip()) for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        self.certificate_rules()
        return self

    def certificate_rules(self) -> CertificateRules:
        """How long certificates hold.

        Raises:
            ValueError: the peaks leave no time to renew.
        """
        return CertificateRules(
            lifetime=timedelta(days=self.certificate_days),
            spread=timedelta(days=self.certificate_spread_days),
            peaks=self.peak_windows,
            zone=self.zone_info(),
        )

    def session_rules(self) -> SessionRules:
        """How long challenges and sessions hold."""
        return SessionRules(
            challenge_life=timedelta(seconds=self.challenge_seconds),
            open_challenges=self.open_challenges,
            access_life=timedelta(minutes=self.access_token_minutes),
            zone=self.zone_info(),
        )


class KeySettings(BaseSettings):
    """What `mint-token` and `jwks` need: the signing key, the tenant and the deployment's time; no port, no pool."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["production", "development"] = Field(
        default="production", description="production refuses a clock that can be moved"
    )
    regency: str = Field(pattern=r"^[0-9]{4}$", description="the tenant's code, four digits")
    auth_signing_key: SecretStr = Field(description="PEM of the P-256 private key that signs")
    auth_retired_keys_dir: Path | None = Field(
        default=None, description="folder of *.pem keys that signed before"
    )
    clock_offset_file: Path | None = Field(
        default=None, description="development only: file with seconds to add to the time"
    )

    def clock(self) -> Clock:
        """The deployment's clock.

        Raises:
            ClockRefusedError: production was given a clock that can be moved.
        """
        return clock_from(environment=self.environment, offset_file=self.clock_offset_file)

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


def _window(text: str) -> Window:
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"expected a window such as 06:00-08:30, not {text[:20]!r}")
    return Window(time.fromisoformat(start.strip()), time.fromisoformat(end.strip()))
