"""What auth's refusals look like on the wire: code, stable reason, words in both languages. Owner: auth.

The words are the caller's: what happened as they see it, and what to do next.
"""

from collections.abc import Mapping
from datetime import timedelta

from grpc import StatusCode

from chassis.errors import ErrorRule, ErrorTable, jittered
from services.auth.domain import errors


def _params(error: errors.AuthError) -> Mapping[str, str]:
    return error.params


def _retry_after(error: errors.OverloadedError) -> timedelta:
    return error.retry_after


ERRORS: ErrorTable = {
    errors.ActivationCodeInvalidError: ErrorRule(
        StatusCode.INVALID_ARGUMENT,
        "ACTIVATION_CODE_INVALID",
        "Kode aktivasi dan NIP tidak cocok. Periksa keduanya; bila Anda menerima kode yang lebih baru, pakai kode itu.",
        "The activation code and the NIP do not belong together. Check both; if there is a newer code, use that one.",
    ),
    errors.ActivationCodeUsedError: ErrorRule(
        StatusCode.FAILED_PRECONDITION,
        "ACTIVATION_CODE_USED",
        "Kode aktivasi ini sudah dipakai. Bila bukan oleh Anda, segera hubungi operator sekolah; mintalah kode baru.",
        "This activation code has been used. If that was not you, tell the school's operator now; ask for a new code.",
    ),
    errors.ActivationCodeExpiredError: ErrorRule(
        StatusCode.FAILED_PRECONDITION,
        "ACTIVATION_CODE_EXPIRED",
        "Masa berlaku kode aktivasi ini sudah habis. Mintalah kode baru kepada operator sekolah.",
        "This activation code has expired. Ask the school's operator for a new one.",
    ),
    errors.PersonInactiveError: ErrorRule(
        StatusCode.FAILED_PRECONDITION,
        "PERSON_INACTIVE",
        "Orang ini tidak lagi tercatat aktif. Hubungi operator sekolah atau BKPSDM.",
        "This person is no longer on the roster. Ask the school's operator or the personnel agency.",
    ),
    errors.DeviceAlreadyBoundError: ErrorRule(
        StatusCode.ALREADY_EXISTS,
        "DEVICE_ALREADY_BOUND",
        "Orang ini sudah mempunyai HP terdaftar. Untuk berganti HP, hubungi dulu operator sekolah.",
        "This person has a registered phone already. For another one the school's operator replaces the device first.",
    ),
    errors.KeyInvalidError: ErrorRule(
        StatusCode.INVALID_ARGUMENT,
        "KEY_INVALID",
        "Kunci perangkat tidak dapat dipakai. Perbarui aplikasi, lalu daftar lagi.",
        "The public key is not usable ({problem}): P-256, as SEC 1 uncompressed point or SubjectPublicKeyInfo.",
        metadata=_params,
    ),
    errors.KeyAlreadyBoundError: ErrorRule(
        StatusCode.ALREADY_EXISTS,
        "KEY_ALREADY_BOUND",
        "HP ini sudah terdaftar. Satu HP hanya untuk satu orang; bila HP ini pernah diganti, pasang ulang aplikasinya.",
        "This device key is, or was, bound already. One device is for one person; a new enrolment needs a new key.",
    ),
    errors.CertificateInvalidError: ErrorRule(
        StatusCode.UNAUTHENTICATED,
        "CERTIFICATE_INVALID",
        "Sertifikat HP ini tidak berlaku lagi. Perbarui sertifikat, atau daftarkan HP ini kembali.",
        "The device certificate is not valid. Renew it, or enroll the device again.",
    ),
    errors.ChallengeInvalidError: ErrorRule(
        StatusCode.UNAUTHENTICATED,
        "CHALLENGE_INVALID",
        "Waktu masuk habis. Silakan coba masuk lagi.",
        "The challenge is unknown, used or over. Ask for a new one.",
    ),
    errors.SignatureInvalidError: ErrorRule(
        StatusCode.UNAUTHENTICATED,
        "SIGNATURE_INVALID",
        "Tanda tangan HP ini tidak cocok dengan pendaftarannya. Silakan coba masuk lagi.",
        "The signature over the challenge was not made by the device's key.",
    ),
    errors.DeviceRevokedError: ErrorRule(
        StatusCode.PERMISSION_DENIED,
        "DEVICE_REVOKED",
        "HP ini tidak lagi terdaftar. Mintalah kode aktivasi baru kepada operator sekolah.",
        "This device is no longer registered. Ask the school's operator for a new activation code.",
    ),
    errors.OutOfScopeError: ErrorRule(
        StatusCode.PERMISSION_DENIED,
        "OUT_OF_SCOPE",
        "Data ini di luar wilayah kerja Anda.",
        "This lies outside your unit's scope.",
    ),
    errors.PersonNotFoundError: ErrorRule(
        StatusCode.NOT_FOUND,
        "PERSON_NOT_FOUND",
        "Orang ini tidak ditemukan di sekolah itu.",
        "There is no such person there.",
        metadata=_params,
    ),
    errors.SchoolNotFoundError: ErrorRule(
        StatusCode.NOT_FOUND,
        "SCHOOL_NOT_FOUND",
        "Sekolah dengan NPSN {npsn} tidak ditemukan.",
        "There is no school with NPSN {npsn}.",
        metadata=_params,
    ),
    errors.TooManyPeopleError: ErrorRule(
        StatusCode.FAILED_PRECONDITION,
        "TOO_MANY_PEOPLE",
        "Lebih dari {most} orang sekaligus. Sebutkan orangnya dalam beberapa permintaan.",
        "More than {most} people at once. Name them in several calls.",
        metadata=_params,
    ),
    errors.PageTokenInvalidError: ErrorRule(
        StatusCode.INVALID_ARGUMENT,
        "PAGE_TOKEN_INVALID",
        "Halaman ini tidak dikenal. Mulailah lagi dari halaman pertama.",
        "The page token is not one of ours. Begin with the first page.",
    ),
    errors.ImportSequenceError: ErrorRule(
        StatusCode.INVALID_ARGUMENT,
        "IMPORT_SEQUENCE",
        "Urutan kiriman salah: kepala, lalu sekolah, lalu baris. Tidak ada yang disimpan.",
        "Send one header, then schools, then rows with a source that the header names. Nothing was stored.",
    ),
    errors.ImportTooLargeError: ErrorRule(
        StatusCode.INVALID_ARGUMENT,
        "IMPORT_TOO_LARGE",
        "Lebih dari {most} sekolah dan baris. Bagi menjadi beberapa impor; tidak ada yang disimpan.",
        "More than {most} schools and rows. Import them in parts; nothing was stored.",
        metadata=_params,
    ),
    errors.ImportRunningError: ErrorRule(
        StatusCode.UNAVAILABLE,
        "IMPORT_RUNNING",
        "Impor lain sedang disimpan. Ulangi sebentar lagi; tidak ada yang disimpan.",
        "Another import is being applied. Try again shortly; nothing was stored.",
        retry_after=lambda _: jittered(5.0),
    ),
    errors.SchoolOutsideRegencyError: ErrorRule(
        StatusCode.INVALID_ARGUMENT,
        "SCHOOL_OUTSIDE_REGENCY",
        "Sekolah {npsn} berada di kecamatan {district}, bukan di kabupaten {regency}. Tidak ada yang disimpan.",
        "School {npsn} is in district {district}, not in regency {regency}. Nothing was stored.",
        metadata=_params,
    ),
    errors.SchoolRepeatedError: ErrorRule(
        StatusCode.INVALID_ARGUMENT,
        "SCHOOL_REPEATED",
        "Sekolah {npsn} tercantum dua kali dengan data berbeda. Hapus salah satu; tidak ada yang disimpan.",
        "School {npsn} is listed twice with different data. Remove one; nothing was stored.",
        metadata=_params,
    ),
    errors.OverloadedError: ErrorRule(
        StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        "Sedang banyak permintaan. Aplikasi mencoba lagi sendiri.",
        "Too many requests are waiting; nothing was done. Come back when RetryInfo says.",
        retry_after=_retry_after,
    ),
    errors.TooManyWatchersError: ErrorRule(
        StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_STREAMS",
        "Terlalu banyak aliran terbuka sekaligus.",
        "Too many streams of this kind are open. Come back when RetryInfo says.",
        retry_after=_retry_after,
    ),
}
