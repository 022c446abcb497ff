"""The innermost layer: bytes to a message that keeps its proto's rules, and the handler's answer back to bytes.

Owner: chassis. Parsing happens here and not in gRPC, because gRPC answers UNKNOWN when its deserializer raises.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from protovalidate import Validator, Violation

from chassis.errors import FieldProblem, InvalidFieldsError, MalformedMessageError
from chassis.interceptors.call import Context, StreamCall
from chassis.statuses import MAX_FIELD_VIOLATIONS

M = TypeVar("M", bound=Message)
Serialize = Callable[[Any], bytes]

# protovalidate speaks English; these are its rules in Bahasa Indonesia, by the part of the rule's id after the type.
_INDONESIAN = {
    "required": "wajib diisi",
    "min_len": "paling sedikit {rule} karakter",
    "max_len": "paling banyak {rule} karakter",
    "len": "harus tepat {rule} karakter",
    "min_bytes": "paling sedikit {rule} bita",
    "max_bytes": "paling banyak {rule} bita",
    "min_items": "paling sedikit {rule} butir",
    "max_items": "paling banyak {rule} butir",
    "unique": "tidak boleh ada yang sama",
    "min_pairs": "paling sedikit {rule} butir",
    "max_pairs": "paling banyak {rule} butir",
    "pattern": "bentuknya tidak sesuai",
    "uuid": "harus berupa UUID",
    "uuid_empty": "wajib diisi dengan UUID",
    "email": "harus berupa alamat surel",
    "uri": "harus berupa alamat URI",
    "defined_only": "bukan pilihan yang dikenal",
    "in": "bukan pilihan yang diperbolehkan",
    "not_in": "wajib dipilih",
    "const": "harus bernilai {rule}",
    "finite": "harus berupa bilangan",
}  # fmt: skip

# Comparisons carry their bounds in the sentence, so the sentence is translated phrase by phrase.
_PHRASES = (
    ("must be", "harus"),
    ("greater than or equal to", "paling kecil"),
    ("less than or equal to", "paling besar"),
    ("greater than", "lebih besar dari"),
    ("less than", "lebih kecil dari"),
    (" and ", " dan "),
    (" or ", " atau "),
)
_COMPARISON = re.compile(r"\.(gt|gte|lt|lte)(_|$)")


def parser(parse: Callable[[bytes], M], validator: Validator) -> Callable[[bytes], M]:
    """From bytes to a valid message.

    The function raises MalformedMessageError when the bytes are no such message (invalid UTF-8 in a string
    included), and InvalidFieldsError when the message breaks its proto's rules.
    """
    check = checker(validator)

    def parse_valid(data: bytes) -> M:
        try:
            message = parse(data)
        except DecodeError as error:
            raise MalformedMessageError from error
        check(message)
        return message

    return parse_valid


def checker(validator: Validator) -> Callable[[Message], None]:
    """Holds a message that was parsed already (a part of a larger one) to its proto's rules.

    The function raises InvalidFieldsError, with paths from that message on, when the message breaks them.
    """
    collect = validator.collect_violations

    def check(message: Message) -> None:
        violations = collect(message)
        if violations:
            raise InvalidFieldsError([_problem(violation) for violation in violations[:MAX_FIELD_VIOLATIONS]])

    return check


def requests(parse_valid: Callable[[bytes], Message], data: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    """A stream of requests, each parsed and checked as it comes."""

    async def parsed() -> AsyncGenerator[Message, None]:
        async for item in data:
            yield parse_valid(item)

    return parsed()


def stream(
    handler: Callable[[Any, Context], AsyncGenerator[Any, None]],
    *,
    parse_valid: Callable[[bytes], Message],
    serialize: Serialize,
    request_streaming: bool,
) -> StreamCall:
    """Checks requests of methods with a stream of answers."""

    async def call(request: Any, context: Context) -> AsyncGenerator[bytes, None]:
        parsed = requests(parse_valid, request) if request_streaming else parse_valid(request)
        async with aclosing(handler(parsed, context)) as responses:
            async for response in responses:
                yield serialize(response)

    return call


def _problem(violation: Violation) -> FieldProblem:
    proto = violation.proto
    rule_id = proto.rule_id or "invalid"
    message = proto.message or rule_id
    return FieldProblem(
        path=_path(proto.field),
        reason=re.sub(r"[^A-Z0-9]+", "_", rule_id.upper()).strip("_"),
        message_id=_indonesian(rule_id, message, violation.rule_value),
        message_en=message,
    )


def _path(path: Any) -> str:
    text = ""
    for element in path.elements if path is not None else ():
        text += f".{element.field_name}" if text else element.field_name
        subscript = getattr(element.subscript, "value", None)
        if subscript is not None:
            text += f"[{subscript}]"
    return text


def _indonesian(rule_id: str, message: str, rule_value: object) -> str:
    if _COMPARISON.search(rule_id):
        for english, indonesian in _PHRASES:
            message = message.replace(english, indonesian)
        return message
    text = _INDONESIAN.get(rule_id.rpartition(".")[2])
    if text is None:
        return "isian ini tidak benar"
    unit = "bita" if rule_id.startswith("bytes.") else "karakter"
    return text.format(rule=rule_value).replace("karakter", unit)
