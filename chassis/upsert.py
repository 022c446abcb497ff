"""The statement that applies only a newer version of an aggregate, for consumers of events that may come late or twice.

Owner: the chassis.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import TextClause, text

from chassis.database import identifier


def upsert_newer(
    table: str, *, key: Sequence[str], columns: Mapping[str, str], version: str = "version"
) -> TextClause:
    """One INSERT ... ON CONFLICT for a whole batch, which changes a row only when the event's version is greater.

    Bind one array per column, all of one length, named as the columns. Of the same key twice in a batch the greatest
    version counts (PostgreSQL refuses to touch a row twice). Rows are taken in the key's order, so that two replicas
    do not deadlock. It returns the keys that were changed: what follows from a change need be done for these only.

    Args:
        table: `schema.table`; its primary key or a unique index is `key`.
        key: the aggregate's key columns.
        columns: PostgreSQL type of every column but arrays, key and version included.
        version: the column that holds the aggregate's version, ascending.

    Raises:
        ValueError: a name is no plain identifier, a key or the version has no type, or nothing is left to update.
    """
    name = ".".join(identifier(part) for part in table.split("."))
    missing = [column for column in (*key, version) if column not in columns]
    if missing:
        raise ValueError(f"no type for {missing}")
    all_columns = [identifier(column) for column in columns]
    casts = ", ".join(f"CAST(:{column} AS {kind}[])" for column, kind in columns.items())
    changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in all_columns if column not in key)
    keys, listed = ", ".join(key), ", ".join(all_columns)
    return text(
        f"INSERT INTO {name} AS present ({listed})"  # noqa: S608 - identifier(), and types are the caller's constants
        f" SELECT DISTINCT ON ({keys}) {listed} FROM unnest({casts}) AS came ({listed})"
        f" ORDER BY {keys}, {version} DESC"
        f" ON CONFLICT ({keys}) DO UPDATE SET {changes} WHERE present.{version} < EXCLUDED.{version}"
        f" RETURNING {', '.join(f'present.{column}' for column in key)}"
    )
