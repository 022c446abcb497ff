"""Fills deploy/gateway/envoy.yaml in: from a description of the edge's surroundings to files Envoy can be
started with.

Owner: gateway. Pure but for `write_edge`; the laptop's stack, the tests and the cluster's overlay all
render here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from ops.gateway.descriptors import PUBLIC_FILES, descriptor_set, methods, service_names
from ops.gateway.errors import Json, local_reply_mappers

TEMPLATE = Path(__file__).parents[2] / "deploy" / "gateway" / "envoy.yaml"

# SubmitTaps at its very largest: 500 taps with every field at the greatest length the protos allow, base64
# and JSON names included, are 2.9 MB (tests/unit/test_gateway.py computes it again). Below gRPC's own 4
# MiB, so the edge is the one that refuses, in our shape.
MAX_BODY_BYTES = 3 * 1024 * 1024

# Everything a phone waits for: the design's edge request timeout, which is also how old an arrival stamp
# may be.
UNARY_TIMEOUT = "10s"

# A board without a change all night must not be cut every few minutes, and a client that went away without
# a word is found by the HTTP/2 keepalive long before.
STREAM_IDLE_TIMEOUT = "3600s"


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsFiles:
    """PEM files: a certificate chain with its key and, where the other side must show one too, the CA it is
    of.
    """

    certificate: Path
    key: Path
    peer_ca: Path | None = None
    peer_name: str | None = None
    """DNS name that an upstream's certificate must hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Upstream:
    """Where one service's replicas are.

    Attributes:
        endpoints: "unix:/path/of.sock" or "dns:host:port"; all of one kind.
        tls: how the edge shows itself to the service and knows it. None only for unix sockets, whose
            directory's permissions say who may connect.
    """

    endpoints: Sequence[str]
    tls: TlsFiles | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeConfig:
    """Everything about an edge that differs between a laptop, a test and a cluster.

    Attributes:
        listen: "address:port" for callers.
        metrics_listen: "address:port" of /metrics (Prometheus) and /ready.
        admin_socket: path of Envoy's admin interface.
        descriptors: path at which Envoy finds the descriptor set.
        upstreams: by name: "auth", "checkin", "reporting".
        tls: the edge's own certificate; None serves plain HTTP.
        cors_origins: exact origins of web pages that may call from elsewhere; none by default.
        max_connections: of callers, all together.
        max_heap_bytes: memory at which the edge refuses rather than grows; at 0.35 of it newcomers wait in the kernel,
            before their arrival is stamped.
    """

    listen: str
    metrics_listen: str
    admin_socket: Path
    descriptors: Path
    upstreams: Mapping[str, Upstream]
    tls: TlsFiles | None = None
    cors_origins: Sequence[str] = ()
    max_connections: int = 20_000
    max_heap_bytes: int = 512 * 1024 * 1024


def render(config: EdgeConfig) -> str:
    """The Envoy configuration (YAML) of `config`.

    Raises:
        ValueError: an upstream is missing or unknown, or its endpoints are of two kinds.
    """
    if set(config.upstreams) != set(PUBLIC_FILES):
        raise ValueError(f"upstreams must be {sorted(PUBLIC_FILES)}, not {sorted(config.upstreams)}")
    kinds = {endpoint.split(":", 1)[0] for up in config.upstreams.values() for endpoint in up.endpoints}
    if len(kinds) != 1 or not kinds <= {"unix", "dns"}:
        raise ValueError(f"endpoints must all be unix: or all be dns:, not {sorted(kinds)}")
    values = {
        "ADMIN_SOCKET": str(config.admin_socket),
        "CORS_ORIGINS": _json([{"exact": origin} for origin in config.cors_origins]),
        "DESCRIPTORS": str(config.descriptors),
        "DISCOVERY": _json(None if kinds == {"unix"} else _DNS),
        "DOWNSTREAM_TLS": _json(_downstream_tls(config.tls)),
        "LOCAL_REPLY_MAPPERS": _lines(local_reply_mappers(), indent=20),
        "MAX_BODY_BYTES": MAX_BODY_BYTES,
        "MAX_CONNECTIONS": config.max_connections,
        "MAX_HEAP_BYTES": config.max_heap_bytes,
        "ROUTES": _lines(routes(), indent=24),
        "SERVICES": _json(service_names()),
    }
    values["LISTEN_ADDRESS"], values["LISTEN_PORT"] = config.listen.rsplit(":", 1)
    values["METRICS_ADDRESS"], values["METRICS_PORT"] = config.metrics_listen.rsplit(":", 1)
    for name, upstream in config.upstreams.items():
        endpoints = [{"endpoint": {"address": _address(endpoint)}} for endpoint in upstream.endpoints]
        values[f"{name.upper()}_ENDPOINTS"] = _json(endpoints)
        values[f"{name.upper()}_TLS"] = _json(_upstream_tls(upstream.tls))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values)


