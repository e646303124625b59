"""The schema, one step after another; the file remembers in `user_version` how many it has had.

A step is never edited once it was released: a new one is added below.
"""

from __future__ import annotations

# `jobs.expires` is null while a job has not ended, then the moment its files may go, then NEVER.
NEVER = 1e300

MIGRATIONS: tuple[str, ...] = (
    """
    create table jobs (
        seq integer primary key,
        id text not null unique,
        account text not null,
        status text not null,
        token text not null,
        expires real,
        document blob not null,
        record blob not null
    );
    create index jobs_of_account on jobs (account);
    create index jobs_of_account_by_status on jobs (account, status);
    create index jobs_by_expiry on jobs (expires);
    create table parts (id text primary key, job_id text not null) without rowid;
    create table ledger (
        seq integer primary key, job_id text not null, kind text not null, credits integer not null,
        at real not null
    );
    create index ledger_of_job on ledger (job_id);
    create table idempotency (
        account text not null, key text not null, body_mac blob not null, job_id text not null,
        primary key (account, key)
    ) without rowid;
    create table keys (hash blob primary key, account text not null, created real not null) without rowid;
    create table chunks (
        job_id text not null, upload_id text not null, first integer not null, last integer not null,
        total integer not null, primary key (job_id, upload_id, first, last)
    ) without rowid;
    """,
)
