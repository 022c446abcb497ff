import dataclasses
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from ops.herd.agreement import Disagreement
from ops.herd.figures import Figures
from ops.herd.ledger import Findings
from ops.herd.options import Arrival, HerdOptions, Slot
from ops.herd.picture import Scene, draw
from ops.herd.receipts import ReceiptCheck
from ops.herd.report import HerdReport, Problem
from ops.herd.summary import headline_en, headline_id, print_summary
from ops.herd.verdict import duplicated, lost, problems, warnings

KEYS = [
    "people",
    "enrolled",
    "enroll_seconds",
    "taps_sent",
    "acknowledged",
    "refused",
    "lost",
    "duplicated",
    "seconds_to_all",
    "p50_ms",
    "p99_ms",
    "retries",
    "first_attempt_failures",
    "reporting_lag_ms",
    "memory_mb_total",
    "memory_mb_by_part",
    "server_cpu_ms_per_tap",
    "client_cpu_ms_per_tap",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
]

ON = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
WELL = Figures(
    sent=10,
    acknowledged=10,
    refused=0,
    unanswered=0,
    retries=0,
    first_attempt_failures=0,
    seconds_to_all=1.0,
    seconds_to={},
    p50_ms=1.0,
    p90_ms=1.0,
    p99_ms=1.0,
    max_ms=1.0,
    first_answer_p99_ms=1.0,
    most_tries=1,
    duplicate_receipts=0,
    reasons={"first": {}, "last": {}},
)
RECEIPTS = ReceiptCheck(
    valid=10,
    invalid=0,
    work_dates={"2026-11-23": 10},
    verdicts={},
    time_grades={},
    flags={},
    people=frozenset(),
    counting={},
    in_review=frozenset(),
    longest_backdating=timedelta(0),
)
NOTHING = Findings(
    missing_in_checkin=0,
    missing_in_outbox=0,
    missing_in_reporting=0,
    doubled_in_checkin=0,
    doubled_in_outbox=0,
    doubled_in_reporting=0,
    other_receipt=0,
    stored_unacknowledged=0,
)
AGREED = Disagreement(**{field.name: 0 for field in dataclasses.fields(Disagreement)})


def a_report(*found: Problem) -> HerdReport:
    return HerdReport(
        people=6000,
        enrolled=6000,
        enroll_seconds=12.3456,
        taps_sent=6000,
        acknowledged=5999,
        refused=1,
        lost=0,
        duplicated=0,
        seconds_to_all=3.44,
        p50_ms=1700.0,
        p99_ms=3400.0,
        max_ms=3440.0,
        retries=12,
        first_attempt_failures=0,
        reporting_lag_ms=300.0,
        memory_mb_total=700.0,
        memory_mb_by_part={"envoy": 700.0},
        server_cpu_ms_per_tap=1.0,
        client_cpu_ms_per_tap=0.1,
        durability=ON,
        details={"edge": "json"},
        problems=found,
    )


def judged(**changes: object) -> list[str]:
    world: dict[str, object] = {
        "durability": ON,
        "figures": WELL,
        "receipts": RECEIPTS,
        "findings": NOTHING,
        "disagreement": AGREED,
    } | changes
    complete = world.pop("complete", True)
    return [
        problem.message_en
        for problem in problems(*world.values(), reporting_complete=complete)  # type: ignore[arg-type]
    ]


def test_report_json_has_the_fixed_keys_as_numbers_and_the_settings_as_words(tmp_path: Path) -> None:
    a_report().save(tmp_path / "deep" / "report.json")
    found = json.loads((tmp_path / "deep" / "report.json").read_text())

    assert [key for key in found if key in KEYS] == KEYS
    assert [found[key] for key in KEYS[-3:]] == ["on"] * 3
    assert found["memory_mb_by_part"] == {"envoy": 700.0}
    assert all(isinstance(found[key], int | float) for key in KEYS[:-3] if key != "memory_mb_by_part")
    assert found["ok"] is True


def test_a_good_run_counts() -> None:
    assert judged() == []
    assert a_report().ok


