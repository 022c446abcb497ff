"""Sessions of devices: challenges, SignIn, and the renewal of certificates. Owner: auth."""

import hashlib
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.auth.application.ports import (
    Clock,
    DeviceOnFile,
    Entropy,
    Holder,
    Keys,
    SessionStore,
    Tokens,
)
from services.auth.domain.certificates import CertificateRules, Validity, validity
from services.auth.domain.errors import (
    CertificateInvalidError,
    ChallengeInvalidError,
    DeviceRevokedError,
    PersonInactiveError,
    SignatureInvalidError,
)
from services.auth.domain.units import Breadth, Role, Unit, session_roles

CHALLENGE_BYTES = 32
SIGN_IN_CONTEXT = b"hadir.signin.v1\0"
"""Goes before the challenge under the signature, so that no other signature of the key can be passed off as one."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge as given to a device."""

    challenge: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """An access token and what it grants."""

    access_token: str
    expires_at: datetime
    roles: tuple[Role, ...]
    unit: Unit


@dataclass(frozen=True, slots=True)
class SessionRules:
    """A deployment's choices.

    Attributes:
        challenge_life: how long a challenge can be used.
        open_challenges: so many unused challenges a device may have; a newer one drops the oldest.
        access_life: validity of an access token. Revocation reaches a session when it ends.
        zone: the regency's zone: grants hold on local dates.
    """

    challenge_life: timedelta
    open_challenges: int
    access_life: timedelta
    zone: ZoneInfo


def _owner_may_act(on_file: DeviceOnFile | None, person_id: UUID) -> DeviceOnFile:
    if on_file is None or not on_file.device.active or on_file.device.person_id != person_id:
        raise DeviceRevokedError
    if not on_file.person_active:
        raise PersonInactiveError
    return on_file


class CreateChallenge:
    """Gives a device a challenge to sign."""

    def __init__(self, *, clock: Clock, entropy: Entropy, store: SessionStore, rules: SessionRules) -> None:
        self._clock = clock
        self._entropy = entropy
        self._store = store
        self._rules = rules

    async def __call__(self, device_id: UUID) -> Challenge:
        """A challenge. An unknown device gets one too, which is not kept: who asks does not learn which ids exist."""
        challenge = self._entropy.bytes(CHALLENGE_BYTES)
        now = self._clock.now()
        end = now + self._rules.challenge_life
        await self._store.add_challenge(
            _digest(challenge), device_id=device_id, end=end, open_bound=self._rules.open_challenges
        )
        return Challenge(challenge, end)


class SignIn:
    """Gives the holder of a device's key an access token."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: SessionStore,
        keys: Keys,
        tokens: Tokens,
        rules: SessionRules,
    ) -> None:
        self._clock = clock
        self._store = store
        self._keys = keys
        self._tokens = tokens
        self._rules = rules

    async def __call__(self, *, certificate: str, challenge: bytes, signature: bytes) -> Session:
        """Use up the challenge and open a session.

        Raises:
            CertificateInvalidError: the certificate is not ours, or over: renew it first.
            ChallengeInvalidError: unknown, used, expired or another device's.
            SignatureInvalidError: not by the device's key; the challenge is used up all the same.
            DeviceRevokedError, PersonInactiveError: no longer allowed.
        """
        holder = self._tokens.read_certificate(certificate)
        now = self._clock.now()
        end = await self._store.take_challenge(_digest(challenge), device_id=holder.device_id)
        if end is None or end <= now:
            raise ChallengeInvalidError
        on_file = await self._store.device(holder.device_id)
        if on_file is None:
            raise DeviceRevokedError
        # The key on file, not the certificate's: a certificate can outlive what it names.
        if not self._keys.verify(on_file.device.public_key, signature, SIGN_IN_CONTEXT + challenge):
            raise SignatureInvalidError
        on_file = _owner_may_act(on_file, holder.person_id)
        today = now.astimezone(self._rules.zone).date()
        grants = await self._store.grants(holder.person_id, today=today)
        roles, unit = session_roles(Unit(Breadth.SCHOOL, on_file.npsn), grants)
        expires_at = (now + self._rules.access_life).replace(microsecond=0)
        token = self._tokens.access_token(str(holder.person_id), roles, unit, now=now, end=expires_at)
        return Session(token, expires_at, roles, unit)


@dataclass(frozen=True, slots=True)
class Renewal:
    """A new certificate for the same key."""

    certificate: str
    validity: Validity


class RenewCertificate:
    """Gives a device's holder, proven by the entrypoint, a new certificate."""

    def __init__(
        self,
        *,
        clock: Clock,
        spread: random.Random,
        store: SessionStore,
        tokens: Tokens,
        rules: CertificateRules,
    ) -> None:
        self._clock = clock
        self._spread = spread
        self._store = store
        self._tokens = tokens
        self._rules = rules

    async def __call__(self, *, person_id: UUID, device_id: UUID) -> Renewal:
        """A new certificate, naming the person's school as it is now. Safe to repeat: older ones stay valid.

        Raises:
            DeviceRevokedError, PersonInactiveError: no longer allowed.
        """
        on_file = _owner_may_act(await self._store.device(device_id), person_id)
        times = validity(self._rules, now=self._clock.now(), source=self._spread)
        holder = Holder(person_id, device_id, on_file.npsn)
        return Renewal(self._tokens.device_certificate(holder, on_file.device.public_key, times), times)


class PurgeChallenges:
    """Deletes what nobody used."""

    BATCH = 1_000

    def __init__(self, *, clock: Clock, store: SessionStore) -> None:
        self._clock = clock
        self._store = store

    async def __call__(self) -> int:
        """Delete ended challenges, at most `BATCH`; how many it were."""
        return await self._store.purge_challenges(before=self._clock.now(), most=self.BATCH)


def _digest(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()


def holder_of(person_id: str, device_id: str, npsn: str) -> Holder:
    """The holder that a certificate's texts name.

    Raises:
        CertificateInvalidError: they are no identifiers.
    """
    try:
        return Holder(UUID(person_id), UUID(device_id), npsn)
    except ValueError:
        raise CertificateInvalidError from None
