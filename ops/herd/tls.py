"""TLS towards the edge: whom to trust, and by which name. Owner: herd."""

import ssl
from pathlib import Path

from cryptography import x509

from ops.herd.target import StackTarget


def tls_context(authority: Path | None) -> ssl.SSLContext:
    """Trusts `authority` (PEM), or what the system trusts when it is None."""
    return ssl.create_default_context(cafile=authority)


def server_name(target: StackTarget) -> str:
    """The name the edge's certificate must hold.

    A stack on this machine is called by its address, while its certificate names the host it is meant for: when we are
    given that very certificate, its own first name is the right one. Without it, the host of the edge's URL.
    """
    if target.tls_ca is None:
        return target.host
    certificate = x509.load_pem_x509_certificates(target.tls_ca.read_bytes())[0]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return target.host
    known = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    # An authority's certificate names no host.
    return known[0].replace("*", "edge") if known and target.host not in known else target.host
