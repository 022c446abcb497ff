"""Sending a roster to the auth service, row by row, and what became of it. Owner: ops/roster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import grpc

from hadir.auth.v1 import people_pb2, roster_service_pb2, roster_service_pb2_grpc
from ops.roster.files import Source
from ops.roster.layout import SourceRow
from ops.roster.service import Endpoint, ServiceRefusedError, connected

BATCH = 500
"""Schools or rows in a message; the contract's own limit."""
DEADLINE_SECONDS = 300.0
"""For the whole import: 200,000 rows, the contract's limit, at the measured rate take a fraction of it."""

T = TypeVar("T")
# The contract's length limits: a longer text is cut, and judged as the nonsense that it is.
_LENGTHS = {
    "name": 300,
    "nip": 100,
    "nuptk": 100,
    "employment_status": 100,
    "staff_kind": 100,
    "extra_duty": 200,
    "phone": 100,
    "npsn": 100,
    "school_name": 300,
    "sex": 32,
    "birth_date": 32,
}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What the service did.

    Attributes:
        sources: labels of the sources, by the results' index.
        results: every refused row and every accepted row with a warning.
        summary: the counts.
    """

    sources: tuple[str, ...]
    results: tuple[roster_service_pb2.RowResult, ...]
    summary: roster_service_pb2.ImportSummary


async def import_roster(
    endpoint: Endpoint,
    sources: Sequence[Source],
    schools: Sequence[people_pb2.School],
    *,
    dry_run: bool,
    on_sent: Callable[[int], None] | None = None,
) -> ImportReport:
    """Import people and schools. The same input twice changes nothing; a failure changes nothing either.

    Args:
        endpoint: the auth service and an agency's token.
        sources: people, at least one source.
        schools: the regency's schools; may be empty when the service knows them already.
        dry_run: judge everything, change nothing.
        on_sent: called with the number of rows just handed to the stream, for a progress display.

    Raises:
        ServiceRefusedError: not reached, not allowed, or failed; nothing was written.
    """
    results: list[roster_service_pb2.RowResult] = []
    summary = None
    async with connected(endpoint) as channel:
        answers = roster_service_pb2_grpc.RosterServiceStub(channel).ImportRoster(
            _requests(sources, schools, dry_run=dry_run, on_sent=on_sent),
            metadata=endpoint.metadata,
            timeout=DEADLINE_SECONDS,
        )
        async for answer in answers:
            results.extend(answer.results)
            if answer.HasField("summary"):
                summary = answer.summary
    if summary is None:
        words_id, words_en = "Layanan berhenti tanpa ringkasan.", "The service ended without a summary."
        raise ServiceRefusedError(grpc.StatusCode.DATA_LOSS, "NO_SUMMARY", words_id, words_en)
    return ImportReport(tuple(source.label for source in sources), tuple(results), summary)


def _requests(
    sources: Sequence[Source],
    schools: Sequence[people_pb2.School],
    *,
    dry_run: bool,
    on_sent: Callable[[int], None] | None,
) -> Iterator[roster_service_pb2.ImportRosterRequest]:
    header = roster_service_pb2.ImportHeader(dry_run=dry_run, sources=[source.label for source in sources])
    yield roster_service_pb2.ImportRosterRequest(header=header)
    for batch in _batches(iter(schools)):
        yield roster_service_pb2.ImportRosterRequest(schools=roster_service_pb2.SchoolBatch(schools=batch))
    rows = (_row(index, row) for index, source in enumerate(sources) for row in source.rows)
    for messages in _batches(rows):
        yield roster_service_pb2.ImportRosterRequest(rows=roster_service_pb2.RowBatch(rows=messages))
        if on_sent is not None:
            on_sent(len(messages))


def _row(source: int, row: SourceRow) -> roster_service_pb2.RosterRow:
    texts = {name: row.texts[name][:length] for name, length in _LENGTHS.items() if name in row.texts}
    return roster_service_pb2.RosterRow(
        number=row.number, source=source, nip_is_number=row.nip_is_number, **texts
    )


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, BATCH)):
        yield batch
