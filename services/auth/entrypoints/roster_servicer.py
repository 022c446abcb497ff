"""hadir.auth.v1.RosterService. Owner: auth."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc

from chassis.grpc_server import not_yet_available, principal
from hadir.auth.v1 import roster_service_pb2 as pb
from hadir.auth.v1 import roster_service_pb2_grpc
from services.auth.application.directory import IssueActivationCodes, ListPeople, ReplaceDevice
from services.auth.application.import_roster import ImportResult, ImportRoster, ImportRun
from services.auth.application.watch_devices import WatchDevices
from services.auth.domain.errors import ImportSequenceError, TooManyWatchersError
from services.auth.domain.units import Caller, parse_unit
from services.auth.entrypoints.messages import (
    code_message,
    device_message,
    person_message,
    read_row,
    read_school,
    row_message,
    school_message,
    summary_message,
)
from services.auth.entrypoints.metrics import AuthMetrics
from services.auth.entrypoints.texts import check_texts

RESULTS = 500
"""Results a message, some 200 kB."""

Context = grpc.aio.ServicerContext[Any, Any]


class _Places:
    """A bounded number of long calls at once."""

    def __init__(self, most: int, come_back: Callable[[], timedelta]) -> None:
        self._free = most
        self._come_back = come_back

    @contextmanager
    def taken(self) -> Iterator[None]:
        if self._free <= 0:
            raise TooManyWatchersError(self._come_back())
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class RosterServicer(roster_service_pb2_grpc.RosterServiceServicer):
    """Translates calls to use cases.

    Args:
        most_imports, most_watchers: long calls at once; more are told to come back.
        come_back: when; a different time for each.
    """

    def __init__(
        self,
        *,
        import_roster: ImportRoster,
        list_people: ListPeople,
        issue_codes: IssueActivationCodes,
        replace_device: ReplaceDevice,
        watch_devices: WatchDevices,
        regency: str,
        metrics: AuthMetrics,
        most_imports: int,
        most_watchers: int,
        come_back: Callable[[], timedelta],
    ) -> None:
        self._import_roster = import_roster
        self._list_people = list_people
        self._issue_codes = issue_codes
        self._replace_device = replace_device
        self._watch_devices = watch_devices
        self._regency = regency
        self._metrics = metrics
        self._imports = _Places(most_imports, come_back)
        self._watchers = _Places(most_watchers, come_back)

    async def ImportRoster(
        self, request_iterator: AsyncIterator[pb.ImportRosterRequest], context: Context
    ) -> AsyncGenerator[pb.ImportRosterResponse, None]:
        """See the contract."""
        with self._imports.taken():
            result = await self._import(request_iterator, _caller(context))
        if not result.dry_run:
            self._count_rows(result)
        for start in range(0, len(result.reports), RESULTS):
            part = result.reports[start : start + RESULTS]
            yield pb.ImportRosterResponse(results=[row_message(report) for report in part])
        yield pb.ImportRosterResponse(summary=summary_message(result))

    async def _import(self, requests: AsyncIterator[pb.ImportRosterRequest], caller: Caller) -> ImportResult:
        run: ImportRun | None = None
        async for request in requests:
            part = request.WhichOneof("part")
            if (part == "header") != (run is None):
                raise ImportSequenceError
            if run is None:
                header = request.header
                run = self._import_roster.begin(caller, sources=header.sources, dry_run=header.dry_run)
            elif part == "schools":
                self._add_schools(run, request.schools)
            elif part == "rows":
                await self._add_rows(run, request.rows)
            else:
                raise ImportSequenceError
        if run is None:
            raise ImportSequenceError
        return await run.finish()

    def _add_schools(self, run: ImportRun, batch: pb.SchoolBatch) -> None:
        for message in batch.schools:
            check_texts(name=message.name, level=message.level, district=message.district, npsn=message.npsn)
        run.add_schools([read_school(message) for message in batch.schools])

    async def _add_rows(self, run: ImportRun, batch: pb.RowBatch) -> None:
        if any(row.source >= len(run.sources) for row in batch.rows):
            raise ImportSequenceError
        await run.add_rows([(row.source, read_row(row, run.sources[row.source])) for row in batch.rows])

    def _count_rows(self, result: ImportResult) -> None:
        counts = result.counts
        for name, number in (
            ("created", counts.created),
            ("updated", counts.updated),
            ("unchanged", counts.unchanged),
            ("refused", result.refused),
        ):
            self._metrics.import_rows.labels(name).inc(number)

    async def ListPeople(self, request: pb.ListPeopleRequest, context: Context) -> pb.ListPeopleResponse:
        """See the contract."""
        check_texts(npsn=request.npsn)
        page = await self._list_people(
            _caller(context), npsn=request.npsn, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListPeopleResponse(
            people=[person_message(person) for person in page.people],
            schools=[school_message(school) for school in page.schools],
            next_page_token=page.next_page_token,
        )

    async def IssueActivationCodes(
        self, request: pb.IssueActivationCodesRequest, context: Context
    ) -> pb.IssueActivationCodesResponse:
        """See the contract."""
        check_texts(npsn=request.npsn)
        school, codes = await self._issue_codes(
            _caller(context), npsn=request.npsn, person_ids=[UUID(text) for text in request.person_ids]
        )
        self._metrics.codes.inc(len(codes))
        return pb.IssueActivationCodesResponse(
            codes=[code_message(code) for code in codes], school=school_message(school)
        )

    async def ReplaceDevice(
        self, request: pb.ReplaceDeviceRequest, context: Context
    ) -> pb.ReplaceDeviceResponse:
        """See the contract."""
        check_texts(reason=request.reason)
        revoked, code = await self._replace_device(
            _caller(context), person_id=UUID(request.person_id), reason=request.reason
        )
        self._metrics.codes.inc()
        response = pb.ReplaceDeviceResponse(code=code_message(code))
        if revoked is not None:
            self._metrics.replacements.inc()
            response.revoked.CopyFrom(device_message(revoked, regency=self._regency, with_key=True))
        return response

    ProposeBlock = not_yet_available
    DecideBlock = not_yet_available
    TransferPerson = not_yet_available

    async def WatchDevices(
        self, request: pb.WatchDevicesRequest, context: Context
    ) -> AsyncGenerator[pb.WatchDevicesResponse, None]:
        """See the contract."""
        with self._watchers.taken(), self._metrics.watchers.track_inprogress():
            async for batch in self._watch_devices.stream(request.resume_token):
                yield pb.WatchDevicesResponse(
                    devices=[
                        device_message(device, regency=self._regency, with_key=True)
                        for device in batch.devices
                    ],
                    caught_up=batch.caught_up,
                    resume_token=batch.resume_token,
                    full_snapshot=batch.full_snapshot,
                )


def _caller(context: Context) -> Caller:
    who = principal(context)
    try:
        unit = parse_unit(who.unit) if who.unit else None
    except ValueError:
        unit = None
    return Caller(who.subject, unit, is_service=who.kind == "service")
