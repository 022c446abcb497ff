"""`hadir stack`: the parts on this machine, until Ctrl-C. Owner: stack."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from ops.gateway.render import TlsFiles
from ops.stack.layout import DEFAULT_DIRECTORY
from ops.stack.part import StackError
from ops.stack.stack import ALL_PARTS, Stack, StackOptions

FAILED = 1
_WATCH_SECONDS = 1.0

Directory = Annotated[
    Path, typer.Option("--dir", envvar="HADIR_STACK_DIR", help="where the stack keeps data, logs and secrets")
]
EdgePort = Annotated[
    int | None,
    typer.Option(
        envvar="HADIR_EDGE_PORT", help="the edge's port; default: 8080 when free, else any free one"
    ),
]
Ports = Annotated[
    list[str] | None,
    typer.Option(
        "--port", metavar="NAME=NUMBER", help="a port for a part (postgres=5432); default: free ones"
    ),
]
EdgeHost = Annotated[
    str,
    typer.Option(envvar="HADIR_EDGE_HOST", help="address the edge listens on; 0.0.0.0 for phones on the LAN"),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option(envvar="HADIR_EDGE_TLS_CERT", help="the edge's certificate chain, PEM; with --tls-key"),
]
TlsKey = Annotated[Path | None, typer.Option(envvar="HADIR_EDGE_TLS_KEY", help="its key, PEM")]
Regency = Annotated[str, typer.Option(envvar="HADIR_REGENCY", help="the regency's four digits")]
Zone = Annotated[str, typer.Option(envvar="HADIR_ZONE", help="IANA time zone of its work dates")]


def stack(
    directory: Directory = DEFAULT_DIRECTORY,
    edge_port: EdgePort = None,
    port: Ports = None,
    edge_host: EdgeHost = "127.0.0.1",
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    regency: Regency = "5202",
    zone: Zone = "Asia/Makassar",
    only: Annotated[
        list[str] | None, typer.Option(help=f"start only these parts: {', '.join(ALL_PARTS)}")
    ] = None,
) -> None:
    """Jalankan semua bagian di mesin ini sampai Ctrl-C. Run all parts on this machine until Ctrl-C.

    With HADIR_DATABASE_URL (an administrator's) or HADIR_NATS_URL set, the existing server is used in place of ours.
    """
    console = Console()
    parts = tuple(only or ALL_PARTS)
    options = stack_options(
        directory=directory,
        ports=parse_ports(port, edge_port if "envoy" in parts else None),
        edge_host=edge_host,
        tls=tls_files(tls_cert, tls_key),
        regency=regency,
        zone=zone,
        parts=parts,
    )
    with owned_stack(options, console) as started:
        console.print("Ctrl-C untuk berhenti / to stop.")
        hold(started, console)


def stack_options(
    *,
    directory: Path,
    ports: Mapping[str, int],
    edge_host: str = "127.0.0.1",
    tls: TlsFiles | None = None,
    regency: str = "5202",
    zone: str = "Asia/Makassar",
    parts: tuple[str, ...] = ALL_PARTS,
    clock_offset: float | None = None,
) -> StackOptions:
    """The options of a command line, with the existing servers that the environment names."""
    database_url, nats_url = os.environ.get("HADIR_DATABASE_URL"), os.environ.get("HADIR_NATS_URL")
    own = {"postgres": database_url is None, "nats": nats_url is None}
    unknown = sorted(set(parts) - set(ALL_PARTS))
    if unknown:
        raise typer.BadParameter(f"no such part: {', '.join(unknown)}; there are {', '.join(ALL_PARTS)}")
    return StackOptions(
        directory=directory,
        parts=tuple(part for part in parts if own.get(part, True)),
        regency=regency,
        zone=zone,
        ports=ports,
        edge_host=edge_host,
        tls=tls,
        database_url=database_url,
        nats_url=nats_url,
        movable_clock=clock_offset is not None,
        clock_offset=clock_offset or 0.0,
    )


def parse_ports(words: list[str] | None, edge_port: int | None) -> dict[str, int]:
    """--port NAME=NUMBER, several, and --edge-port."""
    ports: dict[str, int] = {} if edge_port is None else {"edge": edge_port}
    for word in words or ():
        name, equals, number = word.partition("=")
        if not equals or not number.isdecimal() or not 0 < int(number) < 65536:
            raise typer.BadParameter(f"{word!r} is not NAME=NUMBER (postgres=5432)")
        ports[name] = int(number)
    return ports


def tls_files(certificate: Path | None, key: Path | None) -> TlsFiles | None:
    """The edge's own certificate: both files or neither."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None or not certificate.is_file() or not key.is_file():
        raise typer.BadParameter("--tls-cert and --tls-key must both name existing files")
    return TlsFiles(certificate=certificate.absolute(), key=key.absolute())


@contextmanager
def owned_stack(options: StackOptions, console: Console) -> Iterator[Stack]:
    """A stack for the time of the block: stopped on leaving it, also by Ctrl-C or SIGTERM; errors end the command."""
    with _terminated_like_interrupted():
        try:
            owned = Stack(options, lambda line: console.print(line, highlight=False, markup=False))
            owned.start()
        except StackError as error:
            console.print(str(error), style="red", markup=False, highlight=False)
            raise typer.Exit(FAILED) from None
        try:
            yield owned
        finally:
            owned.stop()
            console.print("Berhenti / stopped.")


def hold(running: Stack, console: Console) -> None:
    """Stays until Ctrl-C or SIGTERM, and tells when a part was started again after a crash."""
    pids = running.pids()
    never = threading.Event()
    try:
        while not never.wait(_WATCH_SECONDS):
            now = running.pids()
            for name, pid in now.items():
                if pid not in (0, pids.get(name)):
                    console.print(
                        f"{name} berhenti sendiri dan dijalankan lagi / crashed and was started again"
                    )
            pids |= {name: pid for name, pid in now.items() if pid}
    except KeyboardInterrupt:
        console.print()


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
