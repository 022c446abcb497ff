"""Stand-ins for checkin's ports in unit tests; tests/contract holds them to what the real adapters do."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from services.checkin.application.ports import JudgedTap, KnownReceipt, Receipt, TapTransaction
from services.checkin.domain.errors import StorageUnavailableError
from services.checkin.domain.tap import AcceptedTap, Judgement, School

T = TypeVar("T")


class MemoryTapTransaction:
    """One transaction on a dictionary: writes are seen by others at the commit."""

    def __init__(self, store: "MemoryTapStore") -> None:
        self._store = store
        self.written: dict[UUID, KnownReceipt] = {}

    async def schools_of(self, person_ids: Collection[UUID]) -> Mapping[UUID, School]:
        return {person: self._store.schools[person] for person in person_ids if person in self._store.schools}

    async def insert(self, taps: Sequence[JudgedTap]) -> frozenset[UUID]:
        if any(each.tap.evidence.tap_id in self._store.poison for each in taps):
            raise ValueError("a row the database refuses")
        new = [each for each in taps if each.tap.evidence.tap_id not in self._store.taps]
        for each in new:
            self.written[each.tap.evidence.tap_id] = KnownReceipt(each.tap.evidence_sha256, each.receipt)
        return frozenset(self.written)

    async def receipts(self, tap_ids: Collection[UUID]) -> Mapping[UUID, KnownReceipt]:
        return {tap_id: self._store.taps[tap_id] for tap_id in tap_ids if tap_id in self._store.taps}


class MemoryTapStore:
    """Keeps taps in a dictionary. away makes every commit fail; poison holds ids whose rows are refused."""

    def __init__(self) -> None:
        self.taps: dict[UUID, KnownReceipt] = {}
        self.schools: dict[UUID, School] = {}
        self.poison: set[UUID] = set()
        self.away = False
        self.commits: list[int] = []

    async def transact(self, work: Callable[[TapTransaction], Awaitable[T]]) -> T:
        if self.away:
            raise StorageUnavailableError(timedelta(seconds=2))
        transaction = MemoryTapTransaction(self)
        result = await work(transaction)
        self.taps.update(transaction.written)
        self.commits.append(len(transaction.written))
        return result


class PlainSealer:
    """Receipts that say what they are of, unsigned."""

    def seal(self, tap: AcceptedTap, judgement: Judgement, stored_at: datetime) -> Receipt:
        text = f"{tap.evidence.tap_id} {judgement.verdict.name} {stored_at.isoformat()}"
        return Receipt(text.encode(), b"signature", "key")
