"""Revoked devices, as DeviceChanged tells them: what they ask with their certificate is refused."""

from alembic import op
from alembic.operations import Operations

from chassis.migrations import grant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        -- noted_at: by this server's clock, so that every replica finds what another one wrote down.
        CREATE TABLE reporting.revoked_devices (
            regency    text        NOT NULL,
            device_id  uuid        NOT NULL,
            revoked_at timestamptz NOT NULL,
            noted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (regency, device_id)
        )
        """
    )
    op.execute("CREATE INDEX revoked_devices_noted ON reporting.revoked_devices (regency, noted_at)")
    op.execute("CREATE INDEX revoked_devices_revoked ON reporting.revoked_devices (regency, revoked_at)")
    grant(Operations(op.get_context()), "reporting", "revoked_devices")
