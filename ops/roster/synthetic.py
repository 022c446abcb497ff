"""A made-up regency: people and schools in the very layout that Dapodik exports, for demonstrations and measurements.
Owner: ops/roster.

It is written as files and imported like any other roster, so that a demonstration exercises the real path. Every row
is acceptable; some are untidy, as real ones are. The same seed and size make the same regency, byte for byte. Names
are combined at random; numbers have the real structure and belong to nobody known.
"""

import csv
import datetime as dt
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.roster.schools import COLUMNS as SCHOOL_COLUMNS
from ops.roster.synthetic_names import DEGREES, FEMALE, LAST, MALE

PEOPLE_PER_SCHOOL = 11
"""As in Lombok Tengah: some 6,500 teachers, 590 schools."""

# Districts of Lombok Tengah (52.02) with about where they lie: latitude, longitude.
_DISTRICTS = (
    ("52.02.01", "Praya", -8.71, 116.27),
    ("52.02.02", "Jonggat", -8.66, 116.22),
    ("52.02.03", "Batukliang", -8.62, 116.33),
    ("52.02.04", "Pujut", -8.83, 116.30),
    ("52.02.05", "Praya Barat", -8.78, 116.21),
    ("52.02.06", "Praya Timur", -8.77, 116.38),
    ("52.02.07", "Janapria", -8.70, 116.40),
    ("52.02.08", "Pringgarata", -8.61, 116.24),
    ("52.02.09", "Kopang", -8.64, 116.36),
    ("52.02.10", "Praya Tengah", -8.73, 116.31),
    ("52.02.11", "Praya Barat Daya", -8.76, 116.16),
    ("52.02.12", "Batukliang Utara", -8.56, 116.34),
)
_TITLES = (
    "Daftar Guru dan Tenaga Kependidikan",
    "Kabupaten Lombok Tengah (DATA REKAAN / SYNTHETIC)",
    "Provinsi Nusa Tenggara Barat",
    "Tanggal unduh: 2023-07-14",
)
HEADER = (
    "No", "Nama", "NUPTK", "JK", "Tempat Lahir", "Tanggal Lahir", "NIP", "Status Kepegawaian", "Jenis PTK", "Agama",
    "Alamat Jalan", "RT", "RW", "Nama Dusun", "Desa/Kelurahan", "Kecamatan", "Kode Pos", "Telepon", "HP", "Email",
    "Tugas Tambahan", "SK CPNS", "Tanggal CPNS", "SK Pengangkatan", "TMT Pengangkatan", "Lembaga Pengangkatan",
    "Pangkat Golongan", "Sumber Gaji", "Nama Ibu Kandung", "Status Perkawinan", "Nama Suami/Istri",
    "NIP Suami/Istri", "Pekerjaan Suami/Istri", "TMT PNS", "Sudah Lisensi Kepala Sekolah",
    "Pernah Diklat Kepengawasan", "Keahlian Braille", "Keahlian Bahasa Isyarat", "NPWP", "Nama Wajib Pajak",
    "Kewarganegaraan", "Bank", "Nomor Rekening Bank", "Rekening Atas Nama", "NIK", "No KK", "Karpeg", "Karis/Karsu",
    "Lintang", "Bujur", "NUKS", "NPSN", "Tempat Tugas",
)  # fmt: skip
"""Dapodik's columns, in its order."""


@dataclass(frozen=True, slots=True)
class Regency:
    """What to make.

    Attributes:
        people: how many, 1..200,000.
        seed: the same seed makes the same regency.
    """

    people: int
    seed: int = 52_02


@dataclass(frozen=True, slots=True)
class _School:
    npsn: str
    name: str
    level: str
    district_code: str
    district: str
    latitude: float
    longitude: float
    fence_radius_m: int
    week_days: int


