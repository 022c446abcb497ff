"""Receipts after the run: decoded, matched with their taps, their signatures verified one by one. Owner: herd."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta

import grpc
import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from google.protobuf.message import DecodeError

from hadir.checkin.v1 import checkin_service_pb2, checkin_service_pb2_grpc, tap_pb2
from hadir.events.v1 import events_pb2
from ops.herd.course import Tap
from ops.herd.retry import Accepted
from ops.herd.rpc import call

SIGNED_PREFIX = b"hadir.receipt.v1\0"

_ECDSA = ec.ECDSA(hashes.SHA256())

# Verdicts of taps that count for a day, and what the day then says.
_COUNTING: Mapping[int, int] = {
    tap_pb2.VERDICT_ON_TIME: events_pb2.SLOT_RESULT_PRESENT,
    tap_pb2.VERDICT_LATE: events_pb2.SLOT_RESULT_LATE,
    tap_pb2.VERDICT_EARLY_LEAVE: events_pb2.SLOT_RESULT_EARLY_LEAVE,
}
# Taps that a person must look at before they count, or that reporting judges by more than checkin knew.
_IN_REVIEW = frozenset(
    {
        tap_pb2.FLAG_LONG_DELAY,
        tap_pb2.FLAG_LATE_SYNC_EXPIRED,
        tap_pb2.FLAG_DEVICE_REVOKED_SINCE,
        tap_pb2.FLAG_PERSON_UNKNOWN,
    }
)

Keys = Mapping[str, ec.EllipticCurvePublicKey]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptCheck:
    """What the receipts say.

    Attributes:
        valid: receipts of the right tap, person and slot with a good signature.
        invalid: the others.
        work_dates, verdicts, time_grades, flags: how often each occurs, by name.
        people: people with a receipt for the most frequent work date.
        counting: of these, whose tap counts for the day, and what the day must say (`SlotResult`), by person_id.
        in_review: of these, whose tap may or may not count.
        longest_backdating: the greatest arrival minus official time: what the anchors spared a waiting person.
    """

    valid: int
    invalid: int
    work_dates: Mapping[str, int]
    verdicts: Mapping[str, int]
    time_grades: Mapping[str, int]
    flags: Mapping[str, int]
    people: Set[str]
    counting: Mapping[str, int]
    in_review: Set[str]
    longest_backdating: timedelta

    @property
    def work_date(self) -> str:
        """The most frequent work date (YYYY-MM-DD); empty without receipts."""
        return max(self.work_dates, key=lambda date: self.work_dates[date], default="")


async def receipt_keys(channel: grpc.aio.Channel) -> Keys:
    """The public keys of checkin by key id.

    Raises:
        HerdError: checkin refused or did not answer.
    """
    stub = checkin_service_pb2_grpc.CheckinServiceStub(channel)
    answer = await call(
        stub.GetReceiptKeys, checkin_service_pb2.GetReceiptKeysRequest(), what="GetReceiptKeys"
    )
    return {key.kid: public_key(key) for key in answer.keys}


def check_receipts(taps: Iterable[Tap], keys: Keys) -> ReceiptCheck:
    """Verifies the receipt of every acknowledged tap: about 0.1 ms each."""
    valid, invalid = 0, 0
    longest = timedelta(0)
    contents: list[tap_pb2.ReceiptContent] = []
    for tap in taps:
        if not isinstance(tap.answer, Accepted):
            continue
        content = _verified(tap, tap.answer, keys)
        if content is None:
            invalid += 1
            continue
        valid += 1
        contents.append(content)
        longest = max(longest, content.arrival_time.ToDatetime() - content.official_time.ToDatetime())
    return _summary(contents, valid=valid, invalid=invalid, longest=longest)


def _verified(tap: Tap, receipt: Accepted, keys: Keys) -> tap_pb2.ReceiptContent | None:
    key = keys.get(receipt.key_id)
    if key is None or len(receipt.signature) != 64:
        return None
    try:
        content = tap_pb2.ReceiptContent.FromString(receipt.content)
        evidence = tap_pb2.TapEvidence.FromString(tap.signed.evidence)
        key.verify(_der(receipt.signature), SIGNED_PREFIX + receipt.content, _ECDSA)
    except (DecodeError, InvalidSignature):
        return None
    told = (content.tap_id, content.person_id, content.regency, content.slot, content.practice)
    meant = (evidence.tap_id, evidence.person_id, evidence.audience, evidence.slot, evidence.practice)
    return content if told == meant else None


def _summary(
    contents: Sequence[tap_pb2.ReceiptContent], *, valid: int, invalid: int, longest: timedelta
) -> ReceiptCheck:
    dates = Counter(content.work_date for content in contents)
    date = max(dates, key=lambda name: dates[name], default="")
    of_date = [content for content in contents if content.work_date == date]
    in_review = {content.person_id for content in of_date if _needs_review(content)}
    counting = {
        content.person_id: _COUNTING[content.verdict]
        for content in of_date
        if content.verdict in _COUNTING and content.person_id not in in_review
    }
    return ReceiptCheck(
        valid=valid,
        invalid=invalid,
        work_dates=dates,
        verdicts=Counter(tap_pb2.Verdict.Name(content.verdict) for content in contents),
        time_grades=Counter(tap_pb2.TimeGrade.Name(content.time_grade) for content in contents),
        flags=Counter(tap_pb2.Flag.Name(flag) for content in contents for flag in content.flags),
        people={content.person_id for content in of_date},
        counting=counting,
        in_review=in_review,
        longest_backdating=longest,
    )


def _needs_review(content: tap_pb2.ReceiptContent) -> bool:
    return content.time_grade == tap_pb2.TIME_GRADE_CLAIMED or not _IN_REVIEW.isdisjoint(content.flags)


def public_key(key: checkin_service_pb2.ReceiptKey) -> ec.EllipticCurvePublicKey:
    """The key that a JSON Web Key of checkin stands for."""
    loaded = jwt.PyJWK({"kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y, "alg": "ES256"}).key
    assert isinstance(loaded, ec.EllipticCurvePublicKey)  # noqa: S101 - an EC key's only public form
    return loaded


def _der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
