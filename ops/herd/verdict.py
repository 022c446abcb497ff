"""Whether a run counts, and what to look at: pure judgement over what was measured. Owner: herd."""

from collections.abc import Iterator, Mapping

from ops.herd.board import BoardView
from ops.herd.figures import Figures
from ops.herd.ledger import Findings
from ops.herd.receipts import ReceiptCheck
from ops.herd.report import Problem


def problems(
    durability: Mapping[str, str],
    figures: Figures,
    receipts: ReceiptCheck,
    findings: Findings,
    *,
    reporting_complete: bool,
) -> Iterator[Problem]:
    """Each reason why the run counts for nothing."""
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


def lost(findings: Findings) -> int:
    """Acknowledged taps that are not, or not as acknowledged, where they must be."""
    return (
        max(findings.missing_in_checkin, findings.missing_in_outbox, findings.missing_in_reporting)
        + findings.other_receipt
    )


def duplicated(findings: Findings) -> int:
    """Acknowledged taps that some place holds twice."""
    return max(findings.doubled_in_checkin, findings.doubled_in_outbox, findings.doubled_in_reporting)


def warnings(
    figures: Figures, receipts: ReceiptCheck, board: BoardView | None, *, unknown_before: int
) -> Iterator[Problem]:
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
    if board is None:
        yield Problem("Papan pantau tidak dapat dibaca.", "The board could not be read.")
    elif min(board.present, board.days_with_tap) < receipts.counting_people:
        yield Problem(
            f"Papan pantau menunjukkan {board.present} hadir dan {board.days_with_tap} hari, "
            f"tanda terima {receipts.counting_people}.",
            f"The board shows {board.present} present and {board.days_with_tap} days, "
            f"receipts {receipts.counting_people}.",
        )


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
