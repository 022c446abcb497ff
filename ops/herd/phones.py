"""The phones of a stack and the file they are kept in, so that a second run enrols only who is missing. Owner: herd.

The file is a journal: one JSON object a line, a later line about a person replaces an earlier one. A key is written
before its enrolment is asked for, since Enroll gives the same certificate for the same code and key: an enrolment whose
answer was lost, or a run that was killed, is taken up again instead of leaving a person bound to a key nobody has.
The file holds private keys: mode 0600, and it goes with the stack's directory.
"""

import base64
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PRIVATE = 0o600
_P256 = ec.SECP256R1()


@dataclass(frozen=True, kw_only=True)
class PhoneKey:
    """A phone's P-256 key pair.

    Attributes:
        secret: the private scalar, 32 bytes.
    """

    secret: bytes = field(repr=False)

    @classmethod
    def make(cls) -> "PhoneKey":
        """A new key."""
        number = ec.generate_private_key(_P256).private_numbers().private_value
        return cls(secret=number.to_bytes(32, "big"))

    @cached_property
    def private(self) -> ec.EllipticCurvePrivateKey:
        """The key to sign with."""
        return ec.derive_private_key(int.from_bytes(self.secret, "big"), _P256)

    @property
    def public_point(self) -> bytes:
        """The public key as Enroll takes it: SEC 1 uncompressed, 65 bytes."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingPhone:
    """A key that was made for a person, with the activation code it is to be enrolled by."""

    person_id: str
    nip: str = field(repr=False)
    code: str = field(repr=False)
    key: PhoneKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Phone:
    """An enrolled phone.

    Attributes:
        person_id, device_id: UUIDs.
        key: its key pair.
        certificate: the device certificate (JWT).
        not_after: end of the certificate's validity, POSIX seconds.
    """

    person_id: str
    device_id: str
    key: PhoneKey
    certificate: str = field(repr=False)
    not_after: float


class PhoneBook:
    """The journal of one stack's phones.

    Attributes:
        enrolled: by person_id.
        pending: by person_id; never one that is enrolled.
    """

    def __init__(self, path: Path) -> None:
        """Reads `path`; a missing file is an empty book, a line that was cut short is skipped."""
        self._path = path
        self.enrolled: dict[str, Phone] = {}
        self.pending: dict[str, PendingPhone] = {}
        try:
            text = path.read_text(encoding="ascii")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue

    def add(self, phones: Iterable[Phone | PendingPhone]) -> None:
        """Keeps `phones`: on disk when this returns."""
        lines = []
        for phone in phones:
            entry = _entry(phone)
            self._take(entry)
            lines.append(json.dumps(entry, separators=(",", ":")) + "\n")
        if not lines:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
        with os.fdopen(descriptor, "a", encoding="ascii") as file:
            # A line that a killed run left unfinished must not swallow the next one.
            file.write("\n" + "".join(lines))
            file.flush()
            os.fsync(file.fileno())

    def _take(self, entry: dict[str, Any]) -> None:
        person_id = entry["person_id"]
        key = PhoneKey(secret=base64.b64decode(entry["key"], validate=True))
        if entry["state"] == "enrolled":
            self.enrolled[person_id] = Phone(
                person_id=person_id,
                device_id=entry["device_id"],
                key=key,
                certificate=entry["certificate"],
                not_after=float(entry["not_after"]),
            )
            self.pending.pop(person_id, None)
        else:
            self.pending[person_id] = PendingPhone(
                person_id=person_id, nip=entry["nip"], code=entry["code"], key=key
            )
            self.enrolled.pop(person_id, None)


def _entry(phone: Phone | PendingPhone) -> dict[str, Any]:
    entry = {"person_id": phone.person_id, "key": base64.b64encode(phone.key.secret).decode("ascii")}
    if isinstance(phone, Phone):
        return entry | {
            "state": "enrolled",
            "device_id": phone.device_id,
            "certificate": phone.certificate,
            "not_after": phone.not_after,
        }
    return entry | {"state": "pending", "nip": phone.nip, "code": phone.code}
