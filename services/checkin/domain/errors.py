"""Why a tap or a request is refused, in the domain's words. entrypoints.errors maps each to a gRPC status."""

from datetime import timedelta


class CheckinError(Exception):
    """Base of all refusals. params fill the placeholders of the caller's message."""

    def __init__(self, **params: object) -> None:
        super().__init__(type(self).__name__)
        self.params = params


class EvidenceMalformedError(CheckinError):
    """The evidence bytes are no TapEvidence (or hold invalid UTF-8)."""


class SignatureInvalidError(CheckinError):
    """The signature is missing, of no known form, or not by the certificate's key."""


class CertificateInvalidError(CheckinError):
    """The device certificate is not by auth, or not a device certificate."""


class CertificateExpiredError(CheckinError):
    """The certificate had expired at the tap's official time."""


class DeviceRevokedError(CheckinError):
    """The device was revoked at the tap's official time."""


class WrongPersonError(CheckinError):
    """The evidence names another person than the certificate."""


class WrongRegencyError(CheckinError):
    """The evidence or the certificate is for another regency."""


class TapIdReusedError(CheckinError):
    """The tap_id is taken by other evidence."""


class InvalidDateError(CheckinError):
    """A date in a request does not exist in the calendar, or is centuries away. params: field."""


class OutOfScopeError(CheckinError):
    """The caller's role holds in a smaller unit than what was asked for."""


class KeysUnavailableError(CheckinError):
    """auth's public keys have never been loaded, so no unknown certificate can be checked now."""


class OverloadedError(CheckinError):
    """The queue is at its limit; come back after retry_after, with the same tap."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__()
        self.retry_after = retry_after


class StorageUnavailableError(CheckinError):
    """The database cannot commit now; nothing was acknowledged. Come back after retry_after."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__()
        self.retry_after = retry_after
