"""One connection to NATS that a service can start, serve and stop without.

Owner: the chassis. This class alone decides when to connect again: nats-py's own reconnection is off, because a client
that was refused once (`-ERR` authorization violation, a protocol error) closes for good, and while reconnecting it
buffers what we publish and sends it after we have given it up (docs/decisions/0038-jetstream.md).
"""

import asyncio
import contextlib
import logging
import random
from typing import Final, Protocol

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry, Counter, Gauge
from pydantic import SecretStr

from chassis.tasks import end

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS: Final = 3
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
# A server that hangs without closing is noticed after two unanswered pings.
PING_INTERVAL_SECONDS: Final = 10
DRAIN_TIMEOUT_SECONDS: Final = 5.0
# Bytes that may wait for the socket before a publisher is made to wait: some thousand events.
PENDING_BYTES: Final = 2 * 1024 * 1024
API_TIMEOUT_SECONDS: Final = 5.0


class NatsUnavailableError(Exception):
    """There is no connection to NATS now; a later try may find one."""


class NatsSettings(Protocol):
    """What of a service's settings is needed here: `nats://host:port,...` and, when asked for, user and password."""

    @property
    def nats_url(self) -> str:
        """Addresses, separated by commas."""

    @property
    def nats_user(self) -> str | None:
        """User name, when the server asks for one."""

    @property
    def nats_password(self) -> SecretStr | None:
        """That user's password."""


class NatsConnection:
    """Keeps one connected client, and replaces it when it is lost, for as long as it takes.

    Args:
        servers: addresses, `nats://host:port`; any of them will do.
        name: shown in the server's list of connections.
        user: user name, with `password`, or none of both.
        password: of the user.
        registry: gets `hadir_nats_connected` and `hadir_nats_connections_total`.
    """

    def __init__(
        self,
        *,
        servers: list[str],
        name: str,
        registry: CollectorRegistry,
        user: str | None = None,
        password: SecretStr | None = None,
    ) -> None:
        self._servers = servers
        self._name = name
        self._user = user
        self._password = password
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connected_gauge = Gauge("hadir_nats_connected", "1 while connected to NATS", registry=registry)
        self._connections = Counter(
            "hadir_nats_connections",
            "Connections made to NATS; more than one means reconnects",
            registry=registry,
        )

    @property
    def connected(self) -> bool:
        """True while the server is connected, as far as the client knows."""
        return self._client is not None and self._client.is_connected

    def client(self) -> Client:
        """The connected client. Ask again for each piece of work: after a loss it is another one.

        Raises:
            NatsUnavailableError: there is none now.
        """
        if self._client is None or not self._client.is_connected:
            raise NatsUnavailableError("not connected to NATS")
        return self._client

    def jetstream(self) -> JetStreamContext:
        """JetStream on the connected client.

        Raises:
            NatsUnavailableError: there is none now.
        """
        context: JetStreamContext = self.client().jetstream(timeout=API_TIMEOUT_SECONDS)
        return context

    async def wait_connected(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a connection; True when there is one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._up.wait()
        return self.connected

    def start(self) -> None:
        """Begin to connect, in the background; returns at once. A second call changes nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="nats-connection")

    async def stop(self) -> None:
        """Send what is buffered, close, and stay closed. Bounded by a few seconds; a second call changes nothing."""
        task, self._task = self._task, None
        if task is not None:
            await end([task])
        client, self._client = self._client, None
        self._up.clear()
        self._connected_gauge.set(0)
        if client is None:
            return
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_SECONDS):
                if client.is_connected:
                    await client.drain()
        except (nats.errors.Error, OSError) as error:
            logger.warning("closing the connection to NATS: %s", _told(error))
        await _close(client)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        silent = False
        while True:
            self._lost.clear()
            try:
                client = await self._connect()
            except Exception as error:  # noqa: BLE001 - nats-py lets ValueError, KeyError, ssl errors through; all mean "not now"
                if not silent:
                    logger.warning("NATS is away (%s); trying on", _told(error))
                silent = True
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause, silent = FIRST_PAUSE_SECONDS, False
            self._client = client
            self._connections.inc()
            self._connected_gauge.set(1)
            self._up.set()
            logger.info("connected to NATS")
            await self._lost.wait()
            self._up.clear()
            self._connected_gauge.set(0)
            self._client = None
            logger.warning("lost the connection to NATS")
            await _close(client)

    async def _connect(self) -> Client:
        client = Client()
        lost = self._lost

        async def closed() -> None:
            lost.set()

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS * (len(self._servers) + 1)):
                await client.connect(
                    servers=list(self._servers),
                    name=self._name,
                    user=self._user,
                    password=self._password.get_secret_value() if self._password else None,
                    allow_reconnect=False,
                    # Each server once; then our own pause, with jitter.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    ping_interval=PING_INTERVAL_SECONDS,
                    max_outstanding_pings=2,
                    pending_size=PENDING_BYTES,
                    flush_timeout=API_TIMEOUT_SECONDS,
                    drain_timeout=int(DRAIN_TIMEOUT_SECONDS),
                    error_cb=_quiet,
                    closed_cb=closed,
                )
        except BaseException:
            await _close(client)
            raise
        return client


async def _close(client: Client) -> None:
    """Close the socket, whatever state the client is in."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1.0):
            await client.close()


async def _quiet(error: Exception) -> None:
    """nats-py logs each error with a traceback by default; during hours without NATS that would fill a disk."""
    logger.debug("nats: %s", _told(error))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def connect(settings: NatsSettings, *, name: str, registry: CollectorRegistry) -> NatsConnection:
    """A started `NatsConnection` from a service's settings. NATS need not be up."""
    connection = NatsConnection(
        servers=[url.strip() for url in settings.nats_url.split(",") if url.strip()],
        name=name,
        registry=registry,
        user=settings.nats_user,
        password=settings.nats_password,
    )
    connection.start()
    return connection
