"""Everything outside that a run touches, in one value: the API, the run log, the clock, the secrets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.client.api import ConversionApi
from runner.client.transfer import Transfer
from runner.execute.durations import Durations
from runner.execute.full_disks import FullDisks
from runner.execute.newcomers import Newcomers
from runner.execute.pace import Pace
from runner.execute.poll import Poller
from runner.execute.progress import Progress, Silent
from runner.execute.rivals import Rivals
from runner.runlog import RunLog
from runner.wire.values import Json, JsonObject

Resolve = Callable[[JsonObject, Path], Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """
    account   fingerprint of the API key
    run_date  UTC day of the run's begin, "2026-11-23"
    resolve   the value of a secret reference found in a recipe of the given folder; raises InvalidError
    now       seconds since the epoch
    pace      how many started jobs the account bears
    durations how long jobs usually take
    rivals    other runs on this log, None where there are none
    newcomers what those have put in places meanwhile
    full      disks that took no more results; grows
    """

    api: ConversionApi
    transfer: Transfer
    poller: Poller
    log: RunLog
    run_id: str
    account: str
    run_date: str
    resolve: Resolve
    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    progress: Progress = field(default_factory=Silent)
    pace: Pace = field(default_factory=lambda: Pace(8))
    durations: Durations = field(default_factory=Durations)
    rivals: Rivals | None = None
    newcomers: Newcomers | None = None
    full: FullDisks = field(default_factory=FullDisks)
