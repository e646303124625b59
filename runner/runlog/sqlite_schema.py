"""The tables in SQLite, and how an old log becomes a new one. A step that was released is never edited.

How many steps there are is the log's format, the same in PostgreSQL, by which an older runner leaves a newer log alone.
So whatever else the log holds counts as well: a change of states, lines or the rules for keys adds a step to both, an
empty one where the tables stay.

`events` is the truth. `keys.state`, `jobs`, `starts`, `money` and `runs` follow from it and can be made again.
"""

from __future__ import annotations

# "cvrl" in the file's header, so that nobody takes another program's database for a run log.
APPLICATION_ID = 0x6376726C

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            run_id TEXT NOT NULL,
            fence INTEGER,
            kind TEXT NOT NULL,
            key TEXT,
            body TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX events_of_key ON events (key, seq) WHERE key IS NOT NULL",
        "CREATE INDEX events_of_run ON events (run_id, seq)",
        """CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
           BEGIN SELECT RAISE(ABORT, 'the run log is append-only'); END""",
        """CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
           BEGIN SELECT RAISE(ABORT, 'the run log is append-only'); END""",
        """CREATE TABLE keys (
            key TEXT PRIMARY KEY,
            fence INTEGER NOT NULL,
            owner TEXT,
            state TEXT
        ) STRICT""",
        "CREATE INDEX keys_of_owner ON keys (owner) WHERE owner IS NOT NULL",
        """CREATE TABLE owners (
            token TEXT PRIMARY KEY,
            host TEXT NOT NULL,
            boot_id TEXT NOT NULL,
            pid_namespace TEXT NOT NULL,
            pid INTEGER NOT NULL,
            pid_started INTEGER NOT NULL,
            ttl_s REAL NOT NULL,
            expires REAL NOT NULL,
            beat INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE starts (
            key TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            job_id TEXT NOT NULL,
            refused INTEGER NOT NULL DEFAULT 0,
            UNIQUE (key, attempt)
        ) STRICT""",
        """CREATE TABLE money (
            key TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            recipe TEXT NOT NULL,
            day TEXT NOT NULL,
            run_id TEXT NOT NULL,
            cap INTEGER NOT NULL,
            reserved INTEGER NOT NULL,
            started INTEGER NOT NULL DEFAULT 0,
            spent INTEGER,
            UNIQUE (key, attempt)
        ) STRICT""",
        "CREATE INDEX money_by_day ON money (recipe, day)",
        "CREATE INDEX money_by_run ON money (run_id)",
        """CREATE TABLE runs (
            run_id TEXT PRIMARY KEY,
            started_at REAL NOT NULL,
            ended_at REAL,
            endpoint TEXT NOT NULL,
            account TEXT NOT NULL,
            command TEXT NOT NULL,
            exit_code INTEGER
        ) STRICT""",
        """CREATE TABLE digests (
            machine TEXT NOT NULL,
            path TEXT NOT NULL,
            size INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            inode INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            md5 TEXT NOT NULL,
            hashed_at_ns INTEGER NOT NULL,
            PRIMARY KEY (machine, path)
        ) STRICT""",
    ),
    # States note the run's date, the endpoint and the epoch, deliveries their time and recipe, failed ones what was
    # put all the same, ends of runs what they left; keys hold accounts.
    (
        # Jobs that were made, whatever became of them: an id that is answered to a second creation is another's work.
        """CREATE TABLE IF NOT EXISTS jobs (
            endpoint TEXT NOT NULL,
            job_id TEXT NOT NULL,
            key TEXT NOT NULL,
            PRIMARY KEY (endpoint, job_id)
        ) STRICT""",
        """INSERT INTO jobs (endpoint, job_id, key)
           SELECT COALESCE(runs.endpoint, ''), events.body->>'job_id', events.key
           FROM events LEFT JOIN runs ON runs.run_id = events.run_id WHERE events.kind = 'created' ORDER BY events.seq
           ON CONFLICT DO NOTHING""",
    ),
)
