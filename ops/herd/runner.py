"""A run from beginning to end, in order. Owner: herd.

1. people of the roster; 2. phones enrolled; 3. time anchors; 4. the stack at rest; 5. every tap signed and rendered;
6. the clock runs; 7. what became of each tap, in the phones, in checkin, in reporting; 8. report and picture.
"""

import asyncio
import os
import random
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import uvloop
from rich.console import Console

from ops.herd.agreement import Disagreement, compare
from ops.herd.anchors import Anchored, fetch_anchors
from ops.herd.arrivals import press_times
from ops.herd.board import Sight, look
from ops.herd.course import Clock, CourseResult, Renderer, Sender, Tap, run_course
from ops.herd.crowd import Crowd, Member, choose, read_crowd
from ops.herd.enrolment import Enrolment, enrol, usable_phones
from ops.herd.errors import HerdError
from ops.herd.evidence import SignedTap, sign_tap
from ops.herd.figures import Figures, figures
from ops.herd.grpc_sender import BatchSender, GrpcSender
from ops.herd.http_sender import JsonSender
from ops.herd.ledger import Findings, Ledger
from ops.herd.options import Edge, HerdOptions
from ops.herd.phones import Phone, PhoneBook
from ops.herd.picture import Scene, draw
from ops.herd.receipts import ReceiptCheck, check_receipts, receipt_keys
from ops.herd.report import HerdReport
from ops.herd.retry import Accepted
from ops.herd.rpc import open_channel
from ops.herd.summary import headline_en, headline_id, print_summary
from ops.herd.target import PartUsage, StackTarget
from ops.herd.tls import server_name, tls_context
from ops.herd.verdict import duplicated, lost, problems, warnings
from ops.herd.wire import JsonRequest, ProtobufRequest, Try

_CHANNELS = 4
# The service level of the board, seconds: once reporting holds all, it must agree with the receipts within this.
_BOARD_FRESH = 5.0
_BOARD_POLL = 0.3
# Between the end of the preparation and the start: the last answers before it are out of the way.
_BREATH = 0.5


