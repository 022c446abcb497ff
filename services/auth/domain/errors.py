"""What auth refuses, as types. Owner: auth.

Each error is one answer to a caller; `entrypoints/errors.py` maps it to a status, a stable reason and the words. The
attributes named in `params` fill the placeholders of those words; none holds personal data of anyone but the caller.
"""

from datetime import timedelta


class AuthError(Exception):
    """Base of auth's refusals.

    Attributes:
        params: values for the placeholders of the messages.
    """

    def __init__(self, **params: str) -> None:
        super().__init__(type(self).__name__)
        self.params = params


class ActivationCodeInvalidError(AuthError):
    """No such code, a code voided by a newer one, or not this person's: one answer, so that nothing is learned."""


class ActivationCodeUsedError(AuthError):
    """The code has bound another key already."""


class ActivationCodeExpiredError(AuthError):
    """The code was never used and its time is over."""


class PersonInactiveError(AuthError):
    """The person was struck off the roster."""


class DeviceAlreadyBoundError(AuthError):
    """The person has an active device: one bound device per person."""


class KeyInvalidError(AuthError):
    """The bytes are no public key on P-256 in an accepted form; `params["problem"]` says which way."""


class KeyAlreadyBoundError(AuthError):
    """The key is, or was, bound: one device for many people, or the return of a revoked key."""


class CertificateInvalidError(AuthError):
    """The device certificate in a request's body is not one of ours, or its time is over."""


class ChallengeInvalidError(AuthError):
    """Unknown, used, expired, or another device's challenge."""


class SignatureInvalidError(AuthError):
    """The signature over the challenge is not by the device's key."""


class DeviceRevokedError(AuthError):
    """The device was replaced or withdrawn, or auth does not know it."""


class OutOfScopeError(AuthError):
    """The school, district or person lies outside the caller's unit, or the regency has none such.

    Both get one answer: who may not look into a unit does not learn what exists in it.
    """


class PersonNotFoundError(AuthError):
    """No such person inside the caller's unit."""


class SchoolNotFoundError(AuthError):
    """No such school inside the caller's unit."""


class TooManyPeopleError(AuthError):
    """More people than one answer carries; name them in several calls."""


class PageTokenInvalidError(AuthError):
    """The page token is none that this service gave."""


class ImportSequenceError(AuthError):
    """The messages of an import came in another order than header, schools, rows."""


class ImportTooLargeError(AuthError):
    """More schools and rows than one import may hold."""


class ImportRunningError(AuthError):
    """Another import of the same regency is being applied."""


class SchoolOutsideRegencyError(AuthError):
    """A school's district does not belong to the regency that this deployment serves."""


class SchoolRepeatedError(AuthError):
    """The list of schools names a school twice with different data."""


class OverloadedError(AuthError):
    """More work is waiting for the database than the bound allows; nothing was done.

    Attributes:
        retry_after: when to come back; different for each caller, so that they do not come back together.
    """

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__()
        self.retry_after = retry_after


class TooManyWatchersError(OverloadedError):
    """As many streams of devices are open as the bound allows."""
