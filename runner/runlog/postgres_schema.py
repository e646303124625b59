"""The tables in PostgreSQL, in a schema of their own for each project. A step that was released is never edited.

Which table follows from which, and when to add a step, is said beside the tables of SQLite.
"""

from __future__ import annotations

DEFAULT_SCHEMA = "conversion_runner"

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
    # States note the run's date, the endpoint and the epoch, deliveries their time and recipe, failed ones what was
    # put all the same, ends of runs what they left; keys hold accounts.
    (
        """CREATE TABLE IF NOT EXISTS jobs (
            endpoint TEXT NOT NULL,
            job_id TEXT NOT NULL,
            key TEXT NOT NULL,
            PRIMARY KEY (endpoint, job_id)
        )""",
        """INSERT INTO jobs (endpoint, job_id, key)
           SELECT COALESCE(runs.endpoint, ''), events.body::json->>'job_id', events.key
           FROM events LEFT JOIN runs ON runs.run_id = events.run_id WHERE events.kind = 'created' ORDER BY events.seq
           ON CONFLICT DO NOTHING""",
    ),
)


def quoted(name: str) -> str:
    """`name` as SQL takes it for exactly that, whatever it is: a word of its own, with capitals, with quotes."""
    return '"' + name.replace('"', '""') + '"'


# What all steps together make, as `postgres_soundness` finds it.
PARTS = (
    "table format",
    "table events",
    "table keys",
    "table owners",
    "table starts",
    "table money",
    "table runs",
    "table digests",
    "table jobs",
    "column format.version integer not null",
    "column events.seq bigint not null identity",
    "column events.at double precision not null",
    "column events.run_id text not null",
    "column events.fence bigint",
    "column events.kind text not null",
    "column events.key text",
    "column events.body text not null",
    "column keys.key text not null",
    "column keys.fence bigint not null",
    "column keys.owner text",
    "column keys.state text",
    "column owners.token text not null",
    "column owners.host text not null",
    "column owners.boot_id text not null",
    "column owners.pid_namespace text not null",
    "column owners.pid bigint not null",
    "column owners.pid_started bigint not null",
    "column owners.ttl_s double precision not null",
    "column owners.expires double precision not null",
    "column owners.beat bigint not null",
    "column starts.key text not null",
    "column starts.attempt integer not null",
    "column starts.job_id text not null",
    "column starts.refused integer not null default 0",
    "column money.key text not null",
    "column money.attempt integer not null",
    "column money.recipe text not null",
    "column money.day text not null",
    "column money.run_id text not null",
    "column money.cap bigint not null",
    "column money.reserved integer not null",
    "column money.started integer not null default 0",
    "column money.spent bigint",
    "column runs.run_id text not null",
    "column runs.started_at double precision not null",
    "column runs.ended_at double precision",
    "column runs.endpoint text not null",
    "column runs.account text not null",
    "column runs.command text not null",
    "column runs.exit_code integer",
    "column digests.machine text not null",
    "column digests.path text not null",
    "column digests.size bigint not null",
    "column digests.mtime_ns bigint not null",
    "column digests.inode bigint not null",
    "column digests.sha256 text not null",
    "column digests.md5 text not null",
    "column digests.hashed_at_ns bigint not null",
    "column jobs.endpoint text not null",
    "column jobs.job_id text not null",
    "column jobs.key text not null",
    "unique index on events (seq)",
    "index on money (recipe, day)",
    "index on money (run_id)",
    "index on events (key, seq) WHERE (key IS NOT NULL)",
    "index on events (run_id, seq)",
    "unique index on keys (key)",
    "index on keys (owner) WHERE (owner IS NOT NULL)",
    "unique index on owners (token)",
    "unique index on starts (key, attempt)",
    "unique index on money (key, attempt)",
    "unique index on runs (run_id)",
    "unique index on digests (machine, path)",
    "unique index on jobs (endpoint, job_id)",
    "trigger events_are_never_changed on events",
)

# What a run does with each table.
RIGHTS: dict[str, tuple[str, ...]] = {
    "format": ("SELECT",),
    "events": ("SELECT", "INSERT"),
    "keys": ("SELECT", "INSERT", "UPDATE"),
    "owners": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "starts": ("SELECT", "INSERT", "UPDATE"),
    "money": ("SELECT", "INSERT", "UPDATE"),
    "runs": ("SELECT", "INSERT", "UPDATE"),
    "digests": ("SELECT", "INSERT", "UPDATE"),
    "jobs": ("SELECT", "INSERT"),
}