def run(target: StackTarget, options: HerdOptions, *, console: Console) -> HerdReport:
    """Lets the herd loose on `target` and says what became of it; prints progress and a summary.

    Runs an event loop of its own, so call it from no other. Repeating it is safe: phones of an earlier run are used
    again, and each run's taps are new.

    Raises:
        HerdError: it could not start: too few people, auth or checkin refused, no database.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_async(target, options, console=console))


async def run_async(target: StackTarget, options: HerdOptions, *, console: Console) -> HerdReport:
    """Like `run`, on the loop it is awaited in."""
    async with AsyncExitStack() as held:
        ledger = await _open_ledger(target, held)
        durability = await ledger.durability()
        morning = await _prepare(target, options, ledger, console, held)
        before = _usage(target)
        sender = _sender(target, options)
        held.push_async_callback(sender.close)
        console.print(f"Mulai: {options.people} HP. [dim]The clock starts: {options.people} phones.[/]")
        taps, clock, prepared = await _render_all(target, options, morning)
        course = await run_course(taps, sender, clock, patience=options.patience, seed=options.seed + 1)
        outcome = await _look(target, options, ledger, morning, taps, clock, before)
        report = _report(options, morning, taps, clock, course, outcome, durability, prepared)
    _publish(options, taps, report, console)
    return report


@dataclass(frozen=True, kw_only=True, slots=True)
class _Morning:
    """Everything that is ready before the clock starts."""

    members: Sequence[Member]
    crowd: Crowd
    enrolment: Enrolment
    anchored: Anchored
    channel: grpc.aio.Channel
    unknown: int
    sight: Sight


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """Everything that was looked at after it."""

    figures: Figures
    receipts: ReceiptCheck
    findings: Findings
    sight: Sight | None
    disagreement: Disagreement | None
    reporting_lag: float
    reporting_complete: bool
    cpu_seconds: Mapping[str, float]
    memory_mb: Mapping[str, float]


async def _open_ledger(target: StackTarget, held: AsyncExitStack) -> Ledger:
    try:
        ledger = await Ledger.open(target.database_url)
    except OSError as error:
        raise HerdError(
            f"Basis data tidak dapat dihubungi: {error}", f"The database cannot be reached: {error}"
        ) from error
    held.push_async_callback(ledger.close)
    return ledger


async def _prepare(
    target: StackTarget, options: HerdOptions, ledger: Ledger, console: Console, held: AsyncExitStack
) -> _Morning:
    channels = [open_channel(target) for _ in range(_CHANNELS)]
    for channel in channels:
        held.push_async_callback(channel.close)
    book = PhoneBook(target.phones_file)
    crowd = await read_crowd(target, channels[0])
    members = choose(crowd, options.people, usable_phones(book))
    enrolment = await enrol(target, members, book, console)
    unknown = await ledger.await_known(
        [member.person_id for member in members],
        [phone.device_id for phone in enrolment.phones],
        options.settle,
    )
    anchored = await fetch_anchors(enrolment.phones, channels, console)
    return _Morning(
        members=members,
        crowd=crowd,
        enrolment=enrolment,
        anchored=anchored,
        channel=channels[0],
        unknown=unknown,
        sight=await look(target, channels[0], "", options.slot),
    )


def _sender(target: StackTarget, options: HerdOptions) -> Sender:
    match options.edge:
        case Edge.JSON:
            if not target.tls:
                return JsonSender(target.host, target.port)
            return JsonSender(target.host, target.port, tls_context(target.tls_ca), server_name(target))
        case Edge.GRPC:
            return GrpcSender(lambda: open_channel(target), options.patience.answer_timeout)
        case Edge.BATCH:
            return BatchSender(lambda: open_channel(target), options.patience.answer_timeout)


async def _render_all(
    target: StackTarget, options: HerdOptions, morning: _Morning
) -> tuple[list[Tap], Clock, float]:
    """Every tap, signed and rendered for a start that lies shortly ahead; also the CPU seconds it took."""
    presses = press_times(options.arrival, options.people, seed=options.seed, compress=options.compress)
    budget = 0.2 + 0.0005 * options.people
    cpu = time.process_time()
    while True:
        start = time.monotonic() + budget + _BREATH
        clock = Clock(start=start, wall_start=time.time() + budget + _BREATH + morning.anchored.ahead)
        taps = _rendered(target, options, morning, presses, clock)
        if clock.now() < -_BREATH / 2:
            return taps, clock, time.process_time() - cpu
        # A slower machine than thought: the evidence names the press, so it is signed again for a later start.
        budget *= 2


def _rendered(
    target: StackTarget, options: HerdOptions, morning: _Morning, presses: Sequence[float], clock: Clock
) -> list[Tap]:
    chance = random.Random(options.seed)  # noqa: S311 - places and networks
    host = target.edge.split("://", 1)[-1].rstrip("/")
    taps = []
    for member, phone, anchor, press in zip(
        morning.members, morning.enrolment.phones, morning.anchored.anchors, presses, strict=True
    ):
        signed = sign_tap(
            phone,
            anchor,
            morning.crowd.fences.get(member.npsn),
            regency=target.regency,
            slot=options.slot,
            press_wall=clock.wall_start + press,
            press_monotonic=clock.start + press,
            chance=chance,
        )
        renderer = _renderer(options.edge, host, phone, signed)
        first = renderer.render(Try(attempt=1, queued=0.0, sent_wall=clock.wall_start + press))
        taps.append(Tap(phone=phone, signed=signed, press=press, renderer=renderer, first=first))
    return taps


def _renderer(edge: Edge, host: str, phone: Phone, signed: SignedTap) -> Renderer:
    return JsonRequest(host, phone, signed) if edge is Edge.JSON else ProtobufRequest(phone, signed)


async def _look(
    target: StackTarget,
    options: HerdOptions,
    ledger: Ledger,
    morning: _Morning,
    taps: Sequence[Tap],
    clock: Clock,
    before: Mapping[str, PartUsage],
) -> _Outcome:
    receipts = {
        tap.signed.tap_id: tap.answer.content for tap in _by_receipt(taps) if isinstance(tap.answer, Accepted)
    }
    last = max(
        (tap.done_at for tap in taps if tap.acknowledged and tap.done_at is not None), default=clock.now()
    )
    seen = await ledger.await_reporting(list(receipts), options.reporting_wait)
    after = _usage(target)
    told = check_receipts(taps, await receipt_keys(morning.channel))
    findings = await ledger.check(receipts, [tap.signed.tap_id for tap in taps if not tap.acknowledged])
    without = {tap.phone.person_id for tap in taps if not tap.acknowledged}
    sight, disagreement = await _compared(target, options, morning, told, without, findings)
    return _Outcome(
        figures=figures(taps),
        receipts=told,
        findings=findings,
        sight=sight,
        disagreement=disagreement,
        reporting_lag=(seen if seen is not None else time.monotonic()) - clock.start - last,
        reporting_complete=seen is not None,
        cpu_seconds={
            name: usage.cpu_seconds - (before[name].cpu_seconds if name in before else 0.0)
            for name, usage in after.items()
        },
        memory_mb={name: usage.pss_mb for name, usage in after.items()},
    )


async def _compared(
    target: StackTarget,
    options: HerdOptions,
    morning: _Morning,
    receipts: ReceiptCheck,
    unacknowledged: Set[str],
    findings: Findings,
) -> tuple[Sight | None, Disagreement | None]:
    """What reporting shows, and how far it is from the receipts once it had its time."""
    before = morning.sight
    if receipts.work_date and receipts.work_date != before.work_date:
        before = Sight(work_date=receipts.work_date)
    deadline = time.monotonic() + _BOARD_FRESH
    while True:
        try:
            after = await look(target, morning.channel, before.work_date, options.slot)
        except HerdError:
            return None, None
        found = compare(
            before,
            after,
            receipts,
            unacknowledged=unacknowledged,
            strays=findings.stored_unacknowledged,
        )
        if not found or time.monotonic() > deadline:
            return after, found
        await asyncio.sleep(_BOARD_POLL)


def _by_receipt(taps: Sequence[Tap]) -> list[Tap]:
    return sorted((tap for tap in taps if tap.acknowledged), key=lambda tap: tap.done_at or 0.0)


def _usage(target: StackTarget) -> Mapping[str, PartUsage]:
    return target.meter() if target.meter is not None else {}


def _report(
    options: HerdOptions,
    morning: _Morning,
    taps: Sequence[Tap],
    clock: Clock,
    course: CourseResult,
    outcome: _Outcome,
    durability: Mapping[str, str],
    prepared: float,
) -> HerdReport:
    numbers = outcome.figures
    per_tap = 1000 / max(1, numbers.acknowledged)
    return HerdReport(
        people=options.people,
        enrolled=morning.enrolment.enrolled,
        enroll_seconds=morning.enrolment.seconds,
        taps_sent=numbers.sent,
        acknowledged=numbers.acknowledged,
        refused=numbers.refused,
        lost=lost(outcome.findings, outcome.disagreement),
        duplicated=duplicated(outcome.findings, outcome.disagreement),
        seconds_to_all=numbers.seconds_to_all,
        p50_ms=numbers.p50_ms,
        p99_ms=numbers.p99_ms,
        max_ms=numbers.max_ms,
        retries=numbers.retries,
        first_attempt_failures=numbers.first_attempt_failures,
        reporting_lag_ms=outcome.reporting_lag * 1000,
        memory_mb_total=sum(outcome.memory_mb.values()),
        memory_mb_by_part=outcome.memory_mb,
        server_cpu_ms_per_tap=sum(outcome.cpu_seconds.values()) * per_tap,
        client_cpu_ms_per_tap=course.cpu_seconds * per_tap,
        durability=durability,
        details=_details(options, morning, taps, clock, course, outcome, prepared),
        problems=tuple(
            problems(
                durability,
                numbers,
                outcome.receipts,
                outcome.findings,
                outcome.disagreement,
                reporting_complete=outcome.reporting_complete,
            )
        ),
        warnings=tuple(warnings(numbers, unknown_before=morning.unknown)),
    )


def _details(
    options: HerdOptions,
    morning: _Morning,
    taps: Sequence[Tap],
    clock: Clock,
    course: CourseResult,
    outcome: _Outcome,
    prepared: float,
) -> dict[str, Any]:
    numbers, receipts = outcome.figures, outcome.receipts
    per_tap = 1000 / max(1, numbers.acknowledged)
    return {
        "arrival": str(options.arrival),
        "edge": str(options.edge),
        "slot": str(options.slot),
        "seed": options.seed,
        "cores": os.cpu_count(),
        "started_at": datetime.fromtimestamp(clock.wall_start, UTC).isoformat(timespec="milliseconds"),
        "work_date": receipts.work_date,
        "arrival_seconds": round(max((tap.press for tap in taps), default=0.0), 3),
        "unanswered": numbers.unanswered,
        "seconds_to": {str(share): round(seconds, 3) for share, seconds in numbers.seconds_to.items()},
        "p90_ms": round(numbers.p90_ms, 1),
        "first_answer_p99_ms": round(numbers.first_answer_p99_ms, 1),
        "most_tries": numbers.most_tries,
        "duplicate_receipts": numbers.duplicate_receipts,
        "reasons": numbers.reasons,
        "receipts_verified": receipts.valid,
        "verdicts": dict(receipts.verdicts),
        "time_grades": dict(receipts.time_grades),
        "flags": dict(receipts.flags),
        "longest_arrival_minus_official_s": round(receipts.longest_backdating.total_seconds(), 3),
        "findings": asdict(outcome.findings),
        "board": asdict(outcome.sight.view) if outcome.sight is not None else None,
        "board_before": asdict(morning.sight.view),
        "disagreement": asdict(outcome.disagreement) if outcome.disagreement is not None else None,
        "server_cpu_ms_per_tap_by_part": {
            name: round(seconds * per_tap, 4) for name, seconds in outcome.cpu_seconds.items()
        },
        "client_prepare_cpu_ms_per_tap": round(prepared * 1000 / max(1, len(taps)), 4),
        "course_seconds": round(course.seconds, 3),
    }


def _publish(options: HerdOptions, taps: Sequence[Tap], report: HerdReport, console: Console) -> None:
    if options.report is not None:
        report.save(options.report)
    if options.picture is not None:
        scene = Scene(
            presses=[tap.press for tap in taps],
            receipts=[tap.done_at for tap in taps if tap.acknowledged and tap.done_at is not None],
            title_id=headline_id(options, report),
            title_en=headline_en(options, report),
            p50_ms=report.p50_ms,
            p99_ms=report.p99_ms,
        )
        draw(scene, options.picture)
    print_summary(console, options, report)
