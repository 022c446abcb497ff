"""What a run can be asked for, and the bounds it keeps. Owner: herd; the bounds are explained in docs/herd.md."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path


class Arrival(StrEnum):
    """When the phones press: see arrivals.py."""

    INSTANT = "instant"
    MINUTE = "minute"
    CURVE = "curve"


class Edge(StrEnum):
    """How a tap travels: a JSON POST on a connection of its own, a gRPC call, or a gateway's batch of up to 500."""

    JSON = "json"
    GRPC = "grpc"
    BATCH = "batch"


class Slot(StrEnum):
    """Which of the two daily registrations."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How a phone tries again.

    Attributes:
        answer_timeout: seconds a try may take, connecting included: the edge's own limit (10 s) so that its answer is
            seen, and as long again twice for the wait in the kernel's queue before the edge accepts.
        total: seconds after the press at which a phone gives up (a real one would keep the tap and sync it later).
        tries: greatest number of tries.
        backoff_base, backoff_cap: seconds; after a try without a RetryInfo the phone waits a random share of
            base * 2^(tries - 1), at most cap ("full jitter").
    """

    answer_timeout: float = 30.0
    total: float = 180.0
    tries: int = 20
    backoff_base: float = 0.5
    backoff_cap: float = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HerdOptions:
    """One run.

    Attributes:
        people: number of phones.
        arrival, edge, slot: see the enumerations.
        seed: of all chance but keys and tap ids; the same seed gives the same arrivals.
        compress: `curve` only: its 15 minutes are shortened by this factor (1: as in life).
        report: where report.json goes; None: nowhere.
        picture: where the PNG goes; None: nowhere.
        patience: how the phones try again.
        settle: how long to wait for the enrolment's own traffic to be over before the clock starts.
        reporting_wait: how long reporting may take after the last acknowledgement.
    """

    people: int = 6000
    arrival: Arrival = Arrival.INSTANT
    edge: Edge = Edge.JSON
    slot: Slot = Slot.IN
    seed: int = 7
    compress: float = 10.0
    report: Path | None = None
    picture: Path | None = None
    patience: Patience = field(default_factory=Patience)
    settle: timedelta = timedelta(seconds=60)
    reporting_wait: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        if self.people < 1:
            raise ValueError("people must be at least 1")
        if self.compress < 1:
            raise ValueError("compress must be at least 1")
