"""Binding the phones: activation codes per school, then Enroll for each person, through the edge. Owner: herd."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import grpc
from rich.console import Console

from hadir.auth.v1 import (
    auth_service_pb2,
    auth_service_pb2_grpc,
    roster_service_pb2,
    roster_service_pb2_grpc,
)
from ops.herd.crowd import Member
from ops.herd.errors import HerdError
from ops.herd.phones import PendingPhone, Phone, PhoneBook, PhoneKey
from ops.herd.progress import progress_bar
from ops.herd.rpc import call, for_each, open_channel, staff
from ops.herd.target import StackTarget

T = TypeVar("T")

_CHANNELS = 4
# Kept on disk after so many answers: what a killed run must ask for again at most.
_JOURNAL_EVERY = 500
_CODES_AT_ONCE = 1000
# A certificate about to end would expire in the middle of a long run.
_VALIDITY_LEFT = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment:
    """What came of it.

    Attributes:
        phones: one per member asked for, same order.
        enrolled: how many of them were enrolled now; the others were before.
        seconds: how long codes and enrolments took.
    """

    phones: Sequence[Phone]
    enrolled: int
    seconds: float


def usable_phones(book: PhoneBook) -> set[str]:
    """People whose key is in the book: with a certificate that lasts, or with an enrolment to take up again."""
    lasting = {
        person_id
        for person_id, phone in book.enrolled.items()
        if phone.not_after > time.time() + _VALIDITY_LEFT
    }
    return lasting | set(book.pending)


async def enrol(
    target: StackTarget, members: Sequence[Member], book: PhoneBook, console: Console
) -> Enrolment:
    """Enrols whoever of `members` has no phone in the book yet.

    A person whom auth knows without a device needs a new one whatever the book says (the database is newer than the
    book); a person with a device keeps the phone of the book.

    Raises:
        HerdError: auth refused somebody for good.
    """
    begin = time.monotonic()
    stale = [member for member in members if not member.has_device or member.person_id not in book.enrolled]
    channels = [open_channel(target) for _ in range(_CHANNELS)]
    try:
        if stale:
            pending = await _with_codes(target, stale, book, channels, console)
            await _enrol_all(pending, book, channels, console)
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return Enrolment(
        phones=[book.enrolled[member.person_id] for member in members],
        enrolled=len(stale),
        seconds=time.monotonic() - begin,
    )


async def _with_codes(
    target: StackTarget,
    members: Sequence[Member],
    book: PhoneBook,
    channels: Sequence[grpc.aio.Channel],
    console: Console,
) -> list[PendingPhone]:
    # Bound, but the answer never reached us: the same code and key give the same certificate.
    resumed = [book.pending[member.person_id] for member in members if member.has_device]
    by_school: dict[str, list[str]] = defaultdict(list)
    for member in members:
        if not member.has_device:
            by_school[member.npsn].append(member.person_id)
    orders = [
        roster_service_pb2.IssueActivationCodesRequest(npsn=npsn, person_ids=part)
        for npsn, people in by_school.items()
        for part in _parts(people, _CODES_AT_ONCE)
    ]
    stubs = [roster_service_pb2_grpc.RosterServiceStub(channel) for channel in channels]
    pending: list[PendingPhone] = []
    with progress_bar(console, "Kode aktivasi per sekolah / activation codes", len(orders)) as advance:

        async def issue(number: int, order: roster_service_pb2.IssueActivationCodesRequest) -> None:
            stub = stubs[number % len(stubs)]
            # Repeating it voids the codes of the answer that was lost, which nobody has.
            issued = await call(
                stub.IssueActivationCodes,
                order,
                what="IssueActivationCodes",
                metadata=staff(target),
                timeout=60,
            )
            pending.extend(
                PendingPhone(person_id=code.person_id, nip=code.nip, code=code.code, key=PhoneKey.make())
                for code in issued.codes
            )
            advance(1)

        await for_each(issue, orders)
    book.add(pending)
    missing = {member.person_id for member in members} - {phone.person_id for phone in [*pending, *resumed]}
    if missing:
        raise HerdError(
            f"Tidak ada kode aktivasi untuk {len(missing)} orang.",
            f"No activation code for {len(missing)} people.",
        )
    return [*resumed, *pending]


async def _enrol_all(
    pending: Sequence[PendingPhone], book: PhoneBook, channels: Sequence[grpc.aio.Channel], console: Console
) -> None:
    stubs = [auth_service_pb2_grpc.AuthServiceStub(channel) for channel in channels]
    unsaved: list[Phone] = []
    with progress_bar(console, "Mendaftarkan HP / enrolling phones", len(pending)) as advance:

        async def one(number: int, phone: PendingPhone) -> None:
            request = auth_service_pb2.EnrollRequest(
                activation_code=phone.code,
                nip=phone.nip,
                public_key=phone.key.public_point,
                device_label="Simulator 07:00",
            )
            stub = stubs[number % len(stubs)]
            answer = await call(stub.Enroll, request, what="Enroll")
            unsaved.append(
                Phone(
                    person_id=answer.person_id,
                    device_id=answer.device_id,
                    key=phone.key,
                    certificate=answer.device_certificate,
                    not_after=float(answer.not_after.seconds),
                )
            )
            if len(unsaved) >= _JOURNAL_EVERY:
                book.add(unsaved)
                unsaved.clear()
            advance(1)

        try:
            await for_each(one, pending)
        finally:
            book.add(unsaved)


def _parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
