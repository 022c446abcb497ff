"""What can be wrong with a roster or schools file as a whole, in both languages. Owner: ops/roster.

A problem of the file stops everything before anything is sent; a problem of one row is the auth service's to judge.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file and what to do, Bahasa Indonesia first. Holds no personal data."""

    code: str
    message_id: str
    message_en: str
    what_to_do_id: str
    what_to_do_en: str


class RosterFileError(Exception):
    """A file that cannot be imported at all.

    Attributes:
        file: the file's name as given.
        problem: what is wrong and what to do.
    """

    def __init__(self, file: str, problem: Problem) -> None:
        super().__init__(f"{file}: {problem.message_en} {problem.what_to_do_en}")
        self.file = file
        self.problem = problem


_AGAIN_ID = "Unduh ulang berkas dari Dapodik (Excel .xlsx atau CSV)."
_AGAIN_EN = "Download it again from Dapodik (Excel .xlsx or CSV)."


def unreadable(reason: str) -> Problem:
    """The file is missing, a directory, or not ours to read."""
    return Problem(
        "FILE_UNREADABLE",
        f"Berkas tidak dapat dibaca ({reason}).",
        f"The file cannot be read ({reason}).",
        "Periksa nama berkas dan hak aksesnya.",
        "Check the file's name and its permissions.",
    )


def too_large(megabytes: float, limit: float) -> Problem:
    """The file is larger than any roster is."""
    return Problem(
        "FILE_TOO_LARGE",
        f"Berkas terlalu besar: {megabytes:.0f} MB, paling besar {limit:.0f} MB.",
        f"The file is too large: {megabytes:.0f} MB, at most {limit:.0f} MB.",
        "Impor per kecamatan, atau hapus gambar dan lembar lain dari berkas.",
        "Import one district at a time, or remove pictures and other sheets from the file.",
    )


def unpacks_too_large() -> Problem:
    """A zip whose content would be far larger than a roster: a mistake or an attack."""
    return Problem(
        "FILE_UNPACKS_TOO_LARGE",
        "Isi berkas jauh lebih besar daripada daftar pegawai mana pun.",
        "The file's content is far larger than any roster.",
        "Hapus lembar dan baris kosong yang tidak perlu, atau unduh ulang dari Dapodik.",
        "Remove needless sheets and empty rows, or download it again from Dapodik.",
    )


def not_a_roster(kind_id: str, kind_en: str) -> Problem:
    """Neither XLSX nor CSV."""
    return Problem(
        "NOT_A_ROSTER",
        f"Ini bukan berkas Excel .xlsx atau CSV, melainkan {kind_id}.",
        f"This is no Excel .xlsx or CSV file but {kind_en}.",
        "Buka di Excel atau LibreOffice, lalu simpan sebagai .xlsx tanpa kata sandi.",
        "Open it in Excel or LibreOffice and save it as .xlsx without a password.",
    )


def not_csv() -> Problem:
    """A workbook where a CSV is wanted."""
    return Problem(
        "NOT_CSV",
        "Berkas ini harus CSV, bukan Excel.",
        "This file must be a CSV, not Excel.",
        "Buka di Excel atau LibreOffice, lalu simpan sebagai CSV UTF-8.",
        "Open it in Excel or LibreOffice and save it as CSV UTF-8.",
    )


def damaged() -> Problem:
    """Cut short or otherwise broken."""
    return Problem(
        "FILE_DAMAGED",
        "Berkas rusak atau terpotong.",
        "The file is damaged or cut short.",
        _AGAIN_ID,
        _AGAIN_EN,
    )


def forbidden_xml() -> Problem:
    """Declares XML entities, which no spreadsheet program writes and which can blow up a reader."""
    return Problem(
        "FORBIDDEN_XML",
        "Berkas memuat deklarasi XML yang berbahaya dan tidak pernah dibuat oleh program lembar kerja.",
        "The file holds dangerous XML declarations that no spreadsheet program writes.",
        f"Jangan buka berkas ini. {_AGAIN_ID}",
        f"Do not open this file. {_AGAIN_EN}",
    )


def formula(place: str) -> Problem:
    """A formula instead of a value: what it shows depends on the program that opens it."""
    return Problem(
        "FORMULA",
        f"Sel {place} berisi rumus; isinya bergantung pada program yang membukanya.",
        f"Cell {place} holds a formula; what it says depends on the program that opens it.",
        "Salin seluruh lembar, tempel sebagai nilai (Paste Values), lalu simpan.",
        "Copy the whole sheet, paste it as values, and save.",
    )


def wrong_header(missing: tuple[str, ...]) -> Problem:
    """No row with the columns that a roster must have."""
    columns = ", ".join(missing)
    return Problem(
        "WRONG_HEADER",
        f"Baris judul kolom tidak lengkap; tidak ditemukan: {columns}.",
        f"The header row is incomplete; not found: {columns}.",
        "Gunakan ekspor Daftar Guru/PTK Dapodik apa adanya (judul kolom di baris 5).",
        "Use Dapodik's staff export as it is (header in row 5).",
    )


def wrong_schools_header(missing: tuple[str, ...]) -> Problem:
    """The schools file lacks columns."""
    columns = ", ".join(missing)
    return Problem(
        "WRONG_SCHOOLS_HEADER",
        f"Baris pertama berkas sekolah tidak memuat kolom: {columns}.",
        f"The first line of the schools file lacks the columns: {columns}.",
        "Lihat contoh berkas sekolah di docs/roster.md.",
        "See the sample in docs/roster.md.",
    )


def no_school() -> Problem:
    """Neither a column nor a title row says which school the rows belong to."""
    return Problem(
        "NO_SCHOOL",
        "Berkas tidak menyebut sekolah: tidak ada kolom NPSN dan tidak ada NPSN di baris-baris judul.",
        "The file names no school: no NPSN column and no NPSN in the title rows.",
        "Tambahkan teks seperti 'NPSN 50203000' pada salah satu baris di atas judul kolom.",
        "Write a text such as 'NPSN 50203000' into a row above the header.",
    )


def too_many_rows(limit: int) -> Problem:
    """More rows than one import takes."""
    return Problem(
        "TOO_MANY_ROWS",
        f"Terlalu banyak baris; paling banyak {limit:,}.".replace(",", "."),
        f"Too many rows; at most {limit:,}.",
        "Impor per kecamatan, atau hapus baris kosong di bawah data.",
        "Import one district at a time, or delete the empty rows below the data.",
    )


def no_rows() -> Problem:
    """A header and nothing below it."""
    return Problem(
        "NO_ROWS",
        "Tidak ada satu pun baris data di bawah judul kolom.",
        "There is not one row of data below the header.",
        _AGAIN_ID,
        _AGAIN_EN,
    )


def bad_schools(findings: tuple[tuple[int, str, str], ...]) -> Problem:
    """Lines of the schools file that are wrong: (line, Bahasa Indonesia, English). The first ten are told."""
    told_id = "; ".join(f"baris {line}: {words}" for line, words, _ in findings[:10])
    told_en = "; ".join(f"line {line}: {words}" for line, _, words in findings[:10])
    more = len(findings) - 10
    return Problem(
        "BAD_SCHOOLS",
        f"Berkas sekolah salah: {told_id}" + (f"; dan {more} lagi." if more > 0 else "."),
        f"The schools file is wrong: {told_en}" + (f"; and {more} more." if more > 0 else "."),
        "Betulkan semua baris itu; pagar sekolah yang salah membuat semua gurunya tercatat di luar sekolah.",
        "Correct all of these lines; with a wrong fence, all of a school's teachers appear outside of it.",
    )
