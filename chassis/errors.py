"""Errors on the wire: google.rpc.Status with a stable reason, in Bahasa Indonesia and English, and when to come back.

Owner: chassis. A service maps its own exceptions by an `ErrorTable`; what every service has in common (authentication,
malformed messages, deadlines, a database that is away) is in `COMMON_ERRORS`. Clients branch on `ErrorInfo.reason`.
"""

import logging
import math
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import grpc
from google.rpc import status_pb2

from chassis.statuses import ErrorRule, FieldProblem, abort, build_status, reason_of, retry_delay

__all__ = [
    "ErrorRule",
    "ErrorTable",
    "ErrorMapper",
    "FieldProblem",
    "COMMON_ERRORS",
    "abort",
    "build_status",
    "jittered",
    "reason_of",
    "retry_delay",
    "to_status",
    "ServiceError",
    "NotYetAvailable",
    "MalformedMessageError",
    "InvalidFieldsError",
    "DeadlineTooShortError",
    "DeadlineExceededError",
    "StoppingError",
    "AuthenticationError",
    "TokenMissingError",
    "TokenInvalidError",
    "TokenExpiredError",
    "ProofMissingError",
    "ProofInvalidError",
    "ProofStaleError",
    "PermissionDeniedError",
    "RoleNotAllowedError",
    "RegencyMismatchError",
    "DeviceRevokedError",
    "DatabaseUnavailableError",
    "KeysUnavailableError",
]

logger = logging.getLogger(__name__)

ErrorTable = Mapping[type[Exception], ErrorRule]


class ServiceError(Exception):
    """Base for exceptions with values for their rule's placeholders. Plain exceptions may have `params` as well."""

    def __init__(self, message: str = "", /, **params: object) -> None:
        super().__init__(message or type(self).__name__)
        self.params: Mapping[str, object] = params


class NotYetAvailable(ServiceError):
    """The RPC is part of the published surface, and its logic belongs to a later release."""


class MalformedMessageError(ServiceError):
    """The request's bytes are no message of the expected type."""


class InvalidFieldsError(ServiceError):
    """The request breaks the rules that its proto states, or a rule that needs more than the proto."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.message_en}" for problem in problems[:3]))
        self.problems = problems


class DeadlineTooShortError(ServiceError):
    """The caller's deadline was over before its call was begun."""


class DeadlineExceededError(ServiceError):
    """The call took longer than its method may."""


class StoppingError(ServiceError):
    """This replica is going away and ended a call that would otherwise last."""


class AuthenticationError(ServiceError):
    """Who is calling could not be established; each kind has a rule of its own."""


class TokenMissingError(AuthenticationError):
    """No credentials came with a call that needs them."""


class TokenInvalidError(AuthenticationError):
    """The token is not one of ours, or is none at all."""


class TokenExpiredError(AuthenticationError):
    """The token was ours, and its time is over."""


class ProofMissingError(AuthenticationError):
    """A device certificate came without the proof that the caller holds its key."""


class ProofInvalidError(AuthenticationError):
    """The proof was not made by the certificate's key for this call."""


class ProofStaleError(AuthenticationError):
    """The proof was made too long ago, or in the future; `server_time` tells the phone what time it is."""


class PermissionDeniedError(ServiceError):
    """The caller is known, and may not do this."""


class RoleNotAllowedError(PermissionDeniedError):
    """None of the caller's roles may call this method."""


class RegencyMismatchError(PermissionDeniedError):
    """The credentials are another regency's."""


class DeviceRevokedError(PermissionDeniedError):
    """The credentials are a device's that was revoked: lost, replaced, or taken away."""


class KeysUnavailableError(ServiceError):
    """A token's key is unknown here and the issuer cannot be asked: whether the token is right cannot be told now."""


class DatabaseUnavailableError(ServiceError):
    """The database cannot be used just now; nothing was acknowledged."""


def jittered(seconds: float) -> timedelta:
    """Between one and two times `seconds`: a crowd that is sent away must not come back at one instant."""
    return timedelta(seconds=seconds * (1 + random.random()))  # noqa: S311 - spreading, not secrecy


def _retry_soon(_: Exception) -> timedelta:
    # A failover of the database or a restart of a replica takes seconds; a phone's user still looks at the screen.
    return jittered(2.0)


def _unauthenticated(reason: str, message_id: str, message_en: str) -> ErrorRule:
    return ErrorRule(grpc.StatusCode.UNAUTHENTICATED, reason, message_id, message_en)


