"""The import's stream and the printed codes, over a real connection to a servicer that judges by auth's own rules."""

import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from rich.console import Console

from hadir.auth.v1 import people_pb2, roster_service_pb2
from ops.roster.codes import code_sheet, issue_codes, private_file
from ops.roster.commands import read_all
from ops.roster.importing import ImportReport, import_roster
from ops.roster.output import as_json, print_report
from ops.roster.service import Endpoint, ServiceRefusedError
from ops.roster.synthetic import Regency, write_regency
from ops.roster.tables import Limits
from services.auth.domain.roster import Cell, CellKind, Column, RawRow, Refusal, RosterRules, school_directory
from services.auth.domain.roster_duplicates import Seen, judge_row

FIELDS = {
    Column.NAME: "name",
    Column.NIP: "nip",
    Column.NUPTK: "nuptk",
    Column.STATUS: "employment_status",
    Column.KIND: "staff_kind",
    Column.DUTY: "extra_duty",
    Column.PHONE: "phone",
    Column.NPSN: "npsn",
    Column.SCHOOL: "school_name",
}


class JudgingRoster:
    """Judges and keeps nothing; the real one is auth's and is tested with its database."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.messages = 0

    async def import_roster(
        self,
        request_iterator: AsyncIterator[roster_service_pb2.ImportRosterRequest],
        context: grpc.aio.ServicerContext[
            roster_service_pb2.ImportRosterRequest, roster_service_pb2.ImportRosterResponse
        ],
    ) -> AsyncIterator[roster_service_pb2.ImportRosterResponse]:
        self.tokens += [
            str(value) for key, value in context.invocation_metadata() or () if key == "authorization"
        ]
        schools: list[people_pb2.School] = []
        summary = roster_service_pb2.ImportSummary()
        sources: list[str] = []
        seen = Seen()
        async for request in request_iterator:
            self.messages += 1
            schools.extend(request.schools.schools)
            directory = school_directory((school.npsn, school.name) for school in schools)
            if request.HasField("header"):
                sources.extend(request.header.sources)
                summary.dry_run = request.header.dry_run
            results = []
            for row in request.rows.rows:
                cells = {column: Cell(getattr(row, name), CellKind.TEXT) for column, name in FIELDS.items()}
                judged = judge_row(
                    RawRow(sources[row.source], row.number, cells), directory, RosterRules(), seen
                )
                if isinstance(judged, Refusal):
                    summary.refused += 1
                    notice = judged.notice
                    results.append(
                        roster_service_pb2.RowResult(
                            number=row.number,
                            source=row.source,
                            outcome=roster_service_pb2.ROW_OUTCOME_REFUSED,
                            column=notice.column,
                            reason=notice.reason,
                            message_id=f"{notice.message_id} {notice.what_to_do_id}",
                            message_en=f"{notice.message_en} {notice.what_to_do_en}",
                        )
                    )
                else:
                    summary.accepted += 1
            if results:
                yield roster_service_pb2.ImportRosterResponse(results=results)
        yield roster_service_pb2.ImportRosterResponse(summary=summary)

    async def issue_codes(
        self,
        request: roster_service_pb2.IssueActivationCodesRequest,
        context: grpc.aio.ServicerContext[
            roster_service_pb2.IssueActivationCodesRequest, roster_service_pb2.IssueActivationCodesResponse
        ],
    ) -> roster_service_pb2.IssueActivationCodesResponse:
        if request.npsn != "50203000":
            details = []
            for detail in (
                error_details_pb2.ErrorInfo(reason="SCHOOL_UNKNOWN", domain="hadir"),
                error_details_pb2.LocalizedMessage(locale="id-ID", message="Sekolah tidak dikenal."),
                error_details_pb2.LocalizedMessage(locale="en", message="Unknown school."),
            ):
                packed = AnyMessage()
                packed.Pack(detail)
                details.append(packed)
            status = status_pb2.Status(
                code=grpc.StatusCode.NOT_FOUND.value[0], message="unknown school", details=details
            )
            await context.abort_with_status(rpc_status.to_status(status))
        answer = roster_service_pb2.IssueActivationCodesResponse(
            school=people_pb2.School(npsn="50203000", name="SD <1> PRAYA", district="Praya")
        )
        code = answer.codes.add(
            nip="198001012006042001", name="Siti <b>Aminah</b>", code="ABCD-EFGH-JKMN-PQRS"
        )
        code.expires_at.FromDatetime(dt.datetime(2023, 7, 31, 16, 0, tzinfo=dt.UTC))
        return answer


@contextlib.asynccontextmanager
async def serving(servicer: JudgingRoster) -> AsyncIterator[Endpoint]:
    server = grpc.aio.server()
    messages = roster_service_pb2
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "ImportRoster": grpc.stream_stream_rpc_method_handler(
            servicer.import_roster,
            messages.ImportRosterRequest.FromString,
            messages.ImportRosterResponse.SerializeToString,
        ),
        "IssueActivationCodes": grpc.unary_unary_rpc_method_handler(
            servicer.issue_codes,
            messages.IssueActivationCodesRequest.FromString,
            messages.IssueActivationCodesResponse.SerializeToString,
        ),
    }
    service = grpc.method_handlers_generic_handler("hadir.auth.v1.RosterService", handlers)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Endpoint(f"127.0.0.1:{port}", "a-token")
    finally:
        await server.stop(None)


async def test_a_made_up_regency_is_accepted_whole(tmp_path: Path) -> None:
    roster, schools_file = write_regency(Regency(people=1234), tmp_path)
    sources, schools = read_all([roster], schools_file, limits=Limits())
    servicer = JudgingRoster()
    sent: list[int] = []
    async with serving(servicer) as endpoint:
        report = await import_roster(endpoint, sources, schools, dry_run=True, on_sent=sent.append)
    assert (report.summary.accepted, report.summary.refused, report.summary.dry_run) == (1234, 0, True)
    assert servicer.tokens == ["Bearer a-token"]
    assert servicer.messages == 1 + 1 + 3
    assert sent == [500, 500, 234]


async def test_refused_rows_are_shown_with_row_column_reason_and_remedy(tmp_path: Path) -> None:
    roster, schools_file = write_regency(Regency(people=30), tmp_path)
    broken = tmp_path / "rusak.csv"
    lines = roster.read_text(encoding="utf-8").splitlines()
    broken.write_text("\n".join([*lines[:10], ""]), encoding="utf-8")
    sources, schools = read_all([roster, broken], schools_file, limits=Limits())
    async with serving(JudgingRoster()) as endpoint:
        report = await import_roster(endpoint, sources, schools, dry_run=False)
    assert report.summary.refused == len(report.results) == 5
    plain = json.dumps(as_json(report))
    first = json.loads(plain)["rows"][0]
    assert (first["file"], first["row"], first["column"], first["outcome"]) == (
        "rusak.csv",
        6,
        "NIP",
        "refused",
    )
    assert "roster.csv baris 6" in first["message_id"]
    text = _shown(report)
    assert "Diterima 30, ditolak 5" in text
    assert "PERSON_REPEATED" in text
    assert "Hapus salah satu baris" in text


def _shown(report: ImportReport) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        print_report(console, report)
    return capture.get()


async def test_a_service_that_is_away_or_refuses_is_told_in_words() -> None:
    with pytest.raises(ServiceRefusedError) as caught:
        await issue_codes(Endpoint("127.0.0.1:1", "t"), "50203000")
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert "tidak dapat dihubungi" in caught.value.message_id
    async with serving(JudgingRoster()) as endpoint:
        with pytest.raises(ServiceRefusedError) as caught:
            await issue_codes(endpoint, "1")
    assert (caught.value.reason, caught.value.message_id) == ("SCHOOL_UNKNOWN", "Sekolah tidak dikenal.")
    assert caught.value.message_en == "Unknown school."


def test_a_token_is_not_in_what_an_endpoint_shows() -> None:
    assert "secret" not in repr(Endpoint("127.0.0.1:1", "secret"))


async def test_a_slip_holds_the_code_and_not_the_whole_nip() -> None:
    async with serving(JudgingRoster()) as endpoint:
        page = code_sheet(await issue_codes(endpoint, "50203000"), ZoneInfo("Asia/Makassar"))
    assert "ABCD-EFGH-JKMN-PQRS" in page
    assert "…2001" in page
    assert "198001012006042001" not in page
    assert "Siti &lt;b&gt;Aminah&lt;/b&gt;" in page
    assert "SD &lt;1&gt; PRAYA" in page
    assert "1 Agustus 2023 pukul 00.00" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_code_file_is_private_and_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "codes.html"
    with contextlib.suppress(RuntimeError), private_file(path) as file:
        file.write("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with private_file(path) as file:
        file.write("whole")
    assert path.read_text(encoding="utf-8") == "whole"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileNotFoundError), private_file(tmp_path / "none" / "codes.html"):
        pass
