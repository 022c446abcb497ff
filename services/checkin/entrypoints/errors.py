"""How checkin's refusals look on the wire: one table, Bahasa Indonesia first (what a teacher reads on a phone)."""

import random
from datetime import timedelta

import grpc

from chassis.errors import ErrorRule, ErrorTable, FieldProblem
from services.checkin.domain import errors


def _coming_back(error: Exception) -> timedelta:
    """The refusal's own slot: distinct for each caller by construction."""
    if not isinstance(error, errors.OverloadedError):
        raise TypeError(type(error).__name__)
    return error.retry_after


def _after_outage(error: Exception) -> timedelta:
    """Once to twice the pause: all callers fail at the same moment, and must not return at the same moment."""
    pause = error.retry_after if isinstance(error, errors.StorageUnavailableError) else timedelta(seconds=2)
    return pause * (1 + random.random())  # noqa: S311  spreading, not a secret


def _date_field(error: Exception) -> list[FieldProblem]:
    params = getattr(error, "params", {})
    return [
        FieldProblem(
            str(params["field"]),
            "NO_SUCH_DATE",
            "Tanggal tidak ada, atau bukan tahun 2000-2200.",
            "No such date from 2000 to 2200.",
        )
    ]


ERRORS: ErrorTable = {
    errors.EvidenceMalformedError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "EVIDENCE_MALFORMED",
        "Data presensi rusak dan tidak dapat dibaca. Perbarui aplikasi lalu coba lagi.",
        "The evidence bytes are no valid hadir.checkin.v1.TapEvidence.",
    ),
    errors.SignatureInvalidError: ErrorRule(
        grpc.StatusCode.UNAUTHENTICATED,
        "SIGNATURE_INVALID",
        "Tanda tangan digital presensi tidak sah.",
        "The signature is not by the certificate's key over 'hadir.tap.v1\\0' + evidence.",
    ),
    errors.CertificateInvalidError: ErrorRule(
        grpc.StatusCode.UNAUTHENTICATED,
        "CERTIFICATE_INVALID",
        "Sertifikat perangkat tidak dikenal. Daftarkan kembali HP Anda melalui operator sekolah.",
        "The device certificate was not issued by this system.",
    ),
    errors.CertificateExpiredError: ErrorRule(
        grpc.StatusCode.UNAUTHENTICATED,
        "CERTIFICATE_EXPIRED",
        "Sertifikat perangkat sudah habis masa berlakunya pada {not_after}. Perbarui sertifikat lalu kirim lagi.",
        "The device certificate had expired ({not_after}) at the tap's official time. Renew it and send again.",
    ),
    errors.DeviceRevokedError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "DEVICE_REVOKED",
        "HP ini sudah tidak terdaftar sejak {revoked_at}. Hubungi operator sekolah.",
        "This device was revoked at {revoked_at}, before the tap's official time.",
    ),
    errors.WrongPersonError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "WRONG_PERSON",
        "Presensi ini bukan atas nama pemilik HP.",
        "The evidence names another person than the certificate.",
    ),
    errors.WrongRegencyError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "WRONG_REGENCY",
        "Presensi ini untuk kabupaten/kota lain.",
        "The evidence or certificate is for another regency.",
    ),
    errors.TapIdReusedError: ErrorRule(
        grpc.StatusCode.ALREADY_EXISTS,
        "TAP_ID_REUSED",
        "Nomor presensi ini sudah dipakai untuk presensi lain.",
        "The tap_id is already stored with other evidence.",
    ),
    errors.InvalidDateError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
        "Tanggal tidak ada di kalender, atau di luar tahun 2000-2200.",
        "There is no such date from 2000 to 2200.",
        fields=_date_field,
    ),
    errors.OutOfScopeError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "OUT_OF_SCOPE",
        "Data ini di luar wilayah kerja Anda.",
        "This is outside the unit your role holds in.",
    ),
    errors.KeysUnavailableError: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "KEYS_UNAVAILABLE",
        "Layanan belum siap memeriksa sertifikat HP Anda. Presensi aman di HP; akan dikirim lagi otomatis.",
        "Certificates by this key cannot be checked now. Send the same tap again.",
        retry_after=_after_outage,
    ),
    errors.OverloadedError: ErrorRule(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        "Sedang ramai. Presensi Anda mendapat giliran dan akan dikirim lagi otomatis; jam tekan Anda tetap berlaku.",
        "The queue is full; come back in your slot with the same tap. The time you pressed still counts.",
        retry_after=_coming_back,
    ),
    errors.StorageUnavailableError: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "STORAGE_UNAVAILABLE",
        "Penyimpanan sedang terganggu. Presensi aman di HP; akan dikirim lagi otomatis.",
        "The tap could not be committed; nothing was acknowledged. Send the same tap again.",
        retry_after=_after_outage,
    ),
}
