"""The read model: people, schools, taps, assessed days, roll calls; the outbox and the poison table."""

from alembic import op
from alembic.operations import Operations

from chassis.migrations import create_outbox, create_poison, grant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "reporting"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE reporting.schools (
            regency       text     NOT NULL,
            npsn          text     NOT NULL,
            version       bigint   NOT NULL,
            name          text     NOT NULL,
            district_code text     NOT NULL,
            district      text     NOT NULL,
            week_days     smallint NOT NULL,
            PRIMARY KEY (regency, npsn)
        )
        """
    )
    op.execute("CREATE INDEX schools_district ON reporting.schools (regency, district_code)")
    op.execute(
        """
        -- version 0: a tap came before its person; the row holds the place that assessments lock.
        CREATE TABLE reporting.people (
            regency     text        NOT NULL,
            person_id   uuid        NOT NULL,
            version     bigint      NOT NULL,
            nip         text        NOT NULL,
            name        text        NOT NULL,
            npsn        text        NOT NULL,
            active      boolean     NOT NULL,
            known_since timestamptz NOT NULL,
            PRIMARY KEY (regency, person_id)
        )
        """
    )
    op.execute("CREATE INDEX people_npsn ON reporting.people (regency, npsn)")
    op.execute(
        """
        -- flags: bit n stands for flag number n.
        CREATE TABLE reporting.taps (
            regency        text        NOT NULL,
            tap_id         uuid        NOT NULL,
            person_id      uuid        NOT NULL,
            device_id      uuid,
            npsn           text        NOT NULL,
            slot           smallint    NOT NULL,
            work_date      date        NOT NULL,
            official_time  timestamptz NOT NULL,
            arrival_time   timestamptz NOT NULL,
            stored_time    timestamptz NOT NULL,
            time_grade     smallint    NOT NULL,
            verdict        smallint    NOT NULL,
            minutes        integer     NOT NULL,
            minutes_class  smallint    NOT NULL,
            flags          bigint      NOT NULL,
            policy_version integer     NOT NULL,
            practice       boolean     NOT NULL,
            network_type   smallint    NOT NULL,
            strength_dbm   smallint,
            PRIMARY KEY (regency, tap_id)
        )
        """
    )
    op.execute("CREATE INDEX taps_day ON reporting.taps (regency, work_date, person_id)")
    op.execute(
        """
        -- A slot without duty that day has a null result. due_at: when time alone decides the day again.
        CREATE TABLE reporting.days (
            regency           text        NOT NULL,
            work_date         date        NOT NULL,
            person_id         uuid        NOT NULL,
            npsn              text        NOT NULL,
            status_code       text        NOT NULL,
            in_result         smallint,
            in_tap_id         uuid,
            in_official_time  timestamptz,
            in_minutes        integer     NOT NULL,
            in_class          smallint    NOT NULL,
            in_flags          bigint      NOT NULL,
            in_flagged        boolean     NOT NULL,
            out_result        smallint,
            out_tap_id        uuid,
            out_official_time timestamptz,
            out_minutes       integer     NOT NULL,
            out_class         smallint    NOT NULL,
            out_flags         bigint      NOT NULL,
            out_flagged       boolean     NOT NULL,
            policy_version    integer     NOT NULL,
            reason            text        NOT NULL,
            due_at            timestamptz,
            revision          bigint      NOT NULL,
            assessed_at       timestamptz NOT NULL,
            PRIMARY KEY (regency, work_date, person_id)
        ) WITH (fillfactor = 85)
        """
    )
    op.execute("CREATE INDEX days_person ON reporting.days (regency, person_id, work_date)")
    op.execute("CREATE INDEX days_due ON reporting.days (regency, due_at) WHERE due_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE reporting.roll_calls (
            regency   text        NOT NULL,
            work_date date        NOT NULL,
            week_days smallint    NOT NULL,
            done_at   timestamptz NOT NULL,
            PRIMARY KEY (regency, work_date, week_days)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE reporting.auth_keys (
            regency    text        NOT NULL,
            kid        text        NOT NULL,
            jwk        jsonb       NOT NULL,
            fetched_at timestamptz NOT NULL,
            PRIMARY KEY (regency, kid)
        )
        """
    )
    operations = Operations(op.get_context())
    for table in ("schools", "people", "taps", "days", "roll_calls", "auth_keys"):
        grant(operations, SCHEMA, table)
    create_outbox(operations, SCHEMA)
    create_poison(operations, SCHEMA)
