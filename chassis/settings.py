"""What a deployment can set: read once from the environment, frozen, and right before any port is bound.

Owner: chassis. A service derives its own settings from `ServiceSettings` and loads them with `load_settings`. A secret
`F` may come from a file instead (`HADIR_F_FILE`), which is how Kubernetes and systemd hand secrets out.
"""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from chassis.clock import Clock, ClockRefusedError, clock_from

PREFIX = "HADIR_"

# A secret is a password, a URL or a key; a larger file is the wrong file.
MAX_SECRET_BYTES = 64 * 1024

# 65,535 is the last port; brackets hold an IPv6 address; 107 bytes is what the kernel takes as a socket's path.
_HOST_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_MAX_SOCKET_PATH = 107
_NATS_SERVER = re.compile(r"(nats|tls)://[^\s,/]+")

S = TypeVar("S", bound=BaseSettings)


def check_address(value: str, *, sockets: bool = True) -> str:
    """An address to listen on or to call: "host:port", or "unix:/absolute/path" when sockets are allowed.

    Raises:
        ValueError: it is neither; the message says what is expected.
    """
    if sockets and value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/") or len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise ValueError(
                f"a socket is unix:/absolute/path of at most {_MAX_SOCKET_PATH} bytes, not {value!r}"
            )
        return value
    match = _HOST_PORT.fullmatch(value)
    if match is None or int(match["port"]) > 65535:
        expected = "host:port or unix:/absolute/path" if sockets else "host:port"
        raise ValueError(f"expected {expected}, not {value!r}")
    return value


