"""Calls to try on the stack that `make run` keeps, with this run's own addresses. Owner: stack."""

from ops.stack.target import RunningStack


def example_calls(running: RunningStack) -> str:
    """Shell lines that work as they are, in another terminal; Bahasa Indonesia first.

    Raises:
        StackError: the stack has no auth, so there is no token.
    """
    lines = [
        "# Token untuk percobaan ini (BKPSDM, 12 jam) / this run's token (personnel agency, 12 hours)",
        f"TOKEN={running.staff_token()}",
        *_edge(running),
        "",
        "# gRPC langsung ke layanan, dengan reflection / gRPC straight to a service, by reflection",
        *(f"grpcurl -plaintext {address} list   # {name}" for name, address in running.grpc.items()),
        *_events(running),
        *_database(running),
        "",
        "# Log",
        f"tail -f {running.directory}/log/*.log",
    ]
    return "\n".join(lines)


def _edge(running: RunningStack) -> list[str]:
    if running.edge is None:
        return []
    certificate = running.edge_certificate
    curl = "curl -s" if certificate is None else f"curl -s --cacert {certificate}"
    secure = "-plaintext" if certificate is None else f"-cacert {certificate}"
    grpcurl = f"grpcurl {secure} -protoset {running.descriptors} {running.edge_grpc}"
    return [
        "",
        "# JSON lewat gerbang / JSON over the edge",
        f"{curl} {running.edge}/v1/jwks",
        f'{curl} -H "authorization: Bearer $TOKEN" "{running.edge}/v1/people?page_size=3"',
        f'{curl} -H "authorization: Bearer $TOKEN" "{running.edge}/v1/board"',
        "",
        "# gRPC lewat gerbang / gRPC over the edge",
        f"{grpcurl} list",
        f"{grpcurl} hadir.auth.v1.AuthService/GetJwks",
    ]


def _events(running: RunningStack) -> list[str]:
    if running.nats is None or "consumer" not in running.nats.password_files:
        return []
    login = f"--user consumer --password $(cat {running.nats.password_files['consumer']})"
    return ["", "# Peristiwa / events", f"nats sub -s {running.nats.url} {login} 'hadir.v1.>'"]


def _database(running: RunningStack) -> list[str]:
    if running.database is None:
        return []
    found = running.database
    where = f"-h {found.host} -p {found.port} -U {found.administrator} {found.name}"
    return ["", "# Basis data / database", f"PGPASSWORD=$(cat {found.password_file}) psql {where}"]
