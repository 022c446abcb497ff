"""How reporting's refusals look on the wire: one table, Bahasa Indonesia first. Owned by reporting."""

import grpc

from chassis.errors import ErrorRule, ErrorTable, FieldProblem, jittered
from services.reporting.application import errors


def _field(path: str, reason: str, message_id: str, message_en: str) -> list[FieldProblem]:
    return [FieldProblem(path, reason, message_id, message_en)]


ERRORS: ErrorTable = {
    errors.OutOfScopeError: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "OUT_OF_SCOPE",
        "Data ini di luar wilayah kerja Anda.",
        "The unit or person asked for is outside your unit.",
    ),
    errors.UnknownUnitError: ErrorRule(
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_UNIT",
        "Kecamatan atau sekolah {unit} tidak ditemukan.",
        "There is no district or school {unit}.",
    ),
    errors.InvalidDateError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
        "Tanggal tidak ada di kalender.",
        "There is no such date.",
        fields=lambda exc: _field(
            exc.params["field"], "NO_SUCH_DATE", "Tanggal tidak ada di kalender.", "There is no such date."
        ),
    ),
    errors.DateOutOfBoundsError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
        "Tanggal harus antara tahun {first} dan {last}.",
        "The date must lie between the years {first} and {last}.",
        fields=lambda exc: _field(
            exc.params["field"],
            "DATE_OUT_OF_BOUNDS",
            f"Tanggal harus antara tahun {exc.params['first']} dan {exc.params['last']}.",
            f"The date must lie between the years {exc.params['first']} and {exc.params['last']}.",
        ),
    ),
    errors.DateRangeError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
        "Rentang tanggal tidak benar: paling lama {days} hari, dan tanggal akhir tidak sebelum tanggal awal.",
        "The range of dates is wrong: at most {days} days, and not backwards.",
        fields=lambda exc: _field(
            "to_date",
            "DATE_RANGE",
            f"Paling lama {exc.params['days']} hari sejak tanggal awal, dan tidak sebelum tanggal awal.",
            f"At most {exc.params['days']} days from from_date, and not before it.",
        ),
    ),
    errors.InvalidPageTokenError: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
        "Halaman yang diminta tidak dikenal. Mulailah dari halaman pertama.",
        "The page token is none of ours. Begin with the first page.",
        fields=lambda _: _field(
            "page_token", "PAGE_TOKEN", "Bukan token dari jawaban kami.", "No answer of ours gave this token."
        ),
    ),
    errors.TooManyWatchersError: ErrorRule(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_WATCHERS",
        "Terlalu banyak papan pantau terbuka. Akan dicoba lagi otomatis.",
        "Too many boards are watched through this replica. Call again later.",
        retry_after=lambda _: jittered(5.0),
    ),
    errors.KeysUnavailableError: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "KEYS_UNAVAILABLE",
        "Layanan belum dapat memeriksa kredensial Anda. Silakan coba lagi sebentar lagi.",
        "Tokens by this key cannot be checked now. Call again.",
        retry_after=lambda _: jittered(2.0),
    ),
    errors.RevocationsUnknownError: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "REVOCATIONS_UNKNOWN",
        "Layanan belum dapat memeriksa perangkat Anda. Silakan coba lagi sebentar lagi.",
        "Whether this device is revoked cannot be checked yet. Call again.",
        retry_after=lambda _: jittered(2.0),
    ),
    errors.ReportTooLargeError: ErrorRule(
        grpc.StatusCode.FAILED_PRECONDITION,
        "REPORT_TOO_LARGE",
        "Laporan memuat lebih dari {limit} presensi dan tidak dapat disusun sekaligus.",
        "The report holds more than {limit} taps and cannot be made in one go.",
    ),
}
