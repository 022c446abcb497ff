"""checkin's composition root: the only place where its parts meet."""

import logging
import random
import uuid
from datetime import timedelta

from chassis import grpc_client
from chassis.database import answers, create_engine, is_unavailable
from chassis.errors import ErrorMapper
from chassis.grpc_server import GrpcServer
from chassis.issuer_keys import IssuerKeys
from chassis.jetstream import ConsumerMetrics, PullConsumer, connect, subject
from chassis.lifecycle import Application
from chassis.logging import configure_logging
from chassis.metrics import new_registry, start_metrics_server
from chassis.outbox import OutboxRelay
from chassis.tokens import TokenVerifier, signing_jwk, thumbprint
from hadir.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from hadir.checkin.v1 import (
    checkin_service_pb2,
    checkin_service_pb2_grpc,
    incident_service_pb2_grpc,
    policy_service_pb2_grpc,
)
from hadir.events.v1 import events_pb2
from services.checkin.adapters.codec import ReceiptSigner, decode_evidence
from services.checkin.adapters.device_feed import DeviceFeed
from services.checkin.adapters.devices import DeviceCache
from services.checkin.adapters.keys import load_anchor_keys, load_receipt_key, load_retired_keys
from services.checkin.adapters.metrics import CheckinMetrics
from services.checkin.adapters.partitions import Partitions
from services.checkin.adapters.people import PERSON_CHANGED, PostgresPeople, apply_people
from services.checkin.adapters.policy_file import load_policy_book
from services.checkin.adapters.reading import Reader
from services.checkin.adapters.tap_reads import PostgresTapReads
from services.checkin.adapters.tap_store import SCHEMA, PostgresTapStore
from services.checkin.application.commit import GroupCommit
from services.checkin.application.plan import Planner
from services.checkin.application.queue import QueueLimits, TapQueue
from services.checkin.application.submit import SubmitTap
from services.checkin.config import CheckinSettings
from services.checkin.entrypoints.access import access_table
from services.checkin.entrypoints.checkin import CheckinServicer
from services.checkin.entrypoints.errors import ERRORS
from services.checkin.entrypoints.incident import IncidentServicer
from services.checkin.entrypoints.policy import PolicyServicer

logger = logging.getLogger(__name__)

# Outbox rows left at the stop are some other replica's or the next start's; a few seconds spare consumers a wait.
_DRAIN_SECONDS = 5.0


def queue_limits(settings: CheckinSettings) -> QueueLimits:
    """The queue's bounds as set."""
    return QueueLimits(
        length=settings.queue_length,
        age=settings.queue_age_seconds,
        batch=settings.batch_size,
        in_flight=settings.commits_in_flight,
        horizon=settings.slot_horizon_seconds,
        initial_rate=settings.assumed_drain_rate,
    )


