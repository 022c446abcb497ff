"""The group commit: a batch of accepted taps becomes one transaction, and each tap gets its receipt or its refusal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.checkin.application.ports import JudgedTap, Receipt, ReceiptSealer, TapStore, TapTransaction
from services.checkin.domain.errors import CheckinError, TapIdReusedError
from services.checkin.domain.judge import judge
from services.checkin.domain.policy import PolicyBook
from services.checkin.domain.tap import AcceptedTap


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed tap: its receipt, and whether it had been stored before."""

    receipt: Receipt
    duplicate: bool


Outcome = Stored | CheckinError


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCommit:
    """Commits batches. Idempotent by tap_id: the same evidence again gives the first receipt."""

    store: TapStore
    sealer: ReceiptSealer
    book: PolicyBook
    now: Callable[[], datetime]

    async def __call__(self, taps: Sequence[AcceptedTap]) -> Sequence[Outcome]:
        """Commit taps and give each its outcome, in order. StorageUnavailableError: nothing was acknowledged."""
        firsts: dict[UUID, int] = {}
        # One that may be stored comes before one that is only looked up.
        for index in sorted(range(len(taps)), key=lambda index: taps[index].refusal is not None):
            firsts.setdefault(taps[index].evidence.tap_id, index)

        async def work(transaction: TapTransaction) -> dict[UUID, tuple[bytes, Stored]]:
            return await self._commit(transaction, [taps[index] for index in firsts.values()])

        stored = await self.store.transact(work)
        return [
            self._outcome(tap, first=firsts[tap.evidence.tap_id] == index, stored=stored)
            for index, tap in enumerate(taps)
        ]

    async def _commit(
        self, transaction: TapTransaction, taps: Sequence[AcceptedTap]
    ) -> dict[UUID, tuple[bytes, Stored]]:
        storable = [tap for tap in taps if tap.refusal is None]
        schools = (
            await transaction.schools_of({tap.evidence.person_id for tap in storable}) if storable else {}
        )
        stored_at = self.now()
        judged = []
        for tap in storable:
            school = schools.get(tap.evidence.person_id)
            judgement = judge(tap, school, self.book)
            receipt = self.sealer.seal(tap, judgement, stored_at)
            judged.append(JudgedTap(tap, judgement, school.npsn if school else None, stored_at, receipt))
        new = await transaction.insert(judged) if judged else frozenset[UUID]()
        result = {
            each.tap.evidence.tap_id: (each.tap.evidence_sha256, Stored(each.receipt, duplicate=False))
            for each in judged
            if each.tap.evidence.tap_id in new
        }
        earlier = [tap.evidence.tap_id for tap in taps if tap.evidence.tap_id not in new]
        if earlier:
            for tap_id, known in (await transaction.receipts(earlier)).items():
                result[tap_id] = (known.evidence_sha256, Stored(known.receipt, duplicate=True))
        return result

    @staticmethod
    def _outcome(tap: AcceptedTap, *, first: bool, stored: dict[UUID, tuple[bytes, Stored]]) -> Outcome:
        if tap.refusal is not None and tap.evidence.tap_id not in stored:
            return tap.refusal
        evidence_sha256, outcome = stored[tap.evidence.tap_id]
        if evidence_sha256 != tap.evidence_sha256:
            return tap.refusal or TapIdReusedError()
        return outcome if first else Stored(outcome.receipt, duplicate=True)
