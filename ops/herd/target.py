"""The stack as the herd sees it: addresses, a staff token, a database to check against, a meter. Owner: herd."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit


class PartUsage(Protocol):
    """What one part of the stack (all its processes) has cost since it started."""

    @property
    def pss_mb(self) -> float:
        """Proportional set size now, MiB, so that a shared page counts once over all parts."""

    @property
    def cpu_seconds(self) -> float:
        """User and system time since the start, seconds."""


class Meter(Protocol):
    """Reads the usage of each part by its name; costs some milliseconds of CPU a call."""

    def __call__(self) -> Mapping[str, PartUsage]:
        """The usage now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StackTarget:
    """A running stack.

    Attributes:
        edge: the edge's address, `http://host:port` or `https://host:port`; JSON and gRPC share it.
        staff_token: an access token of the personnel agency, for rosters, activation codes and the board.
        regency: four digits.
        database_url: `postgresql://...` of a role that may read the schemas checkin and reporting.
        state_dir: a directory of this stack; the herd keeps its phones there.
        tls_ca: certificates to trust (PEM) when the edge has one that the system does not know; None: the system's.
        meter: reads what the parts cost; None where nobody can (a cluster), and the report then says 0.
    """

    edge: str
    staff_token: str = field(repr=False)
    regency: str
    database_url: str = field(repr=False)
    state_dir: Path
    tls_ca: Path | None = None
    meter: Meter | None = None

    @property
    def tls(self) -> bool:
        """Whether the edge speaks TLS."""
        return urlsplit(self.edge).scheme == "https"

    @property
    def host(self) -> str:
        """The edge's host."""
        return urlsplit(self.edge).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The edge's port."""
        return urlsplit(self.edge).port or (443 if self.tls else 80)

    @property
    def phones_file(self) -> Path:
        """Where the keys and certificates of this stack's phones are kept."""
        return self.state_dir / "herd" / "phones.jsonl"
