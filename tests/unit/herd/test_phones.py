import stat
import time
from pathlib import Path

from ops.herd.enrolment import usable_phones
from ops.herd.phones import PendingPhone, Phone, PhoneBook, PhoneKey


def a_phone(person_id: str, not_after: float = 2e9) -> Phone:
    return Phone(
        person_id=person_id,
        device_id="d" + person_id,
        key=PhoneKey.make(),
        certificate="a.b.c",
        not_after=not_after,
    )


def pending(person_id: str) -> PendingPhone:
    return PendingPhone(person_id=person_id, nip="1", code="ABCD", key=PhoneKey.make())


def test_what_was_added_is_there_again_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "herd" / "phones.jsonl"
    book, first, second = PhoneBook(path), a_phone("1"), pending("2")
    book.add([first, second])
    again = PhoneBook(path)

    assert again.enrolled == {"1": first} == book.enrolled
    assert again.pending == {"2": second} == book.pending
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_enrolment_replaces_what_was_pending(tmp_path: Path) -> None:
    path = tmp_path / "phones.jsonl"
    PhoneBook(path).add([pending("1")])
    phone = a_phone("1")
    PhoneBook(path).add([phone])

    assert PhoneBook(path).enrolled == {"1": phone}
    assert not PhoneBook(path).pending


def test_a_killed_run_costs_at_most_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "phones.jsonl"
    first, second = a_phone("1"), a_phone("2")
    PhoneBook(path).add([first, second])
    path.write_bytes(path.read_bytes()[:-40])
    third = a_phone("3")
    PhoneBook(path).add([third])

    assert PhoneBook(path).enrolled == {"1": first, "3": third}


def test_a_certificate_that_ends_soon_is_of_no_use(tmp_path: Path) -> None:
    book = PhoneBook(tmp_path / "phones.jsonl")
    book.add([a_phone("1"), a_phone("2", not_after=time.time() + 60), pending("3")])

    assert usable_phones(book) == {"1", "3"}


def test_secrets_stay_out_of_texts() -> None:
    phone, waiting = a_phone("1"), pending("2")
    for text in (repr(phone), repr(waiting)):
        assert "a.b.c" not in text
        assert "ABCD" not in text
    assert repr(phone.key) == "PhoneKey()"
