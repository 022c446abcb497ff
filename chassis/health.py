"""Health, computed from named checks and spoken as grpc.health.v1.

Owner: chassis. A service is ready when it can answer in order, also with errors: what others depend on (database,
NATS) has a name of its own and does not take the replica out of the edge's rotation.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from grpc_health.v1 import health, health_pb2
from prometheus_client import CollectorRegistry, Gauge

logger = logging.getLogger(__name__)

Check = Callable[[], bool | Awaitable[bool]]

# The name that answers whether the event loop turns: SERVING whenever it can answer at all, also while stopping, or
# an orchestrator would kill a process that is finishing its calls.
LIVENESS = "liveness"

# The edge asks every second or two; a check that takes longer than that is as good as failed.
INTERVAL_SECONDS = 1.0
INTERVAL_UNREADY_SECONDS = 0.1
CHECK_TIMEOUT_SECONDS = 2.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthRegistry:
    """Named checks, and what follows from them.

    The names "" (the whole process) and each service's are SERVING while all readiness checks pass and the server is
    not stopping. Each check also answers under its own name.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.servicer = health.aio.HealthServicer()
        self._readiness: dict[str, Check] = {}
        self._informational: dict[str, Check] = {}
        self._services: set[str] = {""}
        self._stopping = False
        self._ready: bool | None = None
        self._gauge = Gauge(
            "hadir_health",
            "1 while this health name is SERVING; the name process is the whole process's readiness.",
            ("name",),
            registry=registry,
        )

    @property
    def ready(self) -> bool:
        """What the last refresh found: all readiness checks passed, and the server is not stopping."""
        return self._ready is True

    def add_check(self, name: str, check: Check) -> None:
        """A check the process must pass to be ready.

        Args:
            name: its own health name; taken once.
            check: True when passed; may be a coroutine function. An exception or CHECK_TIMEOUT_SECONDS is a failure.

        Raises:
            ValueError: the name is taken.
        """
        self._take(name)
        self._readiness[name] = check

    def add_informational(self, name: str, check: Check) -> None:
        """A check that answers under its own name and leaves readiness alone ("database", "nats").

        Raises:
            ValueError: the name is taken.
        """
        self._take(name)
        self._informational[name] = check

    def add_service(self, name: str) -> None:
        """A gRPC service whose health is the process's readiness."""
        self._services.add(name)

    async def refresh(self) -> bool:
        """Runs all checks now and publishes what follows; True when ready."""
        checks = {**self._readiness, **self._informational}
        results = await asyncio.gather(*(_passes(name, check) for name, check in checks.items()))
        passed = dict(zip(checks, results, strict=True))
        failing = sorted(name for name in self._readiness if not passed[name])
        ready = not failing and not self._stopping
        if ready != self._ready:
            logger.info(
                "readiness changed", extra={"ready": ready, "failing": failing, "stopping": self._stopping}
            )
        self._ready = ready
        statuses = {**passed, **dict.fromkeys(self._services, ready), LIVENESS: True}
        for name, serving in statuses.items():
            self._gauge.labels(name or "process").set(serving)
            await self.servicer.set(name, _SERVING if serving else _NOT_SERVING)
        return ready

    async def run(self) -> None:
        """Refreshes for ever; a supervised background task of the server."""
        while True:
            try:
                ready = await self.refresh()
            except Exception:
                # Health must not end with its first surprise: the names keep their last state and are tried again.
                logger.exception("health could not be refreshed")
                ready = False
            await asyncio.sleep(INTERVAL_SECONDS if ready or self._stopping else INTERVAL_UNREADY_SECONDS)

    async def stop_serving(self) -> None:
        """NOT_SERVING from now on, whatever the checks say. Idempotent."""
        self._stopping = True
        await self.refresh()

    def _take(self, name: str) -> None:
        if name in {"", LIVENESS, *self._readiness, *self._informational, *self._services}:
            raise ValueError(f"the health name {name!r} is taken")


async def _passes(name: str, check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            result = check()
            return bool(await result if inspect.isawaitable(result) else result)
    except TimeoutError:
        return False
    except Exception:
        logger.exception("health check failed", extra={"check": name})
        return False
