"""The statement's text; that it applies only newer versions is tried on PostgreSQL in the integration tests."""

import pytest

from chassis.upsert import upsert_newer

COLUMNS = {"regency": "text", "id": "uuid", "name": "text", "version": "bigint"}


def test_binds_are_named_as_the_columns_and_the_key_is_never_updated() -> None:
    statement = upsert_newer("checkin.things", key=["regency", "id"], columns=COLUMNS)
    assert set(statement.compile().params) == set(COLUMNS)
    text = str(statement)
    assert "ON CONFLICT (regency, id)" in text
    assert "SET name = EXCLUDED.name, version = EXCLUDED.version WHERE" in text


@pytest.mark.parametrize(
    ("table", "key", "columns"),
    [
        ("checkin.things; --", ["id"], COLUMNS),
        ("checkin.things", ["other"], COLUMNS),
        ("checkin.things", ["id"], {"id": "uuid"}),
        ("checkin.things", ["id"], {**COLUMNS, "na me": "text"}),
    ],
)
def test_what_is_no_name_or_has_no_type_is_refused(
    table: str, key: list[str], columns: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"identifier|no type"):
        upsert_newer(table, key=key, columns=columns)