def write_edge(config: EdgeConfig, path: Path) -> None:
    """Writes the configuration to `path` and the descriptor set beside it, where `config` says."""
    config.descriptors.write_bytes(descriptor_set())
    path.write_text(render(config), encoding="utf-8")


def routes() -> list[Json]:
    """Envoy's routes by gRPC path (a transcoded call has it by then): each streaming RPC, then the rest by
    package.

    Streaming RPCs end when a side has finished, so they have an idle timeout in place of a total one; what
    a client streams has no total size either: the service bounds its rows.
    """
    found: list[Json] = []
    for upstream in PUBLIC_FILES:
        for method in methods(upstream):
            if not (method.client_streaming or method.server_streaming):
                continue
            route: Json = {
                "match": {"path": f"/{method.containing_service.full_name}/{method.name}"},
                "route": {"cluster": upstream, "timeout": "0s", "idle_timeout": STREAM_IDLE_TIMEOUT},
            }
            if method.client_streaming:
                route["typed_per_filter_config"] = {"envoy.filters.http.body_size_limit": _DISABLED}
            found.append(route)
    found += (
        {
            "match": {"prefix": f"/hadir.{upstream}.v1."},
            "route": {"cluster": upstream, "timeout": UNARY_TIMEOUT},
            # JSON callers send no deadline: so the service knows when the edge will have given up.
            "request_headers_to_add": [
                {
                    "header": {"key": "grpc-timeout", "value": f"{UNARY_TIMEOUT[:-1]}S"},
                    "append_action": "ADD_IF_ABSENT",
                }
            ],
        }
        for upstream in PUBLIC_FILES
    )
    return found


_DISABLED: Json = {
    "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
    "config": {},
    "disabled": True,
}


# A new pod is known within the refresh rate, whatever the record's TTL says (Envoy heeds it only when told
# to).
_DNS: Json = {
    "name": "envoy.clusters.dns",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
        "dns_refresh_rate": "5s",
        "dns_failure_refresh_rate": {"base_interval": "1s", "max_interval": "5s"},
    },
}


def _address(endpoint: str) -> Json:
    kind, rest = endpoint.split(":", 1)
    if kind == "unix":
        return {"pipe": {"path": rest}}
    host, port = rest.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _common_tls(files: TlsFiles, alpn: Sequence[str]) -> Json:
    certificate = {
        "certificate_chain": {"filename": str(files.certificate)},
        "private_key": {"filename": str(files.key)},
    }
    common: Json = {
        "alpn_protocols": list(alpn),
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [certificate],
    }
    if files.peer_ca is not None:
        trusted: Json = {"trusted_ca": {"filename": str(files.peer_ca)}}
        if files.peer_name is not None:
            names = [{"san_type": "DNS", "matcher": {"exact": files.peer_name}}]
            trusted["match_typed_subject_alt_names"] = names
        common["validation_context"] = trusted
    return common


def _downstream_tls(files: TlsFiles | None) -> Json | None:
    if files is None:
        return None
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": _common_tls(files, ["h2", "http/1.1"]),
        "require_client_certificate": files.peer_ca is not None,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _upstream_tls(files: TlsFiles | None) -> Json | None:
    if files is None:
        return None
    context: Json = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": _common_tls(files, ["h2"]),
    }
    if files.peer_name is not None:
        context["sni"] = files.peer_name
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _lines(values: Sequence[Json], *, indent: int) -> str:
    """A JSON list with one item a line, as deep as the YAML around it: an error then names a useful line."""
    pad = " " * indent
    items = f",\n{pad}".join(_json(value) for value in values)
    return f"[\n{pad}{items}\n{pad}]"
