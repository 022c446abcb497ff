"""Enroll: an activation code, a staff number and a public key become a bound device with a certificate. Owner: auth.

No lock is shared between people, and no password hash is computed: thousands enroll in the same minutes.
"""

import random
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.auth.application.ports import Clock, EnrolmentStore, Entropy, Holder, Keys, Tokens
from services.auth.domain.activation import CodeOnFile, code_digest, judge_code, same_number
from services.auth.domain.certificates import CertificateRules, Validity, validity
from services.auth.domain.errors import ActivationCodeInvalidError
from services.auth.domain.identifiers import ENTROPY_BYTES, uuid7
from services.auth.domain.people import Device


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A bound device.

    Attributes:
        repeated: True when this code and key had bound it before.
    """

    certificate: str
    device_id: UUID
    person_id: UUID
    name: str
    validity: Validity
    repeated: bool


class Enroll:
    """The use case.

    Args:
        clock: the deployment's time.
        entropy: for device ids.
        spread: for the certificate's times; not secret.
        store: codes and devices.
        keys: reads public keys.
        tokens: signs certificates.
        rules: validity of certificates.
        wrong_numbers: so many wrong staff numbers void a code that somebody found.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Entropy,
        spread: random.Random,
        store: EnrolmentStore,
        keys: Keys,
        tokens: Tokens,
        rules: CertificateRules,
        wrong_numbers: int,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._spread = spread
        self._store = store
        self._keys = keys
        self._tokens = tokens
        self._rules = rules
        self._wrong_numbers = wrong_numbers

    async def __call__(self, *, code: str, staff_number: str, public_key: bytes, label: str) -> Enrolment:
        """Bind a device, or answer once more for the same code and key.

        Raises:
            ActivationCodeInvalidError: unknown, voided, or not this person's.
            ActivationCodeUsedError, ActivationCodeExpiredError, PersonInactiveError, DeviceAlreadyBoundError:
                as `judge_code`.
            KeyInvalidError: no P-256 key.
            KeyAlreadyBoundError: the key is, or was, another device's.
        """
        digest = code_digest(code)
        key = self._keys.read(public_key)
        now = self._clock.now()
        on_file = await self._on_file(digest, staff_number, now)
        known = judge_code(on_file, public_key=key, now=now)
        if known is not None:
            return self._answer(on_file, known, key, now, repeated=True)
        device_id = uuid7(now, self._entropy.bytes(ENTROPY_BYTES))
        device = Device(device_id, on_file.person_id, key, now, None, version=1)
        if await self._store.bind(device, digest=digest, label=label):
            return self._answer(on_file, device_id, key, now, repeated=False)
        # Somebody was faster with this code. If it was this phone's own first try, it gets its device.
        on_file = await self._on_file(digest, staff_number, now)
        known = judge_code(on_file, public_key=key, now=now)
        if known is None:
            raise ActivationCodeInvalidError
        return self._answer(on_file, known, key, now, repeated=True)

    async def _on_file(self, digest: bytes, staff_number: str, now: datetime) -> CodeOnFile:
        on_file = await self._store.code(digest)
        if on_file is None:
            raise ActivationCodeInvalidError
        if not same_number(staff_number, on_file.staff_number):
            await self._store.note_wrong_number(digest, at=now, bound=self._wrong_numbers)
            raise ActivationCodeInvalidError
        return on_file

    def _answer(
        self, on_file: CodeOnFile, device_id: UUID, key: bytes, now: datetime, *, repeated: bool
    ) -> Enrolment:
        times = validity(self._rules, now=now, source=self._spread)
        holder = Holder(on_file.person_id, device_id, on_file.npsn)
        certificate = self._tokens.device_certificate(holder, key, times)
        return Enrolment(certificate, device_id, on_file.person_id, on_file.name, times, repeated)
