"""The herd on the whole system: every way in, a replica killed under it, and that it notices what is missing.

Owner: herd.
"""

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from ops.demo.wiring import edge_apart, herd_target, import_files
from ops.gateway.render import TlsFiles
from ops.herd.cli import register
from ops.herd.errors import HerdError
from ops.herd.ledger import Findings, Ledger
from ops.herd.options import Arrival, Edge, HerdOptions, Slot
from ops.herd.report import HerdReport
from ops.herd.runner import run
from ops.herd.target import StackTarget
from ops.roster.synthetic import Regency, write_regency
from ops.stack.stack import Stack, StackOptions, running_stack
from tests.integration.test_edge_tls import write_certificate

PEOPLE = 60


def filled(stack: Stack, directory: Path) -> StackTarget:
    roster, schools = write_regency(Regency(people=PEOPLE), directory / "roster")
    import_files(stack.target, [roster], schools, Console(file=io.StringIO()))
    return herd_target(stack.target)


@pytest.fixture(scope="module", name="stack")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = StackOptions(directory=tmp_path_factory.mktemp("herd"), drain_seconds=0.2, ports=edge_apart())
    with running_stack(options) as stack:
        yield stack


@pytest.fixture(scope="module", name="target")
def filled_stack(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> StackTarget:
    return filled(stack, tmp_path_factory.mktemp("people"))


def let_loose(target: StackTarget, **options: Any) -> tuple[HerdReport, str]:
    console = Console(file=io.StringIO(), width=120)
    report = run(target, HerdOptions(people=PEOPLE, **options), console=console)
    assert isinstance(console.file, io.StringIO)
    return report, console.file.getvalue()


@pytest.mark.parametrize("edge", list(Edge))
def test_every_way_in(target: StackTarget, tmp_path: Path, edge: Edge) -> None:
    paths = {"report": tmp_path / "report.json", "picture": tmp_path / "peak.png"}
    found, text = let_loose(target, edge=edge, slot=Slot.IN, **paths)
    written = json.loads(paths["report"].read_text())

    assert found.ok, written["problems"]
    assert (found.acknowledged, found.lost, found.duplicated, found.first_attempt_failures) == (
        PEOPLE,
        0,
        0,
        0,
    )
    assert written["receipts_verified"] == PEOPLE
    assert written["time_grades"] == {"TIME_GRADE_ANCHORED": PEOPLE}
    assert written["memory_mb_total"] > 100
    assert set(written["flags"]) <= {"FLAG_OUTSIDE_WINDOW", "FLAG_NOT_A_WORKING_DAY"}
    assert 0 < written["client_cpu_ms_per_tap"] < 20
    assert paths["picture"].read_bytes().startswith(b"\x89PNG")
    assert "Tidak ada presensi yang hilang" in text


def test_a_second_run_uses_the_phones_of_the_first(target: StackTarget) -> None:
    let_loose(target)
    found, _ = let_loose(target, arrival=Arrival.CURVE, compress=900.0, slot=Slot.OUT)

    assert found.ok
    assert found.enrolled == 0
    assert found.details["slot"] == "out"


def test_an_enrolment_whose_answer_was_lost_is_taken_up_again(target: StackTarget) -> None:
    let_loose(target)
    lines = target.phones_file.read_text().splitlines()
    enrolled = [line for line in lines if line and json.loads(line)["state"] == "enrolled"]
    forgotten = set(enrolled[:20])
    target.phones_file.write_text("\n".join(line for line in lines if line not in forgotten) + "\n")
    found, _ = let_loose(target)

    assert found.ok
    assert found.enrolled == 20


def test_a_replica_killed_under_the_herd_costs_no_tap(stack: Stack, target: StackTarget) -> None:
    let_loose(target)
    killer = threading.Timer(3.0, stack.kill_part, ["checkin-1"])
    killer.start()
    found, _ = let_loose(target, arrival=Arrival.CURVE, compress=225.0)
    killer.join()
    stack.await_part("checkin-1")

    assert found.ok, found.problems
    assert (found.acknowledged, found.lost, found.duplicated) == (PEOPLE, 0, 0)


def test_too_few_people_are_an_error_in_words(target: StackTarget) -> None:
    with pytest.raises(HerdError, match="61 were asked for") as error:
        run(target, HerdOptions(people=PEOPLE + 1), console=Console(file=io.StringIO()))
    assert "diminta 61" in error.value.message_id


def test_what_is_missing_or_doubled_is_noticed(target: StackTarget) -> None:
    let_loose(target)

    async def tamper() -> Findings:
        administrator = await asyncpg.connect(target.database_url)
        rows = await administrator.fetch(
            "SELECT tap_id, receipt_content FROM checkin.taps ORDER BY tap_id DESC LIMIT 9"
        )
        receipts = {str(row["tap_id"]): bytes(row["receipt_content"]) for row in rows}
        ids = list(receipts)
        await administrator.execute("DELETE FROM reporting.taps WHERE tap_id = ANY($1::uuid[])", ids[:2])
        await administrator.execute("DELETE FROM checkin.outbox WHERE msg_id = $1", f"tap-{ids[2]}")
        await administrator.execute(
            """INSERT INTO checkin.outbox (subject, msg_id, event_type, source, occurred_at, payload, sent_at)
               SELECT subject, msg_id, event_type, source, occurred_at, payload, now()
               FROM checkin.outbox WHERE msg_id = ANY($1)""",
            [f"tap-{tap_id}" for tap_id in ids[3:6]],
        )
        await administrator.execute("DELETE FROM checkin.taps WHERE tap_id = $1", ids[6])
        await administrator.execute("UPDATE checkin.taps SET receipt_content = 'x' WHERE tap_id = $1", ids[7])
        ledger = await Ledger.open(target.database_url)
        try:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await ledger._connection.execute("DELETE FROM checkin.taps")
            return await ledger.check(dict(list(receipts.items())[:8]), ids[8:])
        finally:
            await ledger.close()
            await administrator.close()

    assert asyncio.run(tamper()) == Findings(
        missing_in_checkin=1,
        missing_in_outbox=1,
        missing_in_reporting=2,
        doubled_in_checkin=0,
        doubled_in_outbox=3,
        doubled_in_reporting=0,
        other_receipt=1,
        stored_unacknowledged=1,
    )


LIE = """
CREATE FUNCTION reporting.lie() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- A quarter of all: held, and shown to nobody.
  NEW.practice := substr(NEW.tap_id::text, 36) IN ('0', '1', '2', '3');
  RETURN NEW;
END $$;
CREATE TRIGGER lie BEFORE INSERT ON reporting.taps FOR EACH ROW EXECUTE FUNCTION reporting.lie()"""
TRUTH = "DROP TRIGGER lie ON reporting.taps; DROP FUNCTION reporting.lie()"


async def administer(target: StackTarget, statements: str) -> None:
    administrator = await asyncpg.connect(target.database_url)
    try:
        await administrator.execute(statements)
    finally:
        await administrator.close()


def test_a_board_that_shows_less_than_was_acknowledged_fails_the_run(
    target: StackTarget, tmp_path: Path
) -> None:
    let_loose(target)
    app = typer.Typer()
    register(app, lambda _: target)
    paths = ["--report", str(tmp_path / "report.json"), "--picture", str(tmp_path / "peak.png")]
    asyncio.run(administer(target, LIE))
    try:
        result = CliRunner().invoke(app, ["--people", str(PEOPLE), *paths])
    finally:
        asyncio.run(administer(target, TRUTH))
    written = json.loads((tmp_path / "report.json").read_text())

    assert result.exit_code == 1
    assert (written["acknowledged"], written["ok"]) == (PEOPLE, False)
    assert written["findings"]["missing_in_reporting"] == 0
    assert written["lost"] == written["disagreement"]["taps_missing"] > 0
    assert any("are not in the peak report" in problem for problem in written["problems"])
    assert "Gagal" in result.output


@pytest.mark.timeout(180)
def test_over_tls_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("tls")
    write_certificate(directory)
    files = TlsFiles(certificate=directory / "edge.pem", key=directory / "edge.key")
    options = StackOptions(directory=directory / "stack", drain_seconds=0.2, tls=files, ports=edge_apart())
    with running_stack(options) as stack:
        target = filled(stack, directory)
        reports = [let_loose(target, edge=edge)[0] for edge in Edge]

    assert target.tls
    assert [report.ok for report in reports] == [True] * 3
    assert [report.acknowledged for report in reports] == [PEOPLE] * 3
