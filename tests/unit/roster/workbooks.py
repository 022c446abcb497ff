"""Makes roster files for the tests, sound and hostile ones; each in a few lines of the format itself."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl

TITLES = ("Daftar Guru", "SD NEGERI 1 PRAYA", "Kecamatan Praya, NPSN 50203000", "Tanggal unduh: 2023-07-14")
HEADER = (
    "No",
    "Nama",
    "NUPTK",
    "NIP",
    "Status Kepegawaian",
    "Jenis PTK",
    "Tugas Tambahan",
    "HP",
    "NIK",
    "Bank",
    "NPSN",
)
SITI = (1, "Siti Aminah", "1234567890123456", "198001012006042001", "PNS", "Guru Kelas", None, "081234567890",
        "5202000000000001", "BANK", "50203000")  # fmt: skip


def save_book(
    path: Path,
    rows: Sequence[Sequence[object]],
    header: Sequence[str] = HEADER,
    titles: Sequence[str] = TITLES,
) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for title in titles:
        sheet.append([title])
    sheet.append(list(header))
    for row in rows:
        sheet.append(list(row))
    book.save(path)
    return path


def rewrite(path: Path, part: str, old: bytes, new: bytes) -> Path:
    """Replaces bytes inside a part of a zip file."""
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path
