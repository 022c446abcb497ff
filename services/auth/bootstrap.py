"""auth's composition root: everything is made here, and nothing elsewhere. Owner: auth."""

import asyncio
import logging
import random
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.clock import Clock
from chassis.database import answers, create_engine
from chassis.errors import jittered
from chassis.grpc_server import GrpcServer
from chassis.jetstream import NatsConnection, connect
from chassis.keys import KeySet
from chassis.lifecycle import Application
from chassis.metrics import new_registry, start_metrics_server
from chassis.outbox import OutboxRelay
from chassis.tokens import TokenVerifier
from hadir.auth.v1 import auth_service_pb2_grpc, roster_service_pb2_grpc
from services.auth.adapters.crypto import DeviceKeys, SystemEntropy
from services.auth.adapters.device_feed import PostgresDeviceFeed
from services.auth.adapters.directory_store import PostgresDirectoryStore
from services.auth.adapters.enrolment_store import PostgresEnrolmentStore
from services.auth.adapters.events import SCHEMA, Events
from services.auth.adapters.roster_store import PostgresRosterStore
from services.auth.adapters.session_store import PostgresSessionStore
from services.auth.adapters.tokens import SignedTokens, SigningKeys, load_signing_keys
from services.auth.adapters.transactions import Transactions
from services.auth.application.directory import IssueActivationCodes, ListPeople, ReplaceDevice
from services.auth.application.enroll import Enroll
from services.auth.application.import_roster import ImportRoster
from services.auth.application.sessions import CreateChallenge, PurgeChallenges, RenewCertificate, SignIn
from services.auth.application.watch_devices import WatchDevices
from services.auth.config import AuthSettings
from services.auth.domain.roster import RosterRules
from services.auth.entrypoints.access import access
from services.auth.entrypoints.auth_servicer import AuthServicer
from services.auth.entrypoints.errors import ERRORS
from services.auth.entrypoints.messages import EventMessages
from services.auth.entrypoints.metrics import AuthMetrics
from services.auth.entrypoints.roster_servicer import RosterServicer

logger = logging.getLogger(__name__)

# The outbox's relay and the health check use the pool beside the calls.
POOL_FOR_OTHERS = 2
COME_BACK_SECONDS = 1.0
PURGE_SECONDS = 60.0
PURGE_BATCHES = 100
# Publishing what is left takes at most so long at the end; what remains is published after the next start.
DRAIN_SECONDS = 3.0


async def serve(settings: AuthSettings) -> None:
    """Run the service until it is told to stop.

    Raises:
        KeyFileError: a signing key cannot be used; before any port is bound.
        OSError: an address cannot be bound.
    """
    keys = load_signing_keys(settings.auth_signing_key.get_secret_value(), settings.auth_retired_keys_dir)
    registry = new_registry()
    clock = settings.clock()
    async with Application(registry=registry) as application:
        metrics_server = start_metrics_server(registry, settings.metrics_listen)
        application.on_stop("metrics", metrics_server.close)
        engine = create_engine(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            application_name="hadir-auth",
        )
        # A failing statement is logged, and its parameters are people.
        engine.sync_engine.hide_parameters = True
        application.on_stop("database", engine.dispose)
        nats = await connect(settings, name="hadir-auth", registry=registry)
        application.on_stop("nats", nats.stop)
        relay = OutboxRelay(engine=engine, schema=SCHEMA, nats=nats, registry=registry)
        application.on_stop("outbox", partial(_drain, relay))
        _ = application.supervise("outbox", relay.run)
        transactions = Transactions(
            engine=engine,
            concurrent=settings.database_pool_size - POOL_FOR_OTHERS,
            most_waiting=settings.most_waiting,
            come_back=_come_back,
            committed=relay.notify,
        )
        application.on_stop("transactions", transactions.drain)
        sessions = PostgresSessionStore(transactions=transactions, regency=settings.regency)
        _ = application.supervise(
            "purge-challenges", partial(_purge_forever, PurgeChallenges(clock=clock, store=sessions))
        )
        server = build_server(
            settings=settings,
            clock=clock,
            registry=registry,
            keys=keys,
            transactions=transactions,
            sessions=sessions,
        )
        _add_health(server, engine, nats)
        await server.start()
        application.on_stop(
            "grpc", server.stop, timeout=settings.drain_wait_seconds + settings.grace_seconds + 5
        )
        logger.info("started", extra={"metrics": metrics_server.port})
        await application.run_until_stopped()