class ServiceSettings(BaseSettings):
    """What every service can be told. Times are seconds. Unknown HADIR_ variables belong to others and are ignored."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["production", "development"] = Field(
        default="production",
        description="production refuses what exists for demonstrations and tests (a clock that can be moved)",
    )
    regency: str = Field(
        pattern=r"^[0-9]{4}$",
        description="the tenant's code, four digits without a dot (Lombok Tengah: 5202)",
    )
    zone: str = Field(
        default="Asia/Makassar", description="the IANA time zone in which a work date is a date"
    )
    database_url: SecretStr = Field(
        description="postgresql+asyncpg://role:password@host/database; the service's runtime role, not its owner"
    )
    database_pool_size: int = Field(
        default=5,
        ge=1,
        le=50,
        description="connections of this process; the sum over all processes stays below max_connections",
    )
    nats_url: str = Field(
        description="nats://host:port, or several with commas between; it may be away: events wait in the outbox"
    )
    nats_user: str | None = Field(default=None, description="the user to connect to NATS as")
    nats_password: SecretStr | None = Field(default=None, description="that user's password")
    grpc_listen: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("127.0.0.1:0",),
        min_length=1,
        description="where to listen, comma separated: host:port (port 0: any free one) or unix:/path",
    )
    edge_listen: str | None = Field(
        default=None,
        description="unix:/path of the socket that the edge alone can reach; only there x-hadir-arrival is believed",
    )
    metrics_listen: str = Field(default="127.0.0.1:0", description="host:port where Prometheus scrapes")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="least level logged"
    )
    drain_wait_seconds: float = Field(
        default=3.0,
        ge=0,
        le=120,
        description="between NOT_SERVING and refusing new calls: the edge's health interval times its threshold",
    )
    grace_seconds: float = Field(
        default=10.0,
        ge=0,
        le=120,
        description="for calls in flight at the stop; the edge's request timeout, since none lives longer",
    )
    clock_offset_file: Path | None = Field(
        default=None,
        description="file with seconds to add to the time: a demo's staged 07:00, and tests; refused in production",
    )

    @field_validator("grpc_listen", mode="before")
    @classmethod
    def _split_addresses(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("grpc_listen")
    @classmethod
    def _check_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_address(address) for address in value)

    @field_validator("edge_listen")
    @classmethod
    def _check_edge(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("unix:"):
            raise ValueError(f"the edge's private listener is a socket, unix:/absolute/path, not {value!r}")
        return None if value is None else check_address(value)

    @field_validator("nats_url")
    @classmethod
    def _check_nats(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        if not all(_NATS_SERVER.fullmatch(server) for server in servers):
            # Not repeated: it may have a password in it.
            raise ValueError("expected nats://host:port or tls://host:port, several with commas between")
        return ",".join(servers)

    @field_validator("metrics_listen")
    @classmethod
    def _check_metrics(cls, value: str) -> str:
        return check_address(value, sockets=False)

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"no IANA time zone is called {value!r}")
        return value

    @model_validator(mode="after")
    def _edge_is_separate(self) -> Self:
        if self.edge_listen is not None and self.edge_listen in self.grpc_listen:
            raise ValueError(
                "edge_listen is also in grpc_listen: others could then forge the time of arrival"
            )
        return self

    @model_validator(mode="after")
    def _clock_is_allowed(self) -> Self:
        try:
            self.clock()
        except ClockRefusedError as error:
            raise ValueError(str(error)) from error
        return self

    def clock(self) -> Clock:
        """The clock this deployment runs with.

        Raises:
            ClockRefusedError: a production deployment was given a clock that can be moved.
        """
        return clock_from(environment=self.environment, offset_file=self.clock_offset_file)

    def zone_info(self) -> ZoneInfo:
        """The regency's time zone."""
        return ZoneInfo(self.zone)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env files: one place to look
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by the _FILE variables
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the files that HADIR_..._FILE variables name."""
        return init_settings, env_settings, SecretFileSource(settings_cls)


class MigrateSettings(BaseSettings):
    """What a migration needs: the connection of the schema's owner, which no serving process has."""

    model_config = ServiceSettings.model_config

    migrate_database_url: SecretStr = Field(
        description="postgresql+asyncpg://owner-role:password@host/database; the schema's owner, not the runtime role"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env files: one place to look
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by the _FILE variables
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """As ServiceSettings."""
        return init_settings, env_settings, SecretFileSource(settings_cls)


class SecretFileSource(PydanticBaseSettingsSource):
    """For each secret field F the content of the file that HADIR_F_FILE names, without the line break at its end."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The file's content, the field's name, and that it needs no decoding.

        Raises:
            SettingsError: the file cannot be read, or is no file of a secret's size.
        """
        variable = f"{PREFIX}{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        if not path or not _is_secret(field):
            return None, field_name, False
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
            text = content.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}: {path} cannot be read as text: {error}") from error
        if len(content) > MAX_SECRET_BYTES:
            raise SettingsError(f"{variable}: {path} is larger than {MAX_SECRET_BYTES} bytes")
        return text.rstrip("\r\n"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All secrets that came from files."""
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


def load_settings(cls: type[S]) -> S:
    """The settings of this process, from its environment.

    Raises:
        SystemExit: (code 2) a setting is wrong or missing; each has one line on standard error that names the
            variable and says what is expected. Values are not repeated: a wrong one may be a secret.
    """
    try:
        return cls()
    except ValidationError as error:
        lines = [_explain(cls, detail["loc"], detail["msg"]) for detail in error.errors(include_input=False)]
    except SettingsError as error:
        lines = [str(error)]
    _complain(lines)
    raise SystemExit(2)


def _explain(cls: type[BaseSettings], location: tuple[int | str, ...], message: str) -> str:
    reason = message.removeprefix("Value error, ")
    if not location:
        return reason
    name = str(location[0])
    field = cls.model_fields.get(name)
    meaning = f" ({field.description})" if field is not None and field.description else ""
    alternative = f" or {PREFIX}{name.upper()}_FILE" if field is not None and _is_secret(field) else ""
    return f"{PREFIX}{name.upper()}{alternative}: {reason[:1].lower()}{reason[1:]}{meaning}"


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stderr.write(" ".join(line.split()) + "\n")


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in getattr(field.annotation, "__args__", ())
