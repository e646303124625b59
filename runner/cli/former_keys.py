"""Work that was bought while keys said nothing of accounts: it keeps its key where the account is known to be that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runner.compile import Job
from runner.state import KeyState
from runner.wire.accounts import accounts_named


def under_known_key(job: Job, states: Mapping[str, KeyState]) -> Job:
    """`job`, under its former key where that is what the log knows it by.

    What a reference stood for nobody knows any more: such work may have been another account's, and is new.
    """
    if job.key in states or not (former := job.former_key) or former not in states:
        return job
    named, before = accounts_named(job.payload), accounts_named(dict(states[former].payload))
    is_known = named == before and all(isinstance(one, str) for one in named)
    return replace(job, key=former) if is_known else job
