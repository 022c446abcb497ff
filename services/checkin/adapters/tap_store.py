"""The tap store on PostgreSQL: a transaction per batch, rows from unnest arrays, outbox rows in the same one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import is_contended, is_unavailable
from chassis.outbox import OutboxRelay, enqueue
from services.checkin.adapters.codec import tap_accepted
from services.checkin.application.ports import JudgedTap, KnownReceipt, Receipt, TapTransaction
from services.checkin.domain.errors import StorageUnavailableError
from services.checkin.domain.tap import School

T = TypeVar("T")
logger = logging.getLogger(__name__)

SCHEMA = "checkin"
# A commit of unknown outcome is repeated this often, that many seconds apart; the caller's own deadline is 10 s.
_COMMIT_RETRIES = (0.05, 0.2, 0.5, 1.0)

_SCHOOLS = text(
    """
    SELECT p.person_id, s.npsn, s.latitude, s.longitude, s.fence_radius_m, s.week_days
    FROM checkin.people p JOIN checkin.schools s ON s.regency = p.regency AND s.npsn = p.npsn
    WHERE p.person_id = ANY(CAST(:people AS uuid[])) AND p.regency = :regency
    """
)
# smallint[] cannot be unnested row by row, so each row's flags travel as an array literal.
_INSERT = text(
    """
    INSERT INTO checkin.taps (
        tap_id, regency, person_id, device_id, slot, practice, work_date, official_time, arrival_time, stored_time,
        time_grade, verdict, minutes, minutes_class, flags, policy_version, npsn, evidence, evidence_sha256, signature,
        receipt_content, receipt_signature, receipt_key_id)
    SELECT tap_id, :regency, person_id, device_id, slot, practice, work_date, official_time, arrival_time, stored_time,
        time_grade, verdict, minutes, minutes_class, CAST(flags AS smallint[]), policy_version, npsn, evidence,
        evidence_sha256, signature, receipt_content, receipt_signature, receipt_key_id
    FROM unnest(
        CAST(:tap_id AS uuid[]), CAST(:person_id AS uuid[]), CAST(:device_id AS uuid[]), CAST(:slot AS smallint[]),
        CAST(:practice AS boolean[]), CAST(:work_date AS date[]), CAST(:official_time AS timestamptz[]),
        CAST(:arrival_time AS timestamptz[]), CAST(:stored_time AS timestamptz[]), CAST(:time_grade AS smallint[]),
        CAST(:verdict AS smallint[]), CAST(:minutes AS integer[]), CAST(:minutes_class AS smallint[]),
        CAST(:flags AS text[]), CAST(:policy_version AS integer[]), CAST(:npsn AS text[]), CAST(:evidence AS bytea[]),
        CAST(:evidence_sha256 AS bytea[]), CAST(:signature AS bytea[]), CAST(:receipt_content AS bytea[]),
        CAST(:receipt_signature AS bytea[]), CAST(:receipt_key_id AS text[])
    ) AS t (tap_id, person_id, device_id, slot, practice, work_date, official_time, arrival_time, stored_time,
        time_grade, verdict, minutes, minutes_class, flags, policy_version, npsn, evidence, evidence_sha256, signature,
        receipt_content, receipt_signature, receipt_key_id)
    ON CONFLICT (tap_id) DO NOTHING
    RETURNING tap_id
    """
)
_RECEIPTS = text(
    """
    SELECT tap_id, evidence_sha256, receipt_content, receipt_signature, receipt_key_id
    FROM checkin.taps WHERE tap_id = ANY(CAST(:tap_ids AS uuid[]))
    """
)
_FENCE = text(
    """
    INSERT INTO checkin.commit_fence (writer, at) VALUES (:writer, clock_timestamp())
    ON CONFLICT (writer) DO UPDATE SET at = excluded.at
    """
)


def _columns(taps: Sequence[JudgedTap]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {
        "tap_id": [each.tap.evidence.tap_id for each in taps],
        "person_id": [each.tap.evidence.person_id for each in taps],
        "device_id": [each.tap.device_id for each in taps],
        "slot": [int(each.tap.evidence.slot) for each in taps],
        "practice": [each.tap.evidence.practice for each in taps],
        "work_date": [each.judgement.work_date for each in taps],
        "official_time": [each.tap.official.at for each in taps],
        "arrival_time": [each.tap.arrival.at for each in taps],
        "stored_time": [each.stored_at for each in taps],
        "time_grade": [int(each.tap.official.grade) for each in taps],
        "verdict": [int(each.judgement.verdict) for each in taps],
        "minutes": [each.judgement.minutes for each in taps],
        "minutes_class": [each.judgement.minutes_class for each in taps],
        "flags": ["{" + ",".join(str(int(flag)) for flag in each.judgement.flags) + "}" for each in taps],
        "policy_version": [each.judgement.policy_version for each in taps],
        "npsn": [each.npsn for each in taps],
        "evidence": [each.tap.evidence_bytes for each in taps],
        "evidence_sha256": [each.tap.evidence_sha256 for each in taps],
        "signature": [each.tap.signature for each in taps],
        "receipt_content": [each.receipt.content for each in taps],
        "receipt_signature": [each.receipt.signature for each in taps],
        "receipt_key_id": [each.receipt.key_id for each in taps],
    }
    return columns


class PostgresTapTransaction:
    """An open transaction; see application.ports.TapTransaction."""

    def __init__(self, connection: AsyncConnection, regency: str) -> None:
        self._connection = connection
        self._regency = regency
        self.inserted = 0

    async def schools_of(self, person_ids: Collection[UUID]) -> Mapping[UUID, School]:
        """The schools of these people, as far as known."""
        found = await self._connection.execute(
            _SCHOOLS, {"people": list(person_ids), "regency": self._regency}
        )
        return {row[0]: School(row[1], row[2], row[3], row[4], row[5]) for row in found}

    async def insert(self, taps: Sequence[JudgedTap]) -> frozenset[UUID]:
        """Insert what is new, with its events; returns the new ids."""
        parameters: dict[str, object] = {"regency": self._regency, **_columns(taps)}
        found = await self._connection.execute(_INSERT, parameters)
        new = frozenset(found.scalars())
        events = [
            tap_accepted(each, regency=self._regency) for each in taps if each.tap.evidence.tap_id in new
        ]
        if events:
            await enqueue(self._connection, SCHEMA, events)
        self.inserted += len(new)
        return new

    async def receipts(self, tap_ids: Collection[UUID]) -> Mapping[UUID, KnownReceipt]:
        """Receipts of stored taps."""
        found = await self._connection.execute(_RECEIPTS, {"tap_ids": list(tap_ids)})
        return {row[0]: KnownReceipt(row[1], Receipt(row[2], row[3], row[4])) for row in found}


class _CommitUnknownError(Exception):
    """The connection was lost after COMMIT was sent."""


class PostgresTapStore:
    """See application.ports.TapStore. writer names this process in the commit fence."""

    def __init__(
        self,
        engine: AsyncEngine,
        relay: OutboxRelay,
        *,
        regency: str,
        writer: str,
        retry_after: timedelta,
        taps: Counter,
    ) -> None:
        self._engine = engine
        self._relay = relay
        self._regency = regency
        self._writer = writer
        self._retry_after = retry_after
        self._new = taps

    async def transact(self, work: Callable[[TapTransaction], Awaitable[T]]) -> T:
        """Run work in one transaction and commit it; see the port for what a lost COMMIT does."""
        try:
            return await self._once(work, fenced=False)
        except _CommitUnknownError:
            logger.warning("a commit's outcome is unknown; repeating the batch in a transaction that writes")
        for pause in _COMMIT_RETRIES:
            await asyncio.sleep(pause)
            try:
                return await self._once(work, fenced=True)
            except (_CommitUnknownError, StorageUnavailableError):
                continue
        raise StorageUnavailableError(self._retry_after)

    async def _once(self, work: Callable[[TapTransaction], Awaitable[T]], *, fenced: bool) -> T:
        committing = False
        try:
            async with self._engine.connect() as connection:
                transaction = PostgresTapTransaction(connection, self._regency)
                if fenced:
                    await connection.execute(_FENCE, {"writer": self._writer})
                result = await work(transaction)
                committing = True
                await connection.commit()
        except Exception as error:
            if not (is_unavailable(error) or is_contended(error)):
                raise
            if committing:
                raise _CommitUnknownError from error
            raise StorageUnavailableError(self._retry_after) from error
        if transaction.inserted:
            self._new.inc(transaction.inserted)
            self._relay.notify()
        return result