def build_server(
    *,
    settings: AuthSettings,
    clock: Clock,
    registry: CollectorRegistry,
    keys: SigningKeys,
    transactions: Transactions,
    sessions: PostgresSessionStore,
) -> GrpcServer:
    """The gRPC server with both services, not started."""
    regency = settings.regency
    spread = random.Random()  # noqa: S311 - spreads load, keeps no secret
    entropy = SystemEntropy()
    device_keys = DeviceKeys()
    verifier = TokenVerifier(keyset=KeySet(keys.jwks), regency=regency, clock=clock)
    tokens = SignedTokens(keys=keys, verifier=verifier, regency=regency, clock=clock)
    events = Events(regency=regency, bodies=EventMessages(regency=regency))
    directory = PostgresDirectoryStore(transactions=transactions, events=events, regency=regency)
    certificate_rules = settings.certificate_rules()
    session_rules = settings.session_rules()
    code_life = timedelta(days=settings.activation_code_days)
    metrics = AuthMetrics(registry)
    metrics.waiting.set_function(lambda: transactions.waiting)
    auth = AuthServicer(
        enroll=Enroll(
            clock=clock,
            entropy=entropy,
            spread=spread,
            store=PostgresEnrolmentStore(transactions=transactions, events=events, regency=regency),
            keys=device_keys,
            tokens=tokens,
            rules=certificate_rules,
            wrong_numbers=settings.wrong_numbers,
        ),
        create_challenge=CreateChallenge(clock=clock, entropy=entropy, store=sessions, rules=session_rules),
        sign_in=SignIn(
            clock=clock,
            store=sessions,
            keys=device_keys,
            tokens=tokens,
            rules=session_rules,
        ),
        renew=RenewCertificate(
            clock=clock, spread=spread, store=sessions, tokens=tokens, rules=certificate_rules
        ),
        jwks=keys.jwks,
        regency=regency,
        metrics=metrics,
    )
    roster = RosterServicer(
        import_roster=ImportRoster(
            clock=clock,
            store=PostgresRosterStore(
                transactions=transactions,
                events=events,
                entropy=entropy,
                regency=regency,
                zone=settings.zone_info(),
            ),
            regency=regency,
            rules=RosterRules(honorary=settings.honorary),
        ),
        list_people=ListPeople(clock=clock, store=directory, regency=regency),
        issue_codes=IssueActivationCodes(
            clock=clock, entropy=entropy, store=directory, regency=regency, life=code_life
        ),
        replace_device=ReplaceDevice(
            clock=clock, entropy=entropy, store=directory, regency=regency, life=code_life
        ),
        watch_devices=WatchDevices(
            clock=clock,
            feed=PostgresDeviceFeed(transactions=transactions, regency=regency),
            poll=timedelta(seconds=settings.watch_poll_seconds),
            heartbeat=timedelta(seconds=settings.watch_heartbeat_seconds),
        ),
        regency=regency,
        metrics=metrics,
        most_imports=settings.most_imports,
        most_watchers=settings.most_watchers,
        come_back=_come_back,
    )
    server = GrpcServer(
        settings=settings,
        clock=clock,
        registry=registry,
        verifier=verifier,
        errors=ERRORS,
        access=access(timedelta(days=settings.certificate_grace_days)),
    )
    server.add(auth_service_pb2_grpc.add_AuthServiceServicer_to_server, auth)
    server.add(roster_service_pb2_grpc.add_RosterServiceServicer_to_server, roster)
    return server


def _add_health(server: GrpcServer, engine: AsyncEngine, nats: NatsConnection) -> None:
    # Neither is readiness: without them auth still answers in order, with UNAVAILABLE or with later events.
    server.health.add_informational("database", partial(answers, engine))
    server.health.add_informational("nats", lambda: nats.connected)


async def _purge_forever(purge: PurgeChallenges) -> None:
    while True:
        await asyncio.sleep(PURGE_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - replicas apart
        for _ in range(PURGE_BATCHES):
            if await purge() < PurgeChallenges.BATCH:
                break


async def _drain(relay: OutboxRelay) -> None:
    if not await relay.drain(DRAIN_SECONDS):
        logger.info("events are left in the outbox; the next start publishes them")


def _come_back() -> timedelta:
    return jittered(COME_BACK_SECONDS)
