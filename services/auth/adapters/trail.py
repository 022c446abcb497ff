"""The trail: who did what, when, to whom and why; written with the act, never changed. Owner: auth."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.statements import statement
from services.auth.application.ports import TrailEntry

_ADD: Final = statement(
    """
    INSERT INTO auth.trail (regency, at, actor, unit, action, person_id, npsn, reason, people)
    VALUES (:regency, :at, :actor, :unit, :action, :person_id, :npsn, :reason, :people)
    """,
    regency="text",
    at="time",
    actor="text",
    unit="text",
    action="text",
    person_id="uuid",
    npsn="text",
    reason="text",
    people="int",
)


async def write_trail(connection: AsyncConnection, regency: str, entry: TrailEntry) -> None:
    """Add an entry in the caller's transaction."""
    await connection.execute(
        _ADD,
        {
            "regency": regency,
            "at": entry.at,
            "actor": entry.actor,
            "unit": entry.unit,
            "action": entry.action,
            "person_id": entry.person_id,
            "npsn": entry.npsn,
            "reason": entry.reason,
            "people": entry.count,
        },
    )
