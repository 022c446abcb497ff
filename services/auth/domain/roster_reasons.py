"""Every reason why a roster row is refused or accepted with a warning, with the words for it. Owner: auth.

Bahasa Indonesia first, English second; each reason says what is wrong and what to do about it. The codes are
stable: clients, reports and tests rely on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType


@unique
class Column(StrEnum):
    """The Dapodik columns that Hadir reads, by their header. The reader discards every other column."""

    NAME = "Nama"
    NIP = "NIP"
    NUPTK = "NUPTK"
    SEX = "JK"
    BIRTH_DATE = "Tanggal Lahir"
    STATUS = "Status Kepegawaian"
    KIND = "Jenis PTK"
    DUTY = "Tugas Tambahan"
    PHONE = "HP"
    NPSN = "NPSN"
    SCHOOL = "Tempat Tugas"


@unique
class Reason(StrEnum):
    """The stable code of a refusal or a warning."""

    NAME_MISSING = "NAME_MISSING"
    NAME_TOO_LONG = "NAME_TOO_LONG"
    NAME_CHARACTERS = "NAME_CHARACTERS"
    NIP_MISSING = "NIP_MISSING"
    NIP_LOST_DIGITS = "NIP_LOST_DIGITS"
    NIP_LETTERS = "NIP_LETTERS"
    NIP_LENGTH = "NIP_LENGTH"
    NIP_BIRTH_DATE = "NIP_BIRTH_DATE"
    NIP_APPOINTMENT = "NIP_APPOINTMENT"
    NIP_SEX = "NIP_SEX"
    NIP_DUPLICATE = "NIP_DUPLICATE"
    PERSON_REPEATED = "PERSON_REPEATED"
    HONORARY_WITHOUT_NIP = "HONORARY_WITHOUT_NIP"
    HONORARY_WITHOUT_NUMBER = "HONORARY_WITHOUT_NUMBER"
    NUMBER_DUPLICATE = "NUMBER_DUPLICATE"
    SCHOOL_MISSING = "SCHOOL_MISSING"
    SCHOOL_UNKNOWN = "SCHOOL_UNKNOWN"
    # From here on warnings only: the row is accepted.
    NAME_DIGITS = "NAME_DIGITS"
    BIRTH_DATE_DIFFERS = "BIRTH_DATE_DIFFERS"
    SEX_DIFFERS = "SEX_DIFFERS"
    NUPTK_INVALID = "NUPTK_INVALID"
    NUPTK_DUPLICATE = "NUPTK_DUPLICATE"
    PHONE_INVALID = "PHONE_INVALID"
    NPSN_LETTERS = "NPSN_LETTERS"
    STATUS_UNKNOWN = "STATUS_UNKNOWN"
    STATUS_HAS_NIP = "STATUS_HAS_NIP"


@dataclass(frozen=True, slots=True)
class Notice:
    """One finding about a row: where, which, and the words for it in both languages.

    The words may hold personal data (a name, a date): they go to whoever owns the file, never into a log.
    """

    column: Column
    reason: Reason
    message_id: str
    message_en: str
    what_to_do_id: str
    what_to_do_en: str


@dataclass(frozen=True, slots=True)
class _Words:
    message_id: str
    message_en: str
    what_to_do_id: str
    what_to_do_en: str


_CHECK_DECREE_ID = "Cocokkan dengan SK, lalu ketik ulang 18 angka NIP sebagai teks."
_CHECK_DECREE_EN = "Compare with the appointment decree and retype the 18 digits as text."

_WORDS: Mapping[Reason, _Words] = MappingProxyType({
    Reason.NAME_MISSING: _Words(
        "Nama kosong.", "The name is empty.",
        "Isi nama lengkap sesuai Dapodik.", "Fill in the full name as in Dapodik.",
    ),
    Reason.NAME_TOO_LONG: _Words(
        "Nama terlalu panjang ({found} huruf).", "The name is too long ({found} characters).",
        "Isi nama saja, tanpa keterangan lain.", "Give the name only, without remarks.",
    ),
    Reason.NAME_CHARACTERS: _Words(
        "Nama memuat tanda yang bukan bagian nama: {found}",
        "The name holds characters that no name has: {found}",
        "Hapus tanda itu dari nama.", "Remove those characters from the name.",
    ),
    Reason.NIP_MISSING: _Words(
        "NIP kosong, padahal status bukan honorer.", "The NIP is empty, though the status is not honorary.",
        "Isi NIP 18 angka sesuai SK, atau betulkan status kepegawaian.",
        "Fill in the 18 digits of the decree, or correct the employment status.",
    ),
    Reason.NIP_LOST_DIGITS: _Words(
        "NIP tersimpan sebagai bilangan ({found}); angka terakhirnya sudah hilang.",
        "The NIP is stored as a number ({found}); its last digits are lost.",
        "Ubah format sel menjadi Teks, lalu ketik ulang 18 angka NIP dari SK.",
        "Format the cell as Text and retype the 18 digits from the decree.",
    ),
    Reason.NIP_LETTERS: _Words(
        "NIP memuat tanda yang bukan angka: {found}.", "The NIP holds a character that is no digit: {found}.",
        "Ganti dengan angka yang benar (huruf O sering tertukar dengan angka 0).",
        "Replace it by the right digit (the letter O is often typed for a zero).",
    ),
    Reason.NIP_LENGTH: _Words(
        "NIP berisi {found} angka, seharusnya 18.", "The NIP has {found} digits instead of 18.",
        _CHECK_DECREE_ID, _CHECK_DECREE_EN,
    ),
    Reason.NIP_BIRTH_DATE: _Words(
        "Tanggal lahir di dalam NIP tidak mungkin: {found}.",
        "The birth date in the NIP is impossible: {found}.",
        _CHECK_DECREE_ID, _CHECK_DECREE_EN,
    ),
    Reason.NIP_APPOINTMENT: _Words(
        "Tahun dan bulan pengangkatan di dalam NIP tidak mungkin: {found}.",
        "The year and month of appointment in the NIP are impossible: {found}.",
        "Cocokkan NIP dengan SK; untuk PPPK, pastikan kolom Status Kepegawaian berisi PPPK.",
        "Compare with the decree; for PPPK staff make sure that Status Kepegawaian says PPPK.",
    ),
    Reason.NIP_SEX: _Words(
        "Angka ke-15 NIP harus 1 atau 2, tertulis {found}.",
        "Digit 15 of the NIP must be 1 or 2, found {found}.",
        _CHECK_DECREE_ID, _CHECK_DECREE_EN,
    ),
    Reason.NIP_DUPLICATE: _Words(
        "NIP ini sudah dipakai orang lain: {found}.", "Another person already has this NIP: {found}.",
        "Cocokkan NIP kedua orang itu dengan SK masing-masing, lalu betulkan yang salah. {hint_id}",
        "Compare the NIPs of both with their decrees and correct the wrong one. {hint_en}",
    ),
    Reason.PERSON_REPEATED: _Words(
        "Orang yang sama sudah tercantum: {found}.", "The same person is listed already: {found}.",
        "Hapus salah satu baris; sisakan yang di sekolah induk.",
        "Delete one of the rows; keep the one at the home school.",
    ),
    Reason.HONORARY_WITHOUT_NIP: _Words(
        "Tenaga honorer tanpa NIP; belum diwajibkan presensi.",
        "Honorary staff without a NIP; not subject to attendance.",
        "Tidak perlu apa-apa, kecuali kabupaten mengizinkan honorer dengan NUPTK (tanyakan BKPSDM).",
        "Nothing, unless the regency admits honorary staff by their NUPTK (ask the personnel agency).",
    ),
    Reason.HONORARY_WITHOUT_NUMBER: _Words(
        "Tenaga honorer tanpa NUPTK maupun nomor dari kabupaten.",
        "Honorary staff with neither a NUPTK nor a number of the regency's own.",
        "Isi NUPTK 16 angka, atau nomor dari kabupaten di kolom NIP.",
        "Fill in the 16 digits of the NUPTK, or the regency's number in the NIP column.",
    ),
    Reason.NUMBER_DUPLICATE: _Words(
        "Nomor ini sudah dipakai: {found}.", "This number is taken already: {found}.",
        "Betulkan nomor salah satu dari keduanya.", "Correct the number of one of the two.",
    ),
    Reason.SCHOOL_MISSING: _Words(
        "NPSN sekolah kosong.", "The school's NPSN is empty.",
        "Isi NPSN 8 karakter sekolah induk.", "Fill in the home school's NPSN (8 characters).",
    ),
    Reason.SCHOOL_UNKNOWN: _Words(
        "NPSN {found} tidak ada di daftar sekolah.", "NPSN {found} is not in the list of schools.",
        "Betulkan NPSN, atau tambahkan sekolah itu ke berkas sekolah.",
        "Correct the NPSN, or add that school to the schools file.",
    ),
    Reason.NAME_DIGITS: _Words(
        "Nama memuat angka.", "The name holds digits.",
        "Periksa nama.", "Check the name.",
    ),
    Reason.BIRTH_DATE_DIFFERS: _Words(
        "Tanggal lahir ({found}) berbeda dari yang ada di NIP ({other}); mungkin NIP orang lain.",
        "The birth date ({found}) differs from the one in the NIP ({other}); it may be someone else's NIP.",
        "Cocokkan NIP dengan SK.", "Compare the NIP with the decree.",
    ),
    Reason.SEX_DIFFERS: _Words(
        "Jenis kelamin ({found}) berbeda dari yang ada di NIP ({other}); mungkin NIP orang lain.",
        "The sex ({found}) differs from the one in the NIP ({other}); it may be someone else's NIP.",
        "Cocokkan NIP dengan SK.", "Compare the NIP with the decree.",
    ),
    Reason.NUPTK_INVALID: _Words(
        "NUPTK bukan 16 angka; tidak disimpan.", "The NUPTK is not 16 digits; it is not kept.",
        "Betulkan NUPTK sebagai teks 16 angka.", "Correct it: 16 digits, stored as text.",
    ),
    Reason.NUPTK_DUPLICATE: _Words(
        "NUPTK sudah dipakai: {found}; tidak disimpan.",
        "The NUPTK is taken already: {found}; it is not kept.",
        "Betulkan NUPTK salah satu dari keduanya.", "Correct the NUPTK of one of the two.",
    ),
    Reason.PHONE_INVALID: _Words(
        "Nomor HP tidak dikenali; tidak disimpan.", "The mobile number is not understood; it is not kept.",
        "Tulis nomor seperti 081234567890.", "Write it like 081234567890.",
    ),
    Reason.NPSN_LETTERS: _Words(
        "NPSN {found} memuat huruf.", "NPSN {found} holds letters.",
        "Pastikan NPSN benar.", "Make sure that the NPSN is right.",
    ),
    Reason.STATUS_UNKNOWN: _Words(
        "Status kepegawaian tidak dikenal: {found}", "Unknown employment status: {found}",
        "Isi PNS, CPNS, PPPK, atau honorer.", "Write PNS, CPNS, PPPK or honorer.",
    ),
    Reason.STATUS_HAS_NIP: _Words(
        "Status honorer, tetapi mempunyai NIP.", "The status is honorary, yet there is a NIP.",
        "Perbarui status kepegawaian di Dapodik.", "Update the employment status in Dapodik.",
    ),
})  # fmt: skip


def notice(
    column: Column,
    reason: Reason,
    *,
    found: str = "",
    found_en: str | None = None,
    other: str = "",
    hint_id: str = "",
    hint_en: str = "",
) -> Notice:
    """The notice for a reason, its words filled with what was found.

    Args:
        column: the column at fault.
        reason: the code.
        found: what was found wrong.
        found_en: the same in English where it holds words; None means that `found` holds none.
        other: what it was compared with.
        hint_id: a further hint on what to do, Bahasa Indonesia.
        hint_en: the same in English.
    """
    words = _WORDS[reason]
    english = found if found_en is None else found_en
    return Notice(
        column=column,
        reason=reason,
        message_id=words.message_id.format(found=found, other=other),
        message_en=words.message_en.format(found=english, other=other),
        what_to_do_id=words.what_to_do_id.format(hint_id=hint_id).strip(),
        what_to_do_en=words.what_to_do_en.format(hint_en=hint_en).strip(),
    )