async def serve(settings: CheckinSettings) -> None:
    """Run checkin until SIGTERM or SIGINT; then stop in order: out of rotation, flush, drain NATS, close."""
    configure_logging(service="checkin", level=settings.log_level)
    clock = settings.clock()
    registry = new_registry()
    metrics = CheckinMetrics(registry)
    book = load_policy_book(settings.policy_file, zone=settings.zone)
    receipt_key = load_receipt_key(settings.receipt_key.get_secret_value())
    retired_keys = load_retired_keys(settings.retired_receipt_keys_dir)
    anchor_keys = load_anchor_keys(settings.anchor_key.get_secret_value())
    regency = settings.regency

    async with Application(registry=registry) as application:
        engine = create_engine(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            application_name="hadir-checkin",
        )
        application.on_stop("database", engine.dispose)
        scrape = start_metrics_server(registry, settings.metrics_listen)
        application.on_stop("metrics", scrape.close)
        nats = await connect(settings, name="hadir-checkin", registry=registry)
        application.on_stop("nats", nats.stop)
        auth = grpc_client.channel(
            settings.auth_target, token_file=settings.service_token_file, user_agent="hadir-checkin"
        )
        application.on_stop("auth channel", lambda: auth.close(None))

        auth_service = auth_service_pb2_grpc.AuthServiceStub(auth)
        keys = IssuerKeys(
            lambda: auth_service.GetJwks(auth_service_pb2.GetJwksRequest()),
            engine=engine,
            table="checkin.auth_keys",
            stamp="updated_at",
            regency=regency,
            clock=clock,
        )
        keyset = keys.keyset
        devices = DeviceCache(
            TokenVerifier(keyset=keyset, regency=regency, clock=clock, remembered=1),
            capacity=settings.device_cache_size,
        )
        feed = DeviceFeed(
            engine, auth, devices, regency=regency, now=clock.now, age=metrics.device_feed_silence
        )
        relay = OutboxRelay(engine=engine, schema=SCHEMA, nats=nats, registry=registry)
        people = PullConsumer(
            engine=engine,
            schema=SCHEMA,
            nats=nats,
            metrics=ConsumerMetrics(registry),
            durable=f"checkin-people-{regency}",
            subjects=[subject(regency, "auth", "person_changed")],
            decode={PERSON_CHANGED: events_pb2.PersonChanged},
            apply=apply_people,
        )
        partitions = Partitions(engine, now=clock.now, ahead=metrics.partitions_ahead)
        queue = TapQueue(
            GroupCommit(
                store=PostgresTapStore(
                    engine,
                    relay,
                    regency=regency,
                    writer=str(uuid.uuid4()),
                    retry_after=timedelta(seconds=settings.retry_after_seconds),
                    taps=metrics.taps,
                ),
                sealer=ReceiptSigner(receipt_key, thumbprint(receipt_key.public_key())),
                book=book,
                now=clock.now,
            ),
            limits=queue_limits(settings),
            monotonic=clock.monotonic,
            jitter=random.random,
        )
        metrics.watch(queue, devices)

        async def drain_outbox() -> None:
            await relay.drain(_DRAIN_SECONDS)

        application.on_stop("outbox", drain_outbox)
        for name, run in (
            ("outbox relay", relay.run),
            ("people consumer", people.run),
            ("partitions", partitions.run),
            ("device feed", feed.run),
            ("auth keys", keys.follow),
        ):
            _ = application.supervise(name, run)
        application.on_stop("queue", queue.drain)
        _ = application.supervise("queue", queue.run)

        reader = Reader(
            engine,
            concurrent=settings.reads_at_once,
            most_waiting=settings.reads_waiting,
            come_back=lambda: timedelta(seconds=settings.retry_after_seconds * (1 + random.random())),  # noqa: S311
        )
        planner = Planner(people=PostgresPeople(reader, regency=regency), book=book, now=clock.now)
        server = GrpcServer(
            settings=settings,
            clock=clock,
            registry=registry,
            verifier=TokenVerifier(keyset=keyset, regency=regency, clock=clock),
            errors=ERRORS,
            access=access_table(),
            revoked=lambda device_id: devices.revoked_at(uuid.UUID(device_id)) is not None,
        )
        server.add(
            checkin_service_pb2_grpc.add_CheckinServiceServicer_to_server,
            CheckinServicer(
                submit=SubmitTap(
                    regency=regency,
                    devices=devices,
                    decode=decode_evidence,
                    queue=queue,
                    book=book,
                    anchor_keys=anchor_keys,
                ),
                planner=planner,
                reads=PostgresTapReads(reader, regency=regency),
                book=book,
                anchor_keys=anchor_keys,
                receipt_keys=checkin_service_pb2.GetReceiptKeysResponse(
                    keys=[
                        checkin_service_pb2.ReceiptKey(**jwk)
                        for jwk in (signing_jwk(receipt_key.public_key()), *retired_keys)
                    ]
                ),
                clock=clock,
                status_of=ErrorMapper(ERRORS, is_unavailable).to_status,
            ),
        )
        server.add(
            policy_service_pb2_grpc.add_PolicyServiceServicer_to_server, PolicyServicer(planner=planner)
        )
        server.add(incident_service_pb2_grpc.add_IncidentServiceServicer_to_server, IncidentServicer())
        server.health.add_check("revocations", devices.complete)
        server.health.add_check("auth-keys", lambda: len(keyset) > 0)
        server.health.add_informational("device-feed", feed.current)
        server.health.add_informational("database", lambda: answers(engine))
        server.health.add_informational("nats", lambda: nats.connected)
        application.on_stop("server", server.stop)
        await server.start()
        await application.run_until_stopped()
