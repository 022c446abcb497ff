"""People, schools, devices, activation codes, challenges, grants, trail, outbox."""

from alembic import op
from alembic.operations import Operations

from chassis.migrations import create_outbox, grant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE auth.schools (
            regency        text             NOT NULL CHECK (regency ~ '^[0-9]{4}$'),
            npsn           text             NOT NULL,
            name           text             NOT NULL,
            level          text             NOT NULL,
            district_code  text             NOT NULL,
            district       text             NOT NULL,
            latitude       double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
            longitude      double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
            fence_radius_m double precision NOT NULL CHECK (fence_radius_m BETWEEN 1 AND 50000),
            week_days      smallint         NOT NULL CHECK (week_days IN (5, 6)),
            version        bigint           NOT NULL,
            updated_at     timestamptz      NOT NULL,
            PRIMARY KEY (regency, npsn)
        )
        """
    )
    op.execute("CREATE INDEX schools_district ON auth.schools (regency, district_code)")
    op.execute(
        """
        CREATE TABLE auth.people (
            regency           text        NOT NULL,
            person_id         uuid        NOT NULL,
            staff_number      text        NOT NULL,
            staff_number_kind text        NOT NULL,
            name              text        NOT NULL,
            nuptk             text        NOT NULL,
            employment_status text        NOT NULL,
            staff_kind        text        NOT NULL,
            extra_duty        text        NOT NULL,
            phone             text        NOT NULL,
            npsn              text        NOT NULL,
            active            boolean     NOT NULL,
            version           bigint      NOT NULL,
            created_at        timestamptz NOT NULL,
            updated_at        timestamptz NOT NULL,
            PRIMARY KEY (regency, person_id),
            CONSTRAINT people_staff_number UNIQUE (regency, staff_number),
            FOREIGN KEY (regency, npsn) REFERENCES auth.schools
        )
        """
    )
    op.execute("CREATE INDEX people_school ON auth.people (regency, npsn, person_id)")
    op.execute(
        """
        CREATE TABLE auth.devices (
            regency     text        NOT NULL,
            device_id   uuid        NOT NULL,
            person_id   uuid        NOT NULL,
            public_key  bytea       NOT NULL CHECK (octet_length(public_key) = 65),
            label       text        NOT NULL,
            enrolled_at timestamptz NOT NULL,
            revoked_at  timestamptz,
            version     bigint      NOT NULL,
            -- The transaction that changed the row last: what WatchDevices goes by
            -- (docs/decisions/0040-device-feed-by-transaction.md).
            changed_xid xid8        NOT NULL DEFAULT pg_current_xact_id(),
            PRIMARY KEY (regency, device_id),
            -- One device for many people, and the return of a revoked key.
            CONSTRAINT devices_key_once UNIQUE (regency, public_key),
            FOREIGN KEY (regency, person_id) REFERENCES auth.people
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX devices_one_active ON auth.devices (regency, person_id) WHERE revoked_at IS NULL"
    )
    op.execute("CREATE INDEX devices_changed ON auth.devices (regency, changed_xid, device_id)")
    # A trigger, because an UPDATE that forgot the column would be a revocation that checkin never hears of.
    op.execute(
        """
        CREATE FUNCTION auth.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.changed_xid := pg_current_xact_id();
            RETURN NEW;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER devices_note_change BEFORE INSERT OR UPDATE ON auth.devices "
        "FOR EACH ROW EXECUTE FUNCTION auth.note_change()"
    )
    op.execute(
        """
        CREATE TABLE auth.activation_codes (
            regency       text        NOT NULL,
            digest        bytea       NOT NULL CHECK (octet_length(digest) = 32),
            person_id     uuid        NOT NULL,
            issued_at     timestamptz NOT NULL,
            issued_by     text        NOT NULL,
            expires_at    timestamptz NOT NULL,
            used_at       timestamptz,
            used_device   uuid,
            voided_at     timestamptz,
            wrong_numbers integer     NOT NULL DEFAULT 0,
            PRIMARY KEY (regency, digest),
            CHECK ((used_at IS NULL) = (used_device IS NULL)),
            FOREIGN KEY (regency, person_id) REFERENCES auth.people
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX activation_codes_one_open ON auth.activation_codes (regency, person_id) "
        "WHERE used_at IS NULL AND voided_at IS NULL"
    )
    op.execute(
        """
        CREATE TABLE auth.challenges (
            regency    text        NOT NULL,
            digest     bytea       NOT NULL CHECK (octet_length(digest) = 32),
            device_id  uuid        NOT NULL,
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (regency, digest),
            FOREIGN KEY (regency, device_id) REFERENCES auth.devices
        )
        """
    )
    op.execute("CREATE INDEX challenges_device ON auth.challenges (regency, device_id, expires_at)")
    op.execute("CREATE INDEX challenges_end ON auth.challenges (regency, expires_at)")
    op.execute(
        """
        CREATE TABLE auth.grants (
            regency       text        NOT NULL,
            grant_id      uuid        NOT NULL,
            -- A person of the roster, or the account of staff who are not on it.
            person_id     uuid,
            staff_subject text,
            role          text        NOT NULL,
            unit          text        NOT NULL,
            -- Local dates, valid_to excluded; what came from the roster ends with it.
            valid_from    date        NOT NULL,
            valid_to      date,
            from_roster   boolean     NOT NULL,
            granted_by    text        NOT NULL,
            granted_at    timestamptz NOT NULL,
            PRIMARY KEY (regency, grant_id),
            CHECK (num_nonnulls(person_id, staff_subject) = 1),
            CHECK (valid_to IS NULL OR valid_to >= valid_from),
            FOREIGN KEY (regency, person_id) REFERENCES auth.people
        )
        """
    )
    op.execute("CREATE INDEX grants_person ON auth.grants (regency, person_id) WHERE person_id IS NOT NULL")
    op.execute(
        "CREATE INDEX grants_staff ON auth.grants (regency, staff_subject) WHERE staff_subject IS NOT NULL"
    )
    op.execute(
        """
        CREATE TABLE auth.trail (
            id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            regency   text        NOT NULL,
            at        timestamptz NOT NULL,
            actor     text        NOT NULL,
            unit      text        NOT NULL,
            action    text        NOT NULL,
            person_id uuid,
            npsn      text        NOT NULL,
            reason    text        NOT NULL,
            people    integer     NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX trail_time ON auth.trail (regency, at)")
    op.execute("CREATE INDEX trail_person ON auth.trail (regency, person_id, at) WHERE person_id IS NOT NULL")
    operations = Operations(op.get_context())
    create_outbox(operations, "auth")
    for table in ("schools", "people", "devices", "activation_codes", "grants"):
        grant(operations, "auth", table, "SELECT, INSERT, UPDATE")
    # UPDATE, because PostgreSQL asks for it where rows are locked (SKIP LOCKED in the purge).
    grant(operations, "auth", "challenges", "SELECT, INSERT, UPDATE, DELETE")
    # Nobody rewrites a trail, the serving process neither.
    grant(operations, "auth", "trail", "SELECT, INSERT")


def downgrade() -> None:
    raise NotImplementedError("the first revision has nothing to go back to; restore a backup")
