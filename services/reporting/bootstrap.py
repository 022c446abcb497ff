"""reporting's composition root: the only place where its parts meet."""

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import grpc_client
from chassis.clock import Clock
from chassis.database import answers, create_engine
from chassis.grpc_server import GrpcServer
from chassis.issuer_keys import IssuerKeys
from chassis.jetstream import ConsumerMetrics, NatsConnection, PullConsumer, connect, subject
from chassis.lifecycle import Application
from chassis.logging import configure_logging
from chassis.metrics import new_registry, start_metrics_server
from chassis.outbox import OutboxRelay
from chassis.tokens import TokenVerifier
from hadir.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from hadir.events.v1 import events_pb2
from hadir.reporting.v1 import reporting_service_pb2_grpc
from services.reporting.adapters.messages import day_assessed, person_record, school_record, tap_record
from services.reporting.adapters.policy_file import load_policies
from services.reporting.adapters.queries import PostgresQueries
from services.reporting.adapters.read_model import SCHEMA, PostgresReadModel, PostgresTransaction
from services.reporting.adapters.revocations import Revocations
from services.reporting.adapters.sources import revoked_devices, roster_pages, tap_pages
from services.reporting.application.boards import Boards
from services.reporting.application.rebuild import Rebuilt, rebuild
from services.reporting.application.sweep import Sweeper
from services.reporting.config import ReportingSettings
from services.reporting.domain.policy import PolicyBook
from services.reporting.entrypoints.access import access_table
from services.reporting.entrypoints.clockwork import Clockwork
from services.reporting.entrypoints.consumers import (
    DEVICE_CHANGED,
    PERSON_CHANGED,
    TAP_ACCEPTED,
    DeviceEvents,
    PersonEvents,
    TapEvents,
)
from services.reporting.entrypoints.errors import ERRORS
from services.reporting.entrypoints.reporting import ReportingServicer

logger = logging.getLogger(__name__)

# A tap costs twice as much in batches of ten as in batches of two hundred, at the very time when everybody is busy; the
# board may lag by 5 s.
_TAP_LINGER_SECONDS = 0.15

# Outbox rows that wait at the stop are another replica's or the next start's; a few seconds spare consumers the wait.
_DRAIN_SECONDS = 5.0


def consumers(
    *,
    engine: AsyncEngine,
    nats: NatsConnection,
    registry: CollectorRegistry,
    book: PolicyBook,
    clock: Clock,
    regency: str,
    relay: OutboxRelay,
    revocations: Revocations,
) -> Mapping[str, PullConsumer]:
    """The consumers by name, each at its own pace: an import of the roster must not hold up taps or revocations."""

    def model(connection: AsyncConnection) -> PostgresReadModel:
        return PostgresReadModel(connection, regency=regency)

    def told(_: object) -> None:
        relay.notify()

    def noted(_: object) -> None:
        revocations.wake()

    metrics = ConsumerMetrics(registry)
    people = PersonEvents(
        model=model,
        book=book,
        clock=clock,
        regency=regency,
        read_person=person_record,
        read_school=school_record,
    )
    taps = TapEvents(model=model, book=book, clock=clock, regency=regency, read_tap=tap_record)
    devices = DeviceEvents(model=model, clock=clock, regency=regency)
    common: dict[str, Any] = {"engine": engine, "schema": SCHEMA, "nats": nats, "metrics": metrics}
    return {
        "people consumer": PullConsumer(
            **common,
            durable=f"reporting-people-{regency}",
            subjects=[subject(regency, "auth", "person_changed")],
            decode={PERSON_CHANGED: events_pb2.PersonChanged},
            apply=people.apply,
            after_commit=told,
        ),
        "tap consumer": PullConsumer(
            **common,
            durable=f"reporting-taps-{regency}",
            subjects=[subject(regency, "checkin", "tap_accepted")],
            decode={TAP_ACCEPTED: events_pb2.TapAccepted},
            apply=taps.apply,
            linger=_TAP_LINGER_SECONDS,
            after_commit=told,
        ),
        "device consumer": PullConsumer(
            **common,
            durable=f"reporting-devices-{regency}",
            subjects=[subject(regency, "auth", "device_changed")],
            decode={DEVICE_CHANGED: events_pb2.DeviceChanged},
            apply=devices.apply,
            after_commit=noted,
        ),
    }


def _engine(settings: ReportingSettings) -> AsyncEngine:
    return create_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        application_name="hadir-reporting",
    )


