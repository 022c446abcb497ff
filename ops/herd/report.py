"""report.json: fixed keys that others read, and more for who wants to know why. Owner: herd; keys: docs/herd.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.herd.ledger import DURABILITY


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a run does not count, Bahasa Indonesia and English."""

    message_id: str
    message_en: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HerdReport:
    """The outcome of a run.

    Attributes:
        people: phones asked for.
        enrolled: phones enrolled for this run; those of an earlier run are used again.
        enroll_seconds: how long that took.
        taps_sent: taps sent at least once, one per phone.
        acknowledged: of these, with a receipt.
        refused: of these, with a final refusal.
        lost: acknowledged taps that checkin, its outbox or reporting does not hold, or holds with another receipt.
        duplicated: acknowledged taps that one of these holds twice.
        seconds_to_all: from the first press to the last receipt.
        p50_ms, p99_ms, max_ms: from the planned press to the receipt.
        retries: tries beyond each tap's first.
        first_attempt_failures: first tries that got neither a receipt nor a refusal with a time to come back.
        reporting_lag_ms: from the last receipt until reporting held every tap.
        memory_mb_total, memory_mb_by_part: PSS in MiB at the end of the run, of the stack without the herd.
        server_cpu_ms_per_tap: CPU of the whole stack from the start until reporting was complete, per receipt.
        client_cpu_ms_per_tap: CPU of the herd from the start to the last receipt, per receipt.
        fsync, synchronous_commit, full_page_writes: as the server says them.
        details: more (docs/herd.md).
        problems: why the run does not count; empty when it does.
        warnings: what deserves a look but does not spoil the run.
    """

    people: int
    enrolled: int
    enroll_seconds: float
    taps_sent: int
    acknowledged: int
    refused: int
    lost: int
    duplicated: int
    seconds_to_all: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    retries: int
    first_attempt_failures: int
    reporting_lag_ms: float
    memory_mb_total: float
    memory_mb_by_part: Mapping[str, float]
    server_cpu_ms_per_tap: float
    client_cpu_ms_per_tap: float
    durability: Mapping[str, str]
    details: Mapping[str, Any]
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()

    @property
    def ok(self) -> bool:
        """Whether the run counts."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The content of report.json: the fixed keys first."""
        return {
            "people": self.people,
            "enrolled": self.enrolled,
            "enroll_seconds": round(self.enroll_seconds, 3),
            "taps_sent": self.taps_sent,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "seconds_to_all": round(self.seconds_to_all, 3),
            "p50_ms": round(self.p50_ms, 1),
            "p99_ms": round(self.p99_ms, 1),
            "max_ms": round(self.max_ms, 1),
            "retries": self.retries,
            "first_attempt_failures": self.first_attempt_failures,
            "reporting_lag_ms": round(self.reporting_lag_ms, 1),
            "memory_mb_total": round(self.memory_mb_total, 1),
            "memory_mb_by_part": {name: round(size, 1) for name, size in self.memory_mb_by_part.items()},
            "server_cpu_ms_per_tap": round(self.server_cpu_ms_per_tap, 4),
            "client_cpu_ms_per_tap": round(self.client_cpu_ms_per_tap, 4),
            **{name: self.durability.get(name, "unknown") for name in DURABILITY},
            "ok": self.ok,
            "problems": [problem.message_en for problem in self.problems],
            "warnings": [warning.message_en for warning in self.warnings],
            **self.details,
        }

    def save(self, path: Path) -> None:
        """Writes report.json."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