COMMON_ERRORS: ErrorTable = {
    NotYetAvailable: ErrorRule(
        grpc.StatusCode.UNIMPLEMENTED,
        "NOT_YET_AVAILABLE",
        "Layanan ini belum tersedia pada versi ini.",
        "This call is not available in this release yet.",
    ),
    MalformedMessageError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_MESSAGE",
        "Kiriman tidak dapat dibaca.",
        "The request's bytes are no message of the expected type.",
    ),
    InvalidFieldsError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
        "Isian tidak lengkap atau tidak benar.",
        "Fields are missing or wrong; see BadRequest.",
        fields=lambda exc: exc.problems,
    ),
    DeadlineTooShortError: ErrorRule(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_TOO_SHORT",
        "Batas waktu habis sebelum permintaan sempat dikerjakan.",
        "The deadline was over before the call was begun.",
    ),
    DeadlineExceededError: ErrorRule(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "Permintaan tidak selesai dalam batas waktu. Silakan coba lagi.",
        "The call did not finish within its time limit. Try again.",
    ),
    StoppingError: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "REPLICA_STOPPING",
        "Layanan sedang dialihkan. Sambungan akan dibuka kembali.",
        "This replica is going away. Call again to reach another one.",
        retry_after=lambda _: jittered(0.25),
    ),
    TokenMissingError: _unauthenticated(
        "TOKEN_MISSING", "Anda belum masuk.", "The call needs credentials in the authorization header."
    ),
    TokenInvalidError: _unauthenticated(
        "TOKEN_INVALID", "Kredensial tidak berlaku. Silakan masuk kembali.", "The token is not valid."
    ),
    TokenExpiredError: _unauthenticated(
        "TOKEN_EXPIRED",
        "Masa berlaku kredensial sudah habis. Silakan masuk kembali.",
        "The token has expired.",
    ),
    ProofMissingError: _unauthenticated(
        "PROOF_MISSING",
        "Bukti perangkat tidak disertakan.",
        'A device certificate needs the scheme "DPoP" and a proof in the dpop header.',
    ),
    ProofInvalidError: _unauthenticated(
        "PROOF_INVALID",
        "Bukti perangkat tidak sah.",
        "The proof was not made for this call by the certificate's key.",
    ),
    ProofStaleError: ErrorRule(
        grpc.StatusCode.UNAUTHENTICATED,
        "PROOF_STALE",
        "Bukti perangkat sudah kedaluwarsa. Periksa jam HP Anda.",
        "The proof's iat is too far from the server's time (see server_time).",
        metadata=lambda exc: {key: str(value) for key, value in exc.params.items()},
    ),
    RoleNotAllowedError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
        "Anda tidak berwenang untuk tindakan ini.",
        "None of the caller's roles may call this method.",
    ),
    RegencyMismatchError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "REGENCY_MISMATCH",
        "Kredensial ini milik kabupaten lain.",
        "The credentials are another regency's.",
    ),
    DeviceRevokedError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "DEVICE_REVOKED",
        "HP ini sudah tidak terdaftar. Hubungi operator sekolah.",
        "This device was revoked.",
    ),
    KeysUnavailableError: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "KEYS_UNAVAILABLE",
        "Layanan belum dapat memeriksa kredensial Anda. Silakan coba lagi sebentar lagi.",
        "Tokens by this key cannot be checked now. Call again.",
        retry_after=_retry_soon,
    ),
    DatabaseUnavailableError: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
        "Layanan sedang terganggu dan belum mencatat apa pun. Silakan coba lagi sebentar lagi.",
        "The database is unavailable; nothing was acknowledged. Try again.",
        retry_after=_retry_soon,
    ),
}

_INTERNAL = ErrorRule(
    grpc.StatusCode.INTERNAL,
    "INTERNAL",
    "Terjadi kesalahan pada layanan. Sebutkan kode {error_id} bila Anda melaporkannya.",
    "An unexpected error; the log has it under {error_id}.",
    metadata=lambda exc: {"error_id": str(exc.params["error_id"])},
)


class _UnexpectedError(ServiceError):
    """Stands for any exception without a rule, so that nothing of it gets out but the number it is logged under."""


class ErrorMapper:
    """From exceptions to statuses: the service's table first, then the common one, then INTERNAL.

    Args:
        table: the service's rules; looked up along the exception's bases, so a rule for a base class holds for all.
        is_unavailable: tells exceptions that mean "the database is away", whatever library they come from.
    """

    def __init__(
        self, table: ErrorTable, is_unavailable: Callable[[BaseException], bool] = lambda _: False
    ) -> None:
        self._table = table
        self._is_unavailable = is_unavailable
        self._said_unavailable_at = -math.inf

    def rule_for(self, exc: Exception) -> ErrorRule | None:
        """The rule for an exception, or None if it was not expected."""
        for kind in type(exc).__mro__:
            rule = self._table.get(kind) or COMMON_ERRORS.get(kind)
            if rule is not None:
                return rule
        if not self._is_unavailable(exc):
            return None
        self._say_unavailable(exc)
        return COMMON_ERRORS[DatabaseUnavailableError]

    def to_status(self, exc: Exception, *, method: str = "") -> status_pb2.Status:
        """The status for an exception. One without a rule is logged with its traceback and a number of its own."""
        rule = self.rule_for(exc)
        if rule is not None:
            return build_status(rule, exc)
        error_id = uuid.uuid4().hex[:12]
        logger.error("unexpected error", exc_info=exc, extra={"error_id": error_id, "method": method})
        return build_status(_INTERNAL, _UnexpectedError(error_id=error_id))

    def _say_unavailable(self, exc: Exception) -> None:
        # One line a second: each of thousands of calls fails alike, and the first one already says why.
        now = time.monotonic()
        if now - self._said_unavailable_at >= 1:
            self._said_unavailable_at = now
            logger.warning("the database is unavailable", exc_info=exc)


def to_status(exc: Exception, table: ErrorTable) -> status_pb2.Status:
    """The status for an exception by a service's table and the common one; see ErrorMapper."""
    return ErrorMapper(table).to_status(exc)
