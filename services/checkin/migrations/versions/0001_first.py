"""Taps by month, devices and people as checkin knows them, the outbox."""

from alembic import op as alembic_op
from alembic.operations import Operations

from chassis.migrations import create_outbox, create_poison, grant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Columns of a tap, in one place: the parent and a new month must be alike. tap_id alone is the key: it is what taps are
# partitioned by, it never changes, and so it is unique across months, midnight and replicas.
TAPS = """
    tap_id            uuid        NOT NULL,
    regency           text        NOT NULL,
    person_id         uuid        NOT NULL,
    device_id         uuid        NOT NULL,
    slot              smallint    NOT NULL,
    practice          boolean     NOT NULL,
    work_date         date        NOT NULL,
    official_time     timestamptz NOT NULL,
    arrival_time      timestamptz NOT NULL,
    stored_time       timestamptz NOT NULL,
    time_grade        smallint    NOT NULL,
    verdict           smallint    NOT NULL,
    minutes           integer     NOT NULL,
    minutes_class     smallint    NOT NULL,
    flags             smallint[]  NOT NULL,
    policy_version    integer     NOT NULL,
    npsn              text,
    evidence          bytea       NOT NULL,
    evidence_sha256   bytea       NOT NULL,
    signature         bytea       NOT NULL,
    receipt_content   bytea       NOT NULL,
    receipt_signature bytea       NOT NULL,
    receipt_key_id    text        NOT NULL
"""


def upgrade() -> None:
    """Make the first schema."""
    # The module stands in for this object and is no such type.
    op = Operations(alembic_op.get_context())
    op.execute(f"CREATE TABLE checkin.taps ({TAPS}, PRIMARY KEY (tap_id)) PARTITION BY RANGE (tap_id)")
    op.execute("CREATE INDEX taps_person_day ON checkin.taps (person_id, work_date)")
    op.execute("CREATE TABLE checkin.taps_default PARTITION OF checkin.taps DEFAULT")
    grant(op, "checkin", "taps", "SELECT, INSERT")
    op.execute(
        """
        CREATE FUNCTION checkin.ensure_partition(name text, lower uuid, upper uuid) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = checkin, pg_temp AS $$
        BEGIN
            -- The serving role may make months and nothing else: hence a function of the owner, and a strict name.
            IF name !~ '^taps_[0-9]{4}_[0-9]{2}$' THEN
                RAISE EXCEPTION 'not a month: %', name USING ERRCODE = 'invalid_parameter_value';
            END IF;
            PERFORM pg_advisory_xact_lock(hashtext('checkin.ensure_partition'));
            IF to_regclass(format('checkin.%I', name)) IS NOT NULL THEN
                RETURN false;
            END IF;
            EXECUTE format(
                'CREATE TABLE checkin.%I (LIKE checkin.taps INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
            -- A tap with a wild id may wait in DEFAULT inside these bounds; one such row would block the month.
            LOCK TABLE checkin.taps_default IN ACCESS EXCLUSIVE MODE;
            EXECUTE format(
                'WITH moved AS (DELETE FROM checkin.taps_default WHERE tap_id >= %L AND tap_id < %L RETURNING *)
                 INSERT INTO checkin.%I SELECT * FROM moved', lower, upper, name);
            EXECUTE format(
                'ALTER TABLE checkin.taps ATTACH PARTITION checkin.%I FOR VALUES FROM (%L) TO (%L)',
                name, lower, upper);
            RETURN true;
        END $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION checkin.ensure_partition(text, uuid, uuid) FROM PUBLIC")
    role = op.get_context().opts["hadir_runtime_role"]
    op.execute(f"GRANT EXECUTE ON FUNCTION checkin.ensure_partition(text, uuid, uuid) TO {role}")

    op.execute(
        """
        CREATE TABLE checkin.devices (
            device_id  uuid        PRIMARY KEY,
            regency    text        NOT NULL,
            person_id  uuid        NOT NULL,
            public_key bytea       NOT NULL,
            revoked_at timestamptz,
            version    bigint      NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX devices_revoked ON checkin.devices (device_id) WHERE revoked_at IS NOT NULL")
    grant(op, "checkin", "devices", "SELECT, INSERT, UPDATE")
    # One row: how far the device feed has come. complete is true once a whole snapshot has been applied.
    op.execute(
        """
        CREATE TABLE checkin.device_feed (
            regency      text        PRIMARY KEY,
            resume_token text        NOT NULL,
            complete     boolean     NOT NULL,
            updated_at   timestamptz NOT NULL
        )
        """
    )
    grant(op, "checkin", "device_feed", "SELECT, INSERT, UPDATE")
    # auth's public keys, so that a restart while auth is away still knows whom to believe.
    op.execute(
        """
        CREATE TABLE checkin.auth_keys (
            regency    text        NOT NULL,
            kid        text        NOT NULL,
            jwk        jsonb       NOT NULL,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (regency, kid)
        )
        """
    )
    grant(op, "checkin", "auth_keys")
    op.execute(
        """
        CREATE TABLE checkin.schools (
            regency        text             NOT NULL,
            npsn           text             NOT NULL,
            latitude       double precision NOT NULL,
            longitude      double precision NOT NULL,
            fence_radius_m double precision NOT NULL,
            week_days      smallint         NOT NULL,
            version        bigint           NOT NULL,
            PRIMARY KEY (regency, npsn)
        )
        """
    )
    grant(op, "checkin", "schools", "SELECT, INSERT, UPDATE")
    op.execute(
        """
        CREATE TABLE checkin.people (
            person_id uuid    PRIMARY KEY,
            regency   text    NOT NULL,
            npsn      text    NOT NULL,
            active    boolean NOT NULL,
            version   bigint  NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX people_school ON checkin.people (regency, npsn) WHERE active")
    grant(op, "checkin", "people", "SELECT, INSERT, UPDATE")
    # Written when a batch is repeated after a commit of unknown outcome: a transaction that writes nothing would not
    # wait for the replicas, and a re-read might acknowledge what a failover takes back.
    op.execute("CREATE TABLE checkin.commit_fence (writer text PRIMARY KEY, at timestamptz NOT NULL)")
    grant(op, "checkin", "commit_fence", "SELECT, INSERT, UPDATE")
    create_outbox(op, "checkin")
    create_poison(op, "checkin")
