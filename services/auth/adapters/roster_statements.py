"""The statements of an import. Owner: auth."""

from typing import Final

from services.auth.adapters.rows import COLUMNS
from services.auth.adapters.statements import statement

KNOWN_SCHOOLS: Final = statement(
    "SELECT {school} FROM auth.schools s WHERE s.regency = :regency", COLUMNS, regency="text"
)

ONE_AT_A_TIME: Final = statement("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))", name="text")


def _columns(types: dict[str, str], key: str) -> dict[str, str]:
    """Parts of an upsert that writes only what differs.

    Args:
        types: the columns that come from outside.
        key: those of them that are not overwritten.
    """
    content = [name for name in types if name not in key.split()]
    return {
        "columns": ", ".join(types),
        "given": ", ".join(f":{name}" for name in types),
        "values": ", ".join(f"c.{name}" for name in types),
        "content": ", ".join(f"{name} = excluded.{name}" for name in content),
        "present": ", ".join(f"t.{name}" for name in content),
        "coming": ", ".join(f"excluded.{name}" for name in content),
    }


_SCHOOL_TYPES: Final = {
    "npsn": "text[]",
    "name": "text[]",
    "level": "text[]",
    "district_code": "text[]",
    "district": "text[]",
    "latitude": "float[]",
    "longitude": "float[]",
    "fence_radius_m": "float[]",
    "week_days": "int[]",
}

UPSERT_SCHOOLS: Final = statement(
    """
    INSERT INTO auth.schools AS t (regency, {columns}, version, updated_at)
    SELECT :regency, {values}, 1, :now FROM unnest({given}) AS c ({columns})
    ORDER BY c.npsn
    ON CONFLICT (regency, npsn) DO UPDATE
    SET {content}, version = t.version + 1, updated_at = excluded.updated_at
    WHERE ({present}) IS DISTINCT FROM ({coming})
    RETURNING t.npsn
    """,
    _columns(_SCHOOL_TYPES, "npsn"),
    regency="text",
    now="time",
    **_SCHOOL_TYPES,
)

PERSON_TYPES: Final = {
    "person_id": "uuid[]",
    "staff_number": "text[]",
    "staff_number_kind": "text[]",
    "name": "text[]",
    "nuptk": "text[]",
    "employment_status": "text[]",
    "staff_kind": "text[]",
    "extra_duty": "text[]",
    "phone": "text[]",
    "npsn": "text[]",
}

UPSERT_PEOPLE: Final = statement(
    """
    INSERT INTO auth.people AS t (regency, {columns}, active, version, created_at, updated_at)
    SELECT :regency, {values}, true, 1, :now, :now FROM unnest({given}) AS c ({columns})
    ORDER BY c.staff_number
    ON CONFLICT (regency, staff_number) DO UPDATE
    SET {content}, version = t.version + 1, updated_at = excluded.updated_at
    WHERE ({present}) IS DISTINCT FROM ({coming})
    RETURNING t.staff_number, t.person_id
    """,
    _columns(PERSON_TYPES, "person_id staff_number"),
    regency="text",
    now="time",
    **PERSON_TYPES,
)

_GRANT_TYPES: Final = {
    "regency": "text",
    "numbers": "text[]",
    "roles": "text[]",
    "units": "text[]",
    "today": "date",
}

END_GRANTS: Final = statement(
    """
    WITH wanted AS MATERIALIZED (
        SELECT p.person_id, c.role, c.unit
        FROM unnest(:numbers, :roles, :units) AS c (staff_number, role, unit)
        JOIN auth.people p ON p.regency = :regency AND p.staff_number = c.staff_number
    )
    UPDATE auth.grants g SET valid_to = :today
    FROM auth.people p
    WHERE g.regency = :regency AND g.from_roster AND g.valid_to IS NULL
      AND p.regency = g.regency AND p.person_id = g.person_id AND p.staff_number = ANY (:everyone)
      AND NOT EXISTS (SELECT FROM wanted w
                      WHERE w.person_id = g.person_id AND w.role = g.role AND w.unit = g.unit)
    """,
    everyone="text[]",
    **_GRANT_TYPES,
)

START_GRANTS: Final = statement(
    """
    INSERT INTO auth.grants
        (regency, grant_id, person_id, role, unit, valid_from, from_roster, granted_by, granted_at)
    SELECT :regency, c.grant_id, p.person_id, c.role, c.unit, :today, true, 'roster', :now
    FROM unnest(:ids, :numbers, :roles, :units) AS c (grant_id, staff_number, role, unit)
    JOIN auth.people p ON p.regency = :regency AND p.staff_number = c.staff_number
    WHERE NOT EXISTS (SELECT FROM auth.grants g
                      WHERE g.regency = :regency AND g.person_id = p.person_id AND g.from_roster
                        AND g.role = c.role AND g.unit = c.unit AND g.valid_to IS NULL)
    """,
    ids="uuid[]",
    now="time",
    **_GRANT_TYPES,
)

PEOPLE_OF_SCHOOLS: Final = statement(
    """
    SELECT {person}, {school}
    FROM auth.people p JOIN auth.schools s ON s.regency = p.regency AND s.npsn = p.npsn
    WHERE p.regency = :regency AND p.person_id > :after AND p.npsn = ANY (:schools)
    ORDER BY p.person_id LIMIT :most
    """,
    COLUMNS,
    regency="text",
    after="uuid",
    schools="text[]",
    most="int",
)

PEOPLE_OF_OTHER_SCHOOLS: Final = statement(
    """
    SELECT {person}, {school}
    FROM auth.people p JOIN auth.schools s ON s.regency = p.regency AND s.npsn = p.npsn
    WHERE p.regency = :regency AND p.person_id = ANY (:people) AND p.npsn <> ALL (:schools)
    """,
    COLUMNS,
    regency="text",
    schools="text[]",
    people="uuid[]",
)