def write_regency(regency: Regency, directory: Path) -> tuple[Path, Path]:
    """Write `roster.csv` and `schools.csv` into a directory, which is made if need be; they replace older ones.

    Returns:
        The paths of the roster and of the list of schools.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # A simulation wants repeatable numbers, not secret ones.
    chance = random.Random(regency.seed)  # noqa: S311
    schools = _schools(chance, max(1, min(regency.people, round(regency.people / PEOPLE_PER_SCHOOL))))
    roster_path, schools_path = directory / "roster.csv", directory / "schools.csv"
    with schools_path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(SCHOOL_COLUMNS)
        writer.writerows([getattr(school, column) for column in SCHOOL_COLUMNS] for school in schools)
    with roster_path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([title] for title in _TITLES)
        writer.writerow(HEADER)
        writer.writerows(_people(chance, regency.people, schools))
    return roster_path, schools_path


def _schools(chance: random.Random, count: int) -> list[_School]:
    schools = []
    for index in range(count):
        code, district, latitude, longitude = _DISTRICTS[index % len(_DISTRICTS)]
        level = "SMP" if index % 8 == 7 else "SD"
        serial = index // len(_DISTRICTS) + 1
        # Some two kilometres around the district's middle.
        north, east = chance.gauss(0, 0.018), chance.gauss(0, 0.018)
        schools.append(
            _School(
                npsn=f"{50_290_000 + index:08}",
                name=f"{level} NEGERI {serial} {district.upper()}",
                level=level,
                district_code=code,
                district=district,
                latitude=round(latitude + north, 6),
                longitude=round(longitude + east, 6),
                fence_radius_m=chance.choice((75, 100, 100, 150, 250)),
                week_days=5 if level == "SMP" else chance.choice((5, 6, 6)),
            )
        )
    return schools


def _people(chance: random.Random, count: int, schools: list[_School]) -> Iterator[list[str]]:
    taken: set[str] = set()
    # Schools differ in size; each has at least its head.
    weights = [math.exp(chance.gauss(0, 0.4)) for _ in schools]
    others = sorted(chance.choices(range(len(schools)), weights=weights, k=count - len(schools)))
    places = sorted([*range(len(schools)), *others])
    before = -1
    for number, place in enumerate(places, start=1):
        values = _person(chance, taken, head=place != before)
        before = place
        school = schools[place]
        values |= {
            "No": str(number),
            "Kecamatan": school.district,
            "NPSN": school.npsn,
            "Tempat Tugas": school.name,
        }
        yield [values.get(column, "") for column in HEADER]


def _person(chance: random.Random, taken: set[str], *, head: bool) -> dict[str, str]:
    male = chance.random() < 0.48
    contract = chance.random() < 0.36 and not head
    born = dt.date(1964, 1, 1) + dt.timedelta(days=chance.randrange(365 * 36))
    nip = _nip(chance, taken, born, male=male, contract=contract)
    duty = "Kepala Sekolah" if head else chance.choice(["", "", "", "", "Bendahara BOS"])
    if not head and chance.random() < 0.02:
        duty = "Operator Sekolah"
    name = _name(chance, male=male)
    untidy = chance.random()
    if untidy < 0.002:
        name, nip = f"  {name.lower()} ", f"'{nip[:8]} {nip[8:14]} {nip[14]} {nip[15:]}"
    elif untidy < 0.004:
        name = name.upper()
    return {
        "Nama": name,
        "NUPTK": f"{chance.randrange(10**15, 10**16)}" if chance.random() < 0.85 else "",
        "JK": "L" if male else "P",
        "Tempat Lahir": "Praya",
        "Tanggal Lahir": born.isoformat(),
        "NIP": nip,
        "Status Kepegawaian": "PPPK" if contract else "PNS",
        "Jenis PTK": "Kepala Sekolah" if head else chance.choice(("Guru Kelas", "Guru Mapel", "Guru BK")),
        "HP": f"08{chance.choice((12, 13, 17, 19, 52, 77, 78, 81, 87, 95))}{chance.randrange(10**8):08}",
        "Tugas Tambahan": duty,
        "Kewarganegaraan": "ID",
    }


def _nip(chance: random.Random, taken: set[str], born: dt.date, *, male: bool, contract: bool) -> str:
    while True:
        year = chance.randint(2021, 2024) if contract else min(2023, born.year + chance.randint(22, 34))
        # 21 stands where a civil servant's month would: contract staff have none.
        month = 21 if contract else chance.randint(1, 12)
        nip = f"{born:%Y%m%d}{year}{month:02}{1 if male else 2}{chance.randint(1, 999):03}"
        if nip not in taken:
            taken.add(nip)
            return nip


def _name(chance: random.Random, *, male: bool) -> str:
    first, last = chance.choice(MALE if male else FEMALE), chance.choice(LAST)
    noble = ("Lalu " if male else "Baiq ") if chance.random() < 0.12 else ""
    pilgrim = ("H. " if male else "Hj. ") if chance.random() < 0.05 else ""
    degree = f", {chance.choice(DEGREES)}" if chance.random() < 0.75 else ""
    return f"{pilgrim}{noble}{first} {last}{degree}"