@pytest.mark.parametrize("name", list(ON))
def test_unsafe_storage_makes_a_run_count_for_nothing(name: str) -> None:
    (found,) = judged(durability=ON | {name: "off"})
    assert f"{name}=off" in found


@pytest.mark.parametrize(
    "changes",
    [
        {"figures": dataclasses.replace(WELL, acknowledged=9, refused=1)},
        {"receipts": dataclasses.replace(RECEIPTS, valid=9, invalid=1)},
        {"complete": False},
        *(
            {"findings": dataclasses.replace(NOTHING, **{field.name: 1})}
            for field in dataclasses.fields(Findings)
            if field.name != "stored_unacknowledged"
        ),
        {"disagreement": None},
        *(
            {"disagreement": dataclasses.replace(AGREED, **{field.name: 1})}
            for field in dataclasses.fields(Disagreement)
        ),
    ],
)
def test_whatever_is_missing_doubled_or_wrong_fails_a_run(changes: dict[str, object]) -> None:
    assert len(judged(**changes)) == 1
    assert not a_report(Problem("a", "b")).ok


def test_what_is_lost_and_what_is_doubled() -> None:
    found = dataclasses.replace(
        NOTHING, missing_in_checkin=1, missing_in_reporting=3, other_receipt=2, doubled_in_outbox=4
    )
    assert (lost(found, AGREED), duplicated(found, AGREED)) == (5, 4)
    assert (lost(found, None), duplicated(found, None)) == (5, 4)


def test_what_only_the_board_does_not_show_is_lost_and_what_it_shows_twice_is_doubled() -> None:
    lying = dataclasses.replace(AGREED, taps_missing=2, days_missing=7, taps_doubled=3, days_doubled=1)
    assert (lost(NOTHING, lying), duplicated(NOTHING, lying)) == (7, 3)


def test_warnings_tell_what_to_look_at() -> None:
    rough = dataclasses.replace(WELL, first_attempt_failures=2, reasons={"first": {"timeout": 2}, "last": {}})

    assert not list(warnings(WELL, unknown_before=0))
    assert "timeout 2" in next(warnings(rough, unknown_before=0)).message_en
    assert len(list(warnings(rough, unknown_before=1))) == 2


@pytest.mark.parametrize(
    ("options", "text_id", "text_en"),
    [
        (
            HerdOptions(),
            "5.999 dari 6.000 orang presensi masuk serentak, selesai dalam 3,4 detik",
            "5,999 of 6,000 people checked in all at once, done within 3.4 s",
        ),
        (
            HerdOptions(arrival=Arrival.CURVE, slot=Slot.OUT),
            "5.999 dari 6.000 orang presensi pulang, paling lama menunggu 3,4 detik",
            "5,999 of 6,000 people checked out, the longest wait was 3.4 s",
        ),
    ],
)
def test_the_headline(options: HerdOptions, text_id: str, text_en: str) -> None:
    assert headline_id(options, a_report()) == text_id
    assert headline_en(options, a_report()) == text_en


def test_the_summary_says_in_both_languages_whether_all_is_well() -> None:
    well, badly = io.StringIO(), io.StringIO()
    print_summary(Console(file=well, width=100), HerdOptions(), a_report())
    print_summary(Console(file=badly, width=100), HerdOptions(), a_report(Problem("3 hilang.", "3 [lost].")))

    assert "Tidak ada presensi yang hilang" in well.getvalue()
    assert "No attendance is missing" in well.getvalue()
    assert "Gagal: 3 hilang. 3 [lost]." in badly.getvalue()
    assert "Tidak ada presensi yang hilang" not in badly.getvalue()


@pytest.mark.parametrize("receipts", [[], [0.5, 0.7, 1.2]])
def test_a_picture_is_a_png_of_the_promised_size(tmp_path: Path, receipts: list[float]) -> None:
    path = tmp_path / "deep" / "peak.png"
    draw(
        Scene(
            presses=[0.0, 0.1, 0.2],
            receipts=receipts,
            title_id="Judul",
            title_en="Title",
            p50_ms=400.0,
            p99_ms=1000.0,
        ),
        path,
    )
    header = path.read_bytes()[:24]

    assert header.startswith(b"\x89PNG")
    assert (int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")) == (1600, 1200)
