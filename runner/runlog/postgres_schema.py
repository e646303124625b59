"""The tables in PostgreSQL, in a schema of their own. A step that was released is never edited.

Which table follows from which is said beside the tables of SQLite.
"""

from __future__ import annotations

SCHEMA = "conversion_runner"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE events (
            seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at DOUBLE PRECISION NOT NULL,
            run_id TEXT NOT NULL,
            fence BIGINT,
            kind TEXT NOT NULL,
            key TEXT,
            body TEXT NOT NULL
        )""",
        "CREATE INDEX events_of_key ON events (key, seq) WHERE key IS NOT NULL",
        "CREATE INDEX events_of_run ON events (run_id, seq)",
        """CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the run log is append-only'; END $$""",
        """CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""",
        """CREATE TABLE keys (
            key TEXT PRIMARY KEY,
            fence BIGINT NOT NULL,
            owner TEXT,
            state TEXT
        )""",
        "CREATE INDEX keys_of_owner ON keys (owner) WHERE owner IS NOT NULL",
        """CREATE TABLE owners (
            token TEXT PRIMARY KEY,
            host TEXT NOT NULL,
            boot_id TEXT NOT NULL,
            pid_namespace TEXT NOT NULL,
            pid BIGINT NOT NULL,
            pid_started BIGINT NOT NULL,
            ttl_s DOUBLE PRECISION NOT NULL,
            expires DOUBLE PRECISION NOT NULL,
            beat BIGINT NOT NULL
        )""",
        """CREATE TABLE starts (
            key TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            job_id TEXT NOT NULL,
            refused INTEGER NOT NULL DEFAULT 0,
            UNIQUE (key, attempt)
        )""",
        """CREATE TABLE money (
            key TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            recipe TEXT NOT NULL,
            day TEXT NOT NULL,
            run_id TEXT NOT NULL,
            cap BIGINT NOT NULL,
            reserved INTEGER NOT NULL,
            started INTEGER NOT NULL DEFAULT 0,
            spent BIGINT,
            UNIQUE (key, attempt)
        )""",
        "CREATE INDEX money_by_day ON money (recipe, day)",
        "CREATE INDEX money_by_run ON money (run_id)",
        """CREATE TABLE runs (
            run_id TEXT PRIMARY KEY,
            started_at DOUBLE PRECISION NOT NULL,
            ended_at DOUBLE PRECISION,
            endpoint TEXT NOT NULL,
            account TEXT NOT NULL,
            command TEXT NOT NULL,
            exit_code INTEGER
        )""",
        """CREATE TABLE digests (
            machine TEXT NOT NULL,
            path TEXT NOT NULL,
            size BIGINT NOT NULL,
            mtime_ns BIGINT NOT NULL,
            inode BIGINT NOT NULL,
            sha256 TEXT NOT NULL,
            md5 TEXT NOT NULL,
            hashed_at_ns BIGINT NOT NULL,
            PRIMARY KEY (machine, path)
        )""",
    ),
)