async def start(
    application: Application, settings: ReportingSettings, *, clock: Clock, registry: CollectorRegistry
) -> GrpcServer:
    """Start all parts; `application` stops them in reverse order. The server that was started, for its addresses.

    Neither auth nor NATS nor the database need be there.
    """
    regency = settings.regency
    book = load_policies(settings.policy_file, zone=settings.zone)
    engine = _engine(settings)
    application.on_stop("database", engine.dispose)
    scrape = start_metrics_server(registry, settings.metrics_listen)
    application.on_stop("metrics", scrape.close)
    nats = await connect(settings, name="hadir-reporting", registry=registry)
    application.on_stop("nats", nats.stop)
    auth = grpc_client.channel(settings.auth_target, user_agent="hadir-reporting")
    application.on_stop("auth channel", lambda: auth.close(None))

    auth_service = auth_service_pb2_grpc.AuthServiceStub(auth)
    keys = IssuerKeys(
        lambda: auth_service.GetJwks(auth_service_pb2.GetJwksRequest()),
        engine=engine,
        table=f"{SCHEMA}.auth_keys",
        stamp="fetched_at",
        regency=regency,
        clock=clock,
    )
    keyset = keys.keyset
    relay = OutboxRelay(engine=engine, schema=SCHEMA, nats=nats, registry=registry)
    revocations = Revocations(engine, regency=regency, now=clock.now)
    taking_in = consumers(
        engine=engine,
        nats=nats,
        registry=registry,
        book=book,
        clock=clock,
        regency=regency,
        relay=relay,
        revocations=revocations,
    )
    sweep = Clockwork(
        sweeper=Sweeper(begin=lambda: PostgresTransaction(engine, regency=regency), book=book),
        clock=clock,
        seconds=settings.sweep_seconds,
        told=relay.notify,
        registry=registry,
    )
    queries = PostgresQueries(engine, regency=regency)
    boards = Boards(queries=queries, book=book, clock=clock, max_watchers=settings.most_watchers)
    Gauge("hadir_reporting_watchers", "Boards watched now", registry=registry).set_function(
        lambda: boards.watchers
    )

    async def drain_outbox() -> None:
        await relay.drain(_DRAIN_SECONDS)

    application.on_stop("outbox", drain_outbox)
    for name, run in (
        ("outbox relay", relay.run),
        *((name, consumer.run) for name, consumer in taking_in.items()),
        ("revocations", revocations.follow),
        ("sweep", sweep.run),
        ("auth keys", keys.follow),
    ):
        _ = application.supervise(name, run)

    server = GrpcServer(
        settings=settings,
        clock=clock,
        registry=registry,
        verifier=TokenVerifier(keyset=keyset, regency=regency, clock=clock),
        errors=ERRORS,
        access=access_table(),
        revoked=revocations.revoked,
    )
    server.add(
        reporting_service_pb2_grpc.add_ReportingServiceServicer_to_server,
        ReportingServicer(
            queries=queries,
            boards=boards,
            clock=clock,
            zone=settings.zone_info(),
            regency=regency,
            day_message=day_assessed,
        ),
    )
    # Before that a revoked phone would be answered.
    server.health.add_check("revocations", lambda: revocations.loaded)
    server.health.add_informational("auth", lambda: keyset.answered)
    server.health.add_informational("auth-keys", lambda: len(keyset) > 0)
    server.health.add_informational("database", lambda: answers(engine))
    server.health.add_informational("nats", lambda: nats.connected)
    application.on_stop("server", server.stop)
    await keys.recall()
    await revocations.look()
    await server.start()
    return server


async def serve(settings: ReportingSettings) -> None:
    """Run reporting until SIGTERM or SIGINT; then stop in order: out of rotation, drain NATS, close."""
    configure_logging(service="reporting", level=settings.log_level)
    registry = new_registry()
    async with Application(registry=registry) as application:
        await start(application, settings, clock=settings.clock(), registry=registry)
        await application.run_until_stopped()


class RebuildNotPossibleError(Exception):
    """A rebuild lacks a setting; the text names it."""


async def run_rebuild(
    settings: ReportingSettings, *, first: date | None, last: date | None, roster_since: date | None
) -> Rebuilt:
    """Fill or mend the read model from auth's roster and checkin's taps; beside a serving process or without one.

    Args:
        settings: with `checkin_target` and `service_token_file`.
        first: first local work date of the taps; None means no bound.
        last: last local work date of the taps; None means no bound.
        roster_since: local date from whose begin the people count as known, so that absences after it are told;
            None means now.

    Raises:
        RebuildNotPossibleError: a setting is missing.
        grpc.aio.AioRpcError: auth or checkin is away or refuses.
    """
    configure_logging(service="reporting-rebuild", level=settings.log_level)
    if settings.checkin_target is None or settings.service_token_file is None:
        raise RebuildNotPossibleError("rebuild needs HADIR_CHECKIN_TARGET and HADIR_SERVICE_TOKEN_FILE")
    clock, regency = settings.clock(), settings.regency
    since = clock.now()
    if roster_since is not None:
        since = datetime.combine(roster_since, time(), tzinfo=settings.zone_info()).astimezone(UTC)

    def told(done: Rebuilt) -> None:
        logger.info("rebuilding", extra={"people": done.people, "taps": done.taps, "new_taps": done.new_taps})

    async with Application(registry=CollectorRegistry()) as application:
        engine = _engine(settings)
        application.on_stop("database", engine.dispose)
        channels = [
            grpc_client.channel(
                target, token_file=settings.service_token_file, user_agent="hadir-reporting-rebuild"
            )
            for target in (settings.auth_target, settings.checkin_target)
        ]
        for channel in channels:
            application.on_stop("channel", lambda channel=channel: channel.close(None))  # type: ignore[misc]
        return await rebuild(
            roster=roster_pages(channels[0], known_since=since),
            revoked=revoked_devices(channels[0]),
            taps=tap_pages(channels[1], first=first, last=last),
            begin=lambda: PostgresTransaction(engine, regency=regency),
            book=load_policies(settings.policy_file, zone=settings.zone),
            clock=clock,
            told=told,
        )
