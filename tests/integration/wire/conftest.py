"""The whole system for tests of what callers see: all services, the edge, PostgreSQL and NATS. Owner: checkin."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
import pytest

from hadir.checkin.v1 import checkin_service_pb2_grpc
from ops.stack.ports import choose_ports
from ops.stack.stack import Stack, StackOptions, running_stack
from tests.office import OTHER_NPSN, Office, nips


@dataclass(frozen=True)
class Doors:
    """CheckinService by each way in: through the edge, and directly at each replica."""

    edge: checkin_service_pb2_grpc.CheckinServiceStub
    first: checkin_service_pb2_grpc.CheckinServiceStub
    second: checkin_service_pb2_grpc.CheckinServiceStub


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, once; a test that stops a part starts it again, and one that moves the clock moves it back."""
    ports = choose_ports(["edge"], {}, {})
    options = StackOptions(
        directory=tmp_path_factory.mktemp("system"), movable_clock=True, drain_seconds=0.2, ports=ports
    )
    with running_stack(options) as stack:
        yield stack


@pytest.fixture(scope="session")
async def office(system: Stack) -> AsyncIterator[Office]:
    """An office with two schools and 120 people."""
    office = Office(system.target)
    await office.import_people(nips(80))
    await office.import_people(nips(40, first=100), OTHER_NPSN)
    yield office
    await office.close()


@pytest.fixture(scope="session")
async def doors(system: Stack) -> AsyncIterator[Doors]:
    """The ways in."""
    target = system.target
    addresses = (target.edge_grpc, target.grpc["checkin-1"], target.grpc["checkin-2"])
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    yield Doors(*(checkin_service_pb2_grpc.CheckinServiceStub(channel) for channel in channels))
    for channel in channels:
        await channel.close()
