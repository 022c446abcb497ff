"""The edge with a certificate, and what Envoy says of the configuration for both places. Owner: gateway."""

import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ops.gateway.render import EdgeConfig, TlsFiles, Upstream, write_edge
from ops.stack.envoy import binary
from ops.stack.services import REPLICAS
from ops.stack.stack import Stack, StackOptions, running_stack
from tests.edge import GET_CLOCK, Edge, grpc_call, new_edge


@pytest.mark.parametrize("where", ["laptop", "cluster"])
def test_envoy_accepts_what_is_rendered_without_a_warning(tmp_path: Path, where: str) -> None:
    if where == "laptop":
        upstreams = {name: Upstream(endpoints=[f"unix:{tmp_path}/{name}.sock"]) for name in REPLICAS}
        own = None
    else:
        write_certificate(tmp_path)
        files = {
            "certificate": tmp_path / "edge.pem",
            "key": tmp_path / "edge.key",
            "peer_ca": tmp_path / "edge.pem",
        }
        upstreams = {
            name: Upstream(endpoints=[f"dns:{name}.hadir.svc:8443"], tls=TlsFiles(**files, peer_name=name))
            for name in REPLICAS
        }
        own = TlsFiles(certificate=tmp_path / "edge.pem", key=tmp_path / "edge.key")
    config = EdgeConfig(
        listen="0.0.0.0:8443",
        metrics_listen="0.0.0.0:9901",
        admin_socket=tmp_path / "admin.sock",
        descriptors=tmp_path / "descriptors.binpb",
        upstreams=upstreams,
        tls=own,
        cors_origins=("https://hadir.example",),
    )
    write_edge(config, tmp_path / "envoy.yaml")
    argv = (str(binary()), "--mode", "validate", "--log-level", "warning", "-c", str(tmp_path / "envoy.yaml"))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""


async def test_with_a_certificate_it_speaks_tls(tmp_path: Path, tls_edge: Edge) -> None:
    answer = await tls_edge.call("GET", "/v1/clock")
    assert answer.status == 200
    credentials = grpc.ssl_channel_credentials((tmp_path / "edge.pem").read_bytes())
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with grpc.aio.secure_channel(tls_edge.grpc, credentials, options) as channel:
        assert await grpc_call(channel, GET_CLOCK) == b""
    with pytest.raises(OSError):  # noqa: PT011 - whichever way the plain connection is ended
        await Edge(tls_edge.stack, {}, None).call("GET", "/v1/clock")


@pytest.fixture
def tls_stack(tmp_path: Path) -> Iterator[tuple[Stack, ssl.SSLContext]]:
    certificate = write_certificate(tmp_path)
    context = ssl.create_default_context(cadata=certificate.decode())
    context.check_hostname = False
    files = TlsFiles(certificate=tmp_path / "edge.pem", key=tmp_path / "edge.key")
    with running_stack(StackOptions(directory=tmp_path / "stack", parts=("envoy",), tls=files)) as stack:
        yield stack, context


@pytest.fixture
async def tls_edge(tls_stack: tuple[Stack, ssl.SSLContext]) -> AsyncIterator[Edge]:
    edge = new_edge(*tls_stack)
    await edge.start()
    yield edge
    await edge.stop()


def write_certificate(directory: Path) -> bytes:
    """A self-signed certificate for localhost: edge.pem and edge.key; returns the first."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (directory / "edge.pem").write_bytes(certificate)
    (directory / "edge.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate
