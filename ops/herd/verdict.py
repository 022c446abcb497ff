"""Whether a run counts, and what to look at: pure judgement over what was measured. Owner: herd."""

from collections.abc import Iterator, Mapping

from ops.herd.agreement import Disagreement
from ops.herd.figures import Figures
from ops.herd.ledger import Findings
from ops.herd.receipts import ReceiptCheck
from ops.herd.report import Problem


def problems(
    durability: Mapping[str, str],
    figures: Figures,
    receipts: ReceiptCheck,
    findings: Findings,
    disagreement: Disagreement | None,
    *,
    reporting_complete: bool,
) -> Iterator[Problem]:
    """Each reason why the run counts for nothing; a disagreement of None is a board that could not be read."""
    off = [f"{name}={value}" for name, value in durability.items() if value != "on"]
    if off:
        yield Problem(
            f"PostgreSQL tidak menyimpan dengan aman ({', '.join(off)}): hasil ini tidak berlaku.",
            f"PostgreSQL does not store safely ({', '.join(off)}): the run counts for nothing.",
        )
    if figures.acknowledged < figures.sent:
        yield Problem(
            f"{figures.refused} orang ditolak dan {figures.unanswered} tidak mendapat jawaban.",
            f"{figures.refused} people were refused and {figures.unanswered} got no answer.",
        )
    if receipts.invalid:
        yield Problem(
            f"{receipts.invalid} tanda terima tidak sah.", f"{receipts.invalid} receipts are not valid."
        )
    if not reporting_complete:
        yield Problem(
            "Pelaporan tidak lengkap dalam batas waktu.", "Reporting was not complete within its time."
        )
    for count, text_id, text_en in _wrong(findings):
        if count:
            yield Problem(f"{count} presensi {text_id}.", f"{count} taps {text_en}.")
    if disagreement is None:
        yield Problem("Papan pantau tidak dapat dibaca.", "The board could not be read.")
    elif disagreement:
        for name, count in disagreement.found():
            text_id, text_en = _DISAGREEMENTS[name]
            yield Problem(f"{count} {text_id}.", f"{count} {text_en}.")


def lost(findings: Findings, disagreement: Disagreement | None) -> int:
    """Acknowledged taps that are not, or not as acknowledged, where they must be."""
    unseen = max(disagreement.taps_missing, disagreement.days_missing) if disagreement is not None else 0
    stored = (findings.missing_in_checkin, findings.missing_in_outbox, findings.missing_in_reporting)
    return max(*stored, unseen) + findings.other_receipt


def duplicated(findings: Findings, disagreement: Disagreement | None) -> int:
    """Acknowledged taps that some place holds, or shows, twice."""
    shown = max(disagreement.taps_doubled, disagreement.days_doubled) if disagreement is not None else 0
    return max(findings.doubled_in_checkin, findings.doubled_in_outbox, findings.doubled_in_reporting, shown)


def warnings(figures: Figures, *, unknown_before: int) -> Iterator[Problem]:
    """What deserves a look though nothing is lost."""
    if figures.first_attempt_failures:
        yield Problem(
            f"{figures.first_attempt_failures} HP gagal pada percobaan pertama: {_listed(figures.reasons['first'])}.",
            f"{figures.first_attempt_failures} phones failed at their first try: {_listed(figures.reasons['first'])}.",
        )
    if unknown_before:
        yield Problem(
            f"{unknown_before} orang atau HP belum dikenal semua layanan saat mulai.",
            f"{unknown_before} people or phones were not known to all services at the start.",
        )


_DISAGREEMENTS: Mapping[str, tuple[str, str]] = {
    "taps_missing": (
        "presensi tidak ada dalam laporan puncak",
        "acknowledged taps are not in the peak report",
    ),
    "taps_doubled": (
        "presensi lebih banyak dalam laporan puncak daripada tanda terima",
        "taps more are in the peak report than were acknowledged",
    ),
    "people_missing": (
        "orang bertanda terima tidak ada dalam laporan puncak",
        "people with a receipt are not in the peak report",
    ),
    "days_missing": (
        "orang bertanda terima tidak tercatat hadir dalam daftar hari",
        "people with a receipt are not present in the list of days",
    ),
    "days_wrong": (
        "hari tidak sama dengan tanda terima (tepat waktu, terlambat, pulang cepat)",
        "days say otherwise than the receipt (on time, late, left early)",
    ),
    "days_invented": (
        "orang tercatat hadir tanpa tanda terima",
        "people became present without a receipt",
    ),
    "days_doubled": ("hari tercatat dua kali", "person-days are listed twice"),
    "board_off": (
        "orang selisih antara papan pantau dan daftar hari",
        "heads lie between the board and the list of days",
    ),
}


def _wrong(findings: Findings) -> Iterator[tuple[int, str, str]]:
    yield findings.missing_in_checkin, "tidak ada di checkin", "are missing in checkin"
    yield findings.missing_in_outbox, "tidak ada di outbox", "are missing in the outbox"
    yield findings.missing_in_reporting, "tidak ada di pelaporan", "are missing in reporting"
    yield findings.doubled_in_checkin, "tercatat dua kali di checkin", "are in checkin twice"
    yield findings.doubled_in_outbox, "tercatat dua kali di outbox", "are in the outbox twice"
    yield findings.doubled_in_reporting, "tercatat dua kali di pelaporan", "are in reporting twice"
    yield findings.other_receipt, "tersimpan dengan tanda terima lain", "are stored with another receipt"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
