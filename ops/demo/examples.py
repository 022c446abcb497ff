"""Calls to try on the stack that `make run` keeps, with this run's own addresses. Owner: stack."""

from ops.stack.target import RunningStack


def example_calls(running: RunningStack) -> str:
    """Shell lines that work as they are, in another terminal; Bahasa Indonesia first."""
    token = running.staff_token_file
    lines = [
        "# Token untuk percobaan ini (BKPSDM, 12 jam) / this run's token (personnel agency, 12 hours)",
        f"TOKEN=$(cat {token})",
    ]
    if running.edge is not None:
        over_edge = f"grpcurl -plaintext -protoset {running.descriptors} {running.edge_grpc}"
        lines += [
            "",
            "# JSON lewat gerbang / JSON over the edge",
            f"curl -s {running.edge}/v1/jwks",
            f'curl -s -H "authorization: Bearer $TOKEN" "{running.edge}/v1/people?page_size=3"',
            f'curl -s -H "authorization: Bearer $TOKEN" "{running.edge}/v1/board"',
            "",
            "# gRPC lewat gerbang / gRPC over the edge",
            f"{over_edge} list",
            f"{over_edge} hadir.auth.v1.AuthService/GetJwks",
        ]
    lines += ["", "# gRPC langsung ke layanan, dengan reflection / gRPC straight to a service, by reflection"]
    lines += [f"grpcurl -plaintext {address} list   # {name}" for name, address in running.grpc.items()]
    if running.nats is not None and "consumer" in running.nats.password_files:
        password = running.nats.password_files["consumer"]
        lines += [
            "",
            "# Peristiwa / events",
            f"nats sub -s {running.nats.url} --user consumer --password $(cat {password}) 'hadir.v1.>'",
        ]
    if running.database is not None:
        database = running.database
        where = f"-h {database.host} -p {database.port} -U {database.administrator} {database.name}"
        lines += ["", "# Basis data / database", f"PGPASSWORD=$(cat {database.password_file}) psql {where}"]
    lines += ["", "# Log", f"tail -f {running.directory}/log/*.log"]
    return "\n".join(lines)
