"""Tidying a person's name without changing whose name it is. Owner: auth.

Rosters hold names in capitals, in small letters, with spreadsheet marks and odd spaces, and with degrees
whose capitals matter ("S.Pd", "dr." a physician, "Dr." a doctor of something). Only a name written wholly in
one case is recased; one that its writer cased is kept.
"""

import re
import unicodedata

NAME_MAX = 150
"""The longest name in characters after tidying. Longest seen in the sample roster: 43."""

_QUOTES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bb\u02bc`\u00b4\u2032\uff07", "'"))
# The words of address and degrees that stand before an Indonesian name, as they are written.
_BEFORE_AS_WRITTEN = """
    dr. drg. Dr. Drs. Dra. Ir. Prof. H. Hj. KH. TGH. Tgk. Ust. Ns. R. R.A. R.M. R.R. Rr. Dt. Pdt. St.
"""
_AFTER_AS_WRITTEN = """
    A.Ma A.Ma.Pd A.Md A.Md.Pd A.Md.Keb A.Md.Kom S.Ag S.E S.E.I S.Sy S.Farm S.Fil S.Gz S.H S.H.I S.Hum S.Hut
    S.I.Kom S.IP S.IPI S.Kep S.Keb S.Ked S.KM S.Kom S.Kom.I S.Mat S.Or S.P S.Par S.Pd S.Pd.I S.Pd.H S.Pd.SD
    S.Pd.AUD S.Psi S.Pt S.S S.Si S.Sn S.Sos S.Sos.I S.ST S.STP S.T S.Th S.Th.I S.TP S.Tr.Kom M.A M.Ag M.Ak M.E
    M.E.I M.Farm M.H M.Hum M.I.Kom M.Kes M.Kom M.M M.M.Pd M.P M.Pd M.Pd.I M.Pd.H M.Pd.B M.Phil M.Psi M.Sc M.Si
    M.Sn M.Sos M.T M.TI M.TPd M.Ed B.A B.Sc Ph.D Lc Gr Ak CA
"""


def _by_letters(titles: str) -> dict[str, str]:
    return {title.lower().replace(".", ""): title for title in titles.split()}


# "dr." and "Dr." share their letters; `_recased` lets the case that was written decide.
_BEFORE = _by_letters(_BEFORE_AS_WRITTEN)
_AFTER = _by_letters(_AFTER_AS_WRITTEN)


def clean_name(text: str) -> str:
    """The name as it is stored and shown: composed, single spaces, plain apostrophes, sensible capitals.

    Idempotent. May return the empty string; whether that is acceptable is the caller's to say.
    """
    tidy = tidy_text(text).translate(_QUOTES)
    # A leading apostrophe is how spreadsheets mark text; no Indonesian name begins with one.
    tidy = tidy.lstrip("' ,")
    parts = [part for part in (re.sub(r"\s*\.", ".", part).strip() for part in tidy.split(",")) if part]
    if not parts:
        return ""
    core = _core(parts[0])
    return unicodedata.normalize("NFC", ", ".join([core, *(_degrees(part) for part in parts[1:])]))


def tidy_text(text: str) -> str:
    """Composed (NFC), every run of white space one space, no control or invisible characters. Idempotent."""
    kept = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C"
    )
    return unicodedata.normalize("NFC", " ".join(kept.split()))


def odd_characters(name: str) -> str:
    """The characters of a cleaned name that no name holds, each once. Digits count as sound."""
    return "".join(
        dict.fromkeys(
            c
            for c in name
            if unicodedata.category(c)[0] not in "LM" and not c.isdecimal() and c not in " .,'-/()"
        )
    )


def _one_case(text: str) -> bool:
    return text in (text.lower(), text.upper())


def _core(text: str) -> str:
    return " ".join(_recased(word) for word in text.split()) if _one_case(text) else text


def _recased(word: str) -> str:
    key = word.lower().replace(".", "")
    if word.endswith(".") and key in _BEFORE:
        return "dr." if word == "dr." else _with_case_of(word, _BEFORE[key])
    if "." in word and key in _AFTER:
        return _with_case_of(word, _AFTER[key])
    return re.sub(r"[^\W\d_]+('[^\W\d_]+)*", lambda found: _capital(found[0][0]) + found[0][1:].lower(), word)


def _degrees(text: str) -> str:
    # "S. Pd" is one degree; "S.Pd. M.Pd" is two.
    joined = re.sub(r"(?<![^\s.])([^\W\d_]\.)\s+(?=[^\W\d_])", r"\1", text)
    return " ".join(_degree(word) for word in joined.split())


def _degree(word: str) -> str:
    canonical = _AFTER.get(word.lower().replace(".", ""))
    if canonical is not None:
        return _with_case_of(word, canonical)
    if word == word.lower():
        return re.sub(r"(?<![^\W\d_])[^\W\d_]", lambda found: _capital(found[0]), word)
    return word


def _capital(letter: str) -> str:
    # A few letters (ligatures) have no single capital; they stay, or a second cleaning would differ.
    return letter.title() if len(letter.title()) == 1 else letter


def _with_case_of(word: str, canonical: str) -> str:
    """The word's own dots with the canonical form's capitals."""
    letters = iter(canonical.replace(".", ""))
    return "".join(c if c == "." else next(letters) for c in word)
