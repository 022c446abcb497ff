"""SQL as auth writes it: named parameters with the types that PostgreSQL shall see. Owner: auth."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    bindparam,
)
from sqlalchemy import text as sql_text
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

TIME: Final = DateTime(timezone=True)
NO_PARTS: Final[Mapping[str, str]] = MappingProxyType({})
_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "boolean": Boolean(),
    "bytes": LargeBinary(),
    "date": Date(),
    "float": Float(),
    "int": Integer(),
    "bigint": BigInteger(),
    "text": Text(),
    "time": TIME,
    "uuid": Uuid(),
}


def statement(sql: str, parts: Mapping[str, str] = NO_PARTS, /, **types: str) -> TextClause:
    """A statement whose parameters have types, each named as in `_TYPES`, with "[]" behind it for an array.

    Types are stated because the driver would guess: an aware time would be sent as one without a zone.

    Args:
        sql: the text; {name} stands for a part.
        parts: pieces of SQL that several statements share; constants of this package, never a value from outside.
        types: of the parameters.
    """
    parameters = [bindparam(name, type_=_type(kind)) for name, kind in types.items()]
    return sql_text(sql.format_map(parts)).bindparams(*parameters)


def _type(kind: str) -> TypeEngine[Any]:
    one = _TYPES[kind.removesuffix("[]")]
    return ARRAY(one) if kind.endswith("[]") else one
