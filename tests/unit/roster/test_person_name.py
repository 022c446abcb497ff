"""Names are tidied without changing whose they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.person_name import clean_name, odd_characters


@pytest.mark.parametrize(
    ("found", "clean"),
    [
        ("  aurora nashiruddin ", "Aurora Nashiruddin"),
        ("  kenzie ramadan, s.ip ", "Kenzie Ramadan, S.IP"),
        ("SITI NUR'AINI,S.PD.I,M.PD", "Siti Nur'aini, S.Pd.I, M.Pd"),
        ("DR. H. LALU MUHAMMAD, S. PD., M.M.", "Dr. H. Lalu Muhammad, S.Pd., M.M."),
        ("dr. wira santoso", "dr. Wira Santoso"),
        ("drg. Ulya Pradana, S.Kom", "drg. Ulya Pradana, S.Kom"),
        ("dr. Jono Samosir", "dr. Jono Samosir"),
        ("Dr. Diah Mandasari, S.E.", "Dr. Diah Mandasari, S.E."),
        ("R.A. Najwa Zulaika", "R.A. Najwa Zulaika"),
        ("r.a. kartini", "R.A. Kartini"),
        ("H. Martaka Jailani, M.TI.", "H. Martaka Jailani, M.TI."),
        ("SITI AMINAH S.PD", "Siti Aminah S.Pd"),
        ("siti aminah, S.Pd. M.Pd", "Siti Aminah, S.Pd. M.Pd"),
        ("baiq nurul-hidayah", "Baiq Nurul-Hidayah"),
        ("'MA’RUF", "Ma'ruf"),
        ("Jose\u0301", "Jos\u00e9"),
        ("Ni\u00a0Luh\u200b  Putu , S.Ag ,", "Ni Luh Putu, S.Ag"),
        ("McDonald van der Berg", "McDonald van der Berg"),
        ("Made, Sp.xyz", "Made, Sp.xyz"),
        ("made, xy.z", "Made, Xy.Z"),
        (" ' , ", ""),
        ("", ""),
    ],
)
def test_cleaned(found: str, clean: str) -> None:
    assert clean_name(found) == clean


@given(st.text(max_size=60) | st.text(alphabet="aAbB.,' -drSPs\u00df\u0130\u01c4\u1e9e\ufb01", max_size=30))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean_name(text)
    assert clean_name(once) == once
    assert once == once.strip()
    assert not any(c in once for c in "\n\t\u200b\u00a0")


def test_characters_that_no_name_has_are_told_once() -> None:
    assert odd_characters("Siti <b>Aminah</b>=1") == "<>="
    assert odd_characters("Ma'ruf-Ahmad (Alm.), S.Pd/M.Pd 2") == ""
