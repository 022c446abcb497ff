"""Who taps: people of the roster, chosen school by school, with their fences. Owner: herd."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import grpc

from hadir.auth.v1 import people_pb2, roster_service_pb2, roster_service_pb2_grpc
from ops.herd.errors import HerdError
from ops.herd.evidence import Fence
from ops.herd.rpc import call, staff
from ops.herd.target import StackTarget

_PAGE = 1000
# 3.4 million people are 3,400 pages; a token that never ends must not either.
_MOST_PAGES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One person of the roster, as far as the herd needs them.

    Attributes:
        person_id: UUID.
        npsn: the school.
        has_device: whether auth knows a bound device.
    """

    person_id: str
    npsn: str
    has_device: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """The active people of a regency, and the fences of their schools by NPSN."""

    members: Sequence[Member]
    fences: Mapping[str, Fence]


async def read_crowd(target: StackTarget, channel: grpc.aio.Channel) -> Crowd:
    """The whole roster through ListPeople.

    Raises:
        HerdError: auth refused or did not answer.
    """
    roster = roster_service_pb2_grpc.RosterServiceStub(channel)
    members: list[Member] = []
    fences: dict[str, Fence] = {}
    token = ""
    for _ in range(_MOST_PAGES):
        request = roster_service_pb2.ListPeopleRequest(page_size=_PAGE, page_token=token)
        page = await call(roster.ListPeople, request, what="ListPeople", metadata=staff(target))
        members += (
            Member(person_id=person.person_id, npsn=person.npsn, has_device=person.has_device)
            for person in page.people
            if person.active
        )
        fences.update((school.npsn, _fence(school)) for school in page.schools if school.fence_radius_m > 0)
        token = page.next_page_token
        if not token:
            break
    return Crowd(members=members, fences=fences)


def choose(crowd: Crowd, people: int, known: Collection[str]) -> list[Member]:
    """`people` members to tap: those whose phones we have first, then those without any device, school by school.

    Args:
        crowd: the roster.
        people: how many.
        known: person_ids whose key is in our book.

    Raises:
        HerdError: the roster has too few.
    """
    usable = [member for member in crowd.members if member.person_id in known or not member.has_device]
    if len(usable) < people:
        elsewhere = len(crowd.members) - len(usable)
        raise HerdError(
            f"Hanya {len(usable)} orang yang bisa dipakai dari {len(crowd.members)} di daftar; diminta {people}. "
            f"Impor daftar yang lebih besar atau kurangi PEOPLE. (HP lain milik: {elsewhere} orang.)",
            f"Only {len(usable)} usable people of {len(crowd.members)} on the roster; {people} were asked for. "
            f"Import a larger roster or lower PEOPLE. (Bound to a phone that is not ours: {elsewhere}.)",
        )
    usable.sort(key=lambda member: (member.person_id not in known, member.npsn, member.person_id))
    return usable[:people]


def _fence(school: people_pb2.School) -> Fence:
    return Fence(latitude=school.latitude, longitude=school.longitude, radius_m=school.fence_radius_m)
