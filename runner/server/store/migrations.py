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
    # Keys with names that can be revoked, what was used by whom, contracts, presets.
    """
    alter table keys add column label text not null default '';
    alter table keys add column revoked real;
    create table usage (
        account text not null, key_id text not null, hour integer not null,
        started integer not null default 0, completed integer not null default 0, failed integer not null default 0,
        credits integer not null default 0, input_bytes integer not null default 0,
        output_bytes integer not null default 0,
        primary key (account, key_id, hour)
    ) without rowid;
    create table contracts (
        account text not null, kind text not null, created real not null, used_before integer not null,
        primary key (account, kind)
    ) without rowid;
    create table presets (
        seq integer primary key, id text not null unique, account text not null, name text not null,
        target text not null, category text not null, scope text not null, options blob not null
    );
    """,
    """
    create table callbacks (
        seq integer primary key, job_id text not null, host text not null, url text not null, status text not null,
        body blob not null, attempts integer not null, due real not null
    );
    create index callbacks_of_job on callbacks (job_id, seq);
    create index callbacks_by_due on callbacks (due);
    """,
    # Secrets of jobs that have not ended, and addresses of callbacks; sealed with a key that lies elsewhere.
    """
    create table secrets (
        job_id text not null, part_id text not null, sealed blob not null, primary key (job_id, part_id)
    ) without rowid;
    alter table callbacks add column sealed blob;
    """,
    # What was sent to output targets by jobs that didn't complete.
    """
    create table deliveries (
        job_id text not null, conversion text not null, target integer not null, place text not null,
        account text not null, checksum text not null, size integer not null, tokens text not null,
        done integer not null, primary key (job_id, conversion, target, place)
    ) without rowid;
    create index deliveries_of_place on deliveries (place, account);
    """,
    # Deliveries that are there under another name, and are about to get their own.
    """
    alter table deliveries add column renaming integer not null default 0;
    """,
)
