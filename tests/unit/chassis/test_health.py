import asyncio
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry

from chassis import health
from chassis.health import LIVENESS, HealthRegistry

SERVICE = "hadir.checkin.v1.CheckinService"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def checks(registry: CollectorRegistry) -> HealthRegistry:
    checks = HealthRegistry(registry)
    checks.add_service(SERVICE)
    return checks


async def _status(checks: HealthRegistry, name: str) -> str:
    # Check answers without its context unless the name is unknown.
    context: Any = None
    answer = await checks.servicer.Check(health_pb2.HealthCheckRequest(service=name), context)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def test_ready_when_every_check_passes(checks: HealthRegistry, registry: CollectorRegistry) -> None:
    loaded = False
    checks.add_check("devices-feed", lambda: loaded)
    checks.add_check("keys", lambda: asyncio.sleep(0, result=True))
    assert not await checks.refresh()
    assert [await _status(checks, name) for name in ("", SERVICE, "devices-feed", "keys")] == [
        "NOT_SERVING", "NOT_SERVING", "NOT_SERVING", "SERVING"
    ]  # fmt: skip
    assert registry.get_sample_value("hadir_health", {"name": "process"}) == 0
    loaded = True
    assert await checks.refresh()
    assert checks.ready
    assert [await _status(checks, name) for name in ("", SERVICE, "devices-feed")] == ["SERVING"] * 3
    assert registry.get_sample_value("hadir_health", {"name": "process"}) == 1


async def test_what_others_depend_on_does_not_make_us_unready(checks: HealthRegistry) -> None:
    checks.add_informational("database", lambda: False)
    assert await checks.refresh()
    assert await _status(checks, "database") == "NOT_SERVING"
    assert await _status(checks, "") == "SERVING"


async def test_a_check_that_raises_or_hangs_has_failed(
    checks: HealthRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.01)

    def raises() -> bool:
        raise RuntimeError("broken")

    checks.add_informational("raises", raises)
    checks.add_informational("hangs", lambda: asyncio.sleep(60, result=True))
    assert await checks.refresh()
    assert await _status(checks, "raises") == "NOT_SERVING"
    assert await _status(checks, "hangs") == "NOT_SERVING"
    assert "health check failed" in caplog.text


async def test_stopping_is_not_serving_whatever_the_checks_say_but_alive(checks: HealthRegistry) -> None:
    checks.add_check("fine", lambda: True)
    await checks.refresh()
    await checks.stop_serving()
    await checks.refresh()
    assert [await _status(checks, name) for name in ("", SERVICE, "fine", LIVENESS)] == [
        "NOT_SERVING", "NOT_SERVING", "SERVING", "SERVING"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", LIVENESS, "twice", SERVICE])
def test_a_name_is_taken_once(checks: HealthRegistry, name: str) -> None:
    checks.add_check("twice", lambda: True)
    with pytest.raises(ValueError, match="taken"):
        checks.add_informational(name, lambda: True)
