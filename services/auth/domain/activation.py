"""Activation codes: how they are made, read back and judged. Owner: auth.

A code is 80 random bits in Crockford's base32, printed in groups of four and typed from paper into a phone. It is
kept as SHA-256 only: with 80 bits there is nothing to guess, so the hash needs neither salt nor slowness.
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.auth.domain.errors import (
    ActivationCodeExpiredError,
    ActivationCodeInvalidError,
    ActivationCodeUsedError,
    DeviceAlreadyBoundError,
    PersonInactiveError,
)
from services.auth.domain.nip import tidy_nip

CODE_BYTES = 10
"""80 random bits: with 10,000 open codes, 2^66 guesses are needed for one hit."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = CODE_BYTES * 8 // 5
_GROUP = 4
_READ_AS = str.maketrans({"I": "1", "L": "1", "O": "0"})
# Spaces of any kind, dashes of any kind, and what keyboards and chats put in for them.
_SEPARATORS = re.compile(r"[\s\-_.\u00ad\u2010-\u2015\u2212\u200b-\u200f\u2060\ufeff]+")
_WELL_FORMED = re.compile(rf"[{_ALPHABET}]{{{_CHARACTERS}}}")


@dataclass(frozen=True, slots=True)
class UsedBy:
    """The device that a code was used for."""

    device_id: UUID
    public_key: bytes
    revoked: bool


@dataclass(frozen=True, slots=True)
class CodeOnFile:
    """An activation code as kept, with what is known of its person.

    Attributes:
        person_id: whom it was issued for.
        staff_number: the number that must come with it.
        name: the person's name.
        npsn: the person's school.
        person_active: False when struck off the roster.
        person_has_device: True while a device is bound.
        expires_at: from then on it is refused.
        voided: True when a newer code, or too many wrong numbers, ended it.
        used_by: the device it has bound, or None.
    """

    person_id: UUID
    staff_number: str
    name: str
    npsn: str
    person_active: bool
    person_has_device: bool
    expires_at: datetime
    voided: bool
    used_by: UsedBy | None


def new_code(entropy: bytes) -> str:
    """The printed form of a code, four groups of four.

    Args:
        entropy: `CODE_BYTES` bytes from the system's random source.
    """
    if len(entropy) != CODE_BYTES:
        raise ValueError(f"a code is made of {CODE_BYTES} bytes")
    number = int.from_bytes(entropy)
    letters = "".join(_ALPHABET[number >> 5 * i & 31] for i in reversed(range(_CHARACTERS)))
    return "-".join(letters[i : i + _GROUP] for i in range(0, _CHARACTERS, _GROUP))


def normalise_code(text: str) -> str:
    """The sixteen characters meant: case, spaces and dashes do not matter, I and L are read as 1, O as 0. Idempotent.

    Raises:
        ActivationCodeInvalidError: what remains is no code.
    """
    letters = _SEPARATORS.sub("", unicodedata.normalize("NFKC", text)).upper().translate(_READ_AS)
    if not _WELL_FORMED.fullmatch(letters):
        raise ActivationCodeInvalidError
    return letters


def code_digest(code: str) -> bytes:
    """What is kept of a code: SHA-256 of its normal form, 32 bytes."""
    return hashlib.sha256(normalise_code(code).encode("ascii")).digest()


def same_number(given: str, kept: str) -> bool:
    """Whether a typed staff number is the one on file; spaces, dashes and case do not matter."""
    mine, theirs = (tidy_nip(text).upper().encode(errors="replace") for text in (given, kept))
    return hmac.compare_digest(mine, theirs)


def judge_code(code: CodeOnFile, *, public_key: bytes, now: datetime) -> UUID | None:
    """Whether a code may bind a key. The number was compared before: who holds the wrong one learns nothing here.

    Returns:
        The device that this very code and key have bound already (the answer was lost), or None: bind now.

    Raises:
        ActivationCodeUsedError: another key was bound with it, or the device bound with it is revoked.
        ActivationCodeInvalidError: voided.
        ActivationCodeExpiredError: too late.
        PersonInactiveError: struck off the roster.
        DeviceAlreadyBoundError: the person has a device; the operator replaces it first.
    """
    if code.used_by is not None:
        if code.used_by.revoked or code.used_by.public_key != public_key:
            raise ActivationCodeUsedError
        return code.used_by.device_id
    if code.voided:
        raise ActivationCodeInvalidError
    if now >= code.expires_at:
        raise ActivationCodeExpiredError
    if not code.person_active:
        raise PersonInactiveError
    if code.person_has_device:
        raise DeviceAlreadyBoundError
    return None
