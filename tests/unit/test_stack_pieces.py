"""The stack's pieces that need no process: ports, options, directories, printed calls. Owner: stack."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ops.demo.examples import example_calls
from ops.stack.commands import parse_ports, stack_options, tls_files
from ops.stack.layout import kept_bytes, kept_password, kept_signing_key, prepare_layout, write_secret
from ops.stack.part import StackError
from ops.stack.ports import choose_ports, is_free
from ops.stack.services import POOL_SIZES, REPLICAS, max_connections
from ops.stack.target import DatabaseTarget, NatsTarget, RunningStack, load_target, save_target
from ops.stack.usage import measure_processes


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_ports_are_distinct_and_a_preferred_one_gives_way_when_taken(taken: int) -> None:
    names = [f"part-{number}" for number in range(50)]
    ports = choose_ports(names, {}, {"part-0": taken})
    assert list(ports) == names
    assert len(set(ports.values())) == len(names)
    assert ports["part-0"] != taken
    assert not is_free(taken)


def test_a_configured_port_is_used_or_refused(taken: int) -> None:
    free = choose_ports(["a"], {}, {})["a"]
    assert choose_ports(["a", "b"], {"a": free}, {"b": free})["a"] == free
    with pytest.raises(StackError, match=f"port {taken}, configured for a"):
        choose_ports(["a"], {"a": taken}, {})
    with pytest.raises(StackError, match="same port"):
        choose_ports(["a", "b"], {"a": free, "b": free}, {})


def test_a_port_that_no_part_has_is_refused() -> None:
    with pytest.raises(StackError, match="no such port"):
        choose_ports(["edge"], {"egde": 8080}, {})


def test_command_line_ports() -> None:
    assert parse_ports(["postgres=5432", "nats=4222"], 8080) == {"edge": 8080, "postgres": 5432, "nats": 4222}
    for wrong in ("postgres", "postgres=", "postgres=x", "postgres=0", "postgres=70000"):
        with pytest.raises(typer.BadParameter):
            parse_ports([wrong], None)


def test_existing_servers_replace_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HADIR_NATS_URL", "nats://elsewhere:4222")
    monkeypatch.delenv("HADIR_DATABASE_URL", raising=False)
    options = stack_options(directory=tmp_path, ports={})
    assert "nats" not in options.parts
    assert "postgres" in options.parts
    assert options.nats_url == "nats://elsewhere:4222"
    with pytest.raises(typer.BadParameter, match="no such part"):
        stack_options(directory=tmp_path, ports={}, parts=("postgresql",))


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    (tmp_path / "edge.pem").touch()
    assert tls_files(None, None) is None
    with pytest.raises(typer.BadParameter):
        tls_files(tmp_path / "edge.pem", None)
    with pytest.raises(typer.BadParameter):
        tls_files(tmp_path / "edge.pem", tmp_path / "missing.key")


def test_every_pool_fits_into_max_connections() -> None:
    pools = sum(POOL_SIZES[service] * len(names) for service, names in REPLICAS.items())
    # PostgreSQL keeps three for its administrator.
    assert pools + 3 < max_connections() < 100


def test_secrets_are_kept_and_private(tmp_path: Path) -> None:
    layout = prepare_layout(tmp_path)
    assert kept_password(layout, "a") == kept_password(layout, "a") != kept_password(layout, "b")
    assert kept_bytes(layout, "k").read_text() == kept_bytes(layout, "k").read_text()
    assert "BEGIN PRIVATE KEY" in kept_signing_key(layout, "s").read_text()
    for name in ("a.password", "b.password", "k", "s"):
        assert layout.secret(name).stat().st_mode & 0o777 == 0o600


def test_sockets_do_not_go_where_others_could_put_theirs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o777)
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(StackError, match="this user alone"):
        prepare_layout(tmp_path)


def running(tmp_path: Path, *, edge: str, certificate: Path | None) -> RunningStack:
    return RunningStack(
        directory=tmp_path,
        owner_pid=os.getpid(),
        regency="5202",
        zone="Asia/Makassar",
        edge=edge,
        edge_certificate=certificate,
        grpc={"auth": "127.0.0.1:1"},
        metrics={},
        database=DatabaseTarget(
            host="h",
            port=1,
            name="hadir",
            administrator="a@b",
            password_file=write_secret(tmp_path / "p", "s/c"),
        ),
        nats=NatsTarget(url="nats://h:2", password_files={"consumer": tmp_path / "c"}),
        staff_token_file=write_secret(tmp_path / "t", "token"),
        supervisor=tmp_path / "s",
        descriptors=tmp_path / "d",
    )


def test_a_running_stack_is_found_again(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no stack runs"):
        load_target(tmp_path)
    found = running(tmp_path, edge="http://127.0.0.1:8080", certificate=None)
    save_target(found, tmp_path / "stack.json")
    assert load_target(tmp_path) == found
    assert found.edge_grpc == "127.0.0.1:8080"
    assert found.database is not None
    assert found.database.url() == "postgresql://a%40b:s%2Fc@h:1/hadir"
    save_target(found.model_copy(update={"owner_pid": 2**22 - 1}), tmp_path / "stack.json")
    with pytest.raises(StackError, match="no stack runs"):
        load_target(tmp_path)
    (tmp_path / "stack.json").write_text("{}")
    with pytest.raises(StackError, match="cannot be understood"):
        load_target(tmp_path)


def test_printed_calls_suit_the_edge(tmp_path: Path) -> None:
    plain = example_calls(running(tmp_path, edge="http://127.0.0.1:8080", certificate=None))
    assert "TOKEN=token" in plain
    assert "grpcurl -plaintext -protoset" in plain
    secure = example_calls(
        running(tmp_path, edge="https://127.0.0.1:8443", certificate=tmp_path / "edge.pem")
    )
    assert f"curl -s --cacert {tmp_path}/edge.pem https://127.0.0.1:8443/v1/jwks" in secure
    assert f"grpcurl -cacert {tmp_path}/edge.pem -protoset" in secure


def test_usage_counts_children_once_and_forgets_who_is_gone() -> None:
    usage = measure_processes({"gone": 2**22 - 1}, alone={"me": os.getpid()})
    assert set(usage) == {"me"}
    assert usage["me"].pss_mb > 1
    assert usage["me"].cpu_seconds > 0
