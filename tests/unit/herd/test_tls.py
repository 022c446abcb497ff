from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ops.herd.target import StackTarget
from ops.herd.tls import server_name

DNS, ADDRESS = x509.DNSName, x509.IPAddress(ip_address("127.0.0.1"))


def target(directory: Path, names: list[x509.GeneralName] | None) -> StackTarget:
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    path = directory / "edge.pem"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return StackTarget(
        edge="https://127.0.0.1:8443",
        staff_token="hidden-token",
        regency="5202",
        database_url="postgresql://hidden",
        state_dir=directory,
        tls_ca=path,
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([DNS("hadir.example"), DNS("other.example")], "hadir.example"),
        ([DNS("*.hadir.example")], "edge.hadir.example"),
        ([DNS("localhost"), ADDRESS], "127.0.0.1"),
        (None, "127.0.0.1"),
    ],
)
def test_the_name_to_look_for_is_the_certificates_own(
    tmp_path: Path, names: list[x509.GeneralName] | None, expected: str
) -> None:
    assert server_name(target(tmp_path, names)) == expected


def test_nothing_secret_is_in_a_targets_text(tmp_path: Path) -> None:
    assert "hidden" not in repr(target(tmp_path, None))
