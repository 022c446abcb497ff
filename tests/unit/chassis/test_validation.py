import re
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from protovalidate import Validator

from buf.validate import validate_pb2
from chassis.errors import FieldProblem, InvalidFieldsError, MalformedMessageError
from chassis.interceptors.validation import checker, parser
from hadir.auth.v1 import auth_service_pb2, roster_service_pb2
from hadir.checkin.v1 import checkin_service_pb2, tap_pb2
from hadir.reporting.v1 import reporting_service_pb2

UUID = "0190b5d5-5b5d-7b5d-8b5d-0190b5d55b5d"


def _problems(message: Message) -> list[FieldProblem]:
    parse_valid = parser(type(message).FromString, Validator())
    with pytest.raises(InvalidFieldsError) as caught:
        parse_valid(message.SerializeToString())
    return list(caught.value.problems)


def test_a_valid_message_comes_through_as_it_was() -> None:
    message = checkin_service_pb2.GetClockRequest(device_id=UUID, clock_session_id=UUID)
    parse_valid = parser(checkin_service_pb2.GetClockRequest.FromString, Validator())
    assert parse_valid(message.SerializeToString()) == message


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xfe", b"\xff" * 100],
    ids=["no tag", "cut short", "no UTF-8", "noise"],
)
def test_what_is_no_message_is_malformed(data: bytes) -> None:
    parse_valid = parser(checkin_service_pb2.GetClockRequest.FromString, Validator())
    with pytest.raises(MalformedMessageError):
        parse_valid(data)


def test_each_wrong_field_has_its_path_and_both_languages() -> None:
    evidence = tap_pb2.TapEvidence(
        tap_id="x", person_id="", audience="52.02", location=tap_pb2.Location(latitude=99, accuracy_m=-1)
    )
    assert [(p.path, p.reason, p.message_id) for p in _problems(evidence)] == [
        ("tap_id", "STRING_UUID", "harus berupa UUID"),
        ("person_id", "STRING_UUID_EMPTY", "wajib diisi dengan UUID"),
        ("slot", "ENUM_NOT_IN", "wajib dipilih"),
        ("audience", "STRING_PATTERN", "bentuknya tidak sesuai"),
        ("pressed_at", "REQUIRED", "wajib diisi"),
        ("location.latitude", "DOUBLE_GTE_LTE", "harus paling kecil -90 dan paling besar 90"),
        ("location.accuracy_m", "DOUBLE_GTE_LTE", "harus paling kecil 0 dan paling besar 100000"),
    ]


def test_a_part_that_is_parsed_already_is_held_to_the_same_rules() -> None:
    check = checker(Validator())
    tap = tap_pb2.Tap(evidence=b"x" * 2049, signature=b"short", device_certificate="y" * 2049)
    with pytest.raises(InvalidFieldsError) as caught:
        check(tap)
    assert list(caught.value.problems) == _problems(tap)
    check(checkin_service_pb2.GetClockRequest(device_id=UUID, clock_session_id=UUID))


def test_lengths_say_their_unit() -> None:
    tap = tap_pb2.Tap(evidence=b"x" * 2049, signature=b"short", device_certificate="y" * 2049)
    assert [p.message_id for p in _problems(tap)] == [
        "paling banyak 2048 bita",
        "paling sedikit 8 bita",
        "paling banyak 2048 karakter",
    ]


def test_an_item_of_a_list_is_told_by_its_place() -> None:
    request = roster_service_pb2.IssueActivationCodesRequest(npsn="50203000", person_ids=[UUID, "x"])
    assert [p.path for p in _problems(request)][-1] == "person_ids[1]"


def _messages() -> Iterator[Descriptor]:
    modules = (auth_service_pb2, roster_service_pb2, checkin_service_pb2, tap_pb2, reporting_service_pb2)
    for module in modules:
        yield from module.DESCRIPTOR.message_types_by_name.values()


def test_the_rules_of_all_messages_compile() -> None:
    validator = Validator()
    for descriptor in _messages():
        validator.collect_violations(GetMessageClass(descriptor)())


def _wrong_values(field: FieldDescriptor) -> Iterator[object]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        yield from (
            (b"", b"x" * 70_000) if field.type == FieldDescriptor.TYPE_BYTES else ("", "\x00", "x" * 70_000)
        )
    elif kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        yield from (-1e9, 1e9, float("nan"))
    elif kind == FieldDescriptor.CPPTYPE_ENUM:
        yield from (0, 999)
    elif kind in {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}:
        yield from (-(2**31), 2**31 - 1)
    elif kind in {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}:
        yield from (0, 2**32 - 1)


def test_every_rule_in_use_is_said_in_indonesian() -> None:
    said: dict[str, str] = {}
    for descriptor in _messages():
        for field in descriptor.fields:
            if not field.GetOptions().HasExtension(validate_pb2.field):
                continue
            for value in _wrong_values(field):
                message = GetMessageClass(descriptor)()
                if field.is_repeated:
                    getattr(message, field.name).extend([value] * 600)
                else:
                    setattr(message, field.name, value)
                try:
                    parser(type(message).FromString, Validator())(message.SerializeToString())
                except InvalidFieldsError as error:
                    said |= {problem.reason: problem.message_id for problem in error.problems}
    assert len(said) > 10
    for reason, text in said.items():
        assert text != "isian ini tidak benar", reason
        assert not re.search(r"\b(must|be|than|value|is|and|or)\b", text), (reason, text)
