"""What a plan is decided on, beside the jobs: what is known of states and disk, and what a person allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.plan.holdings import Holdings
from runner.state import DeliveredFile, KeyState

KEPT_ON_SERVER_S = 24 * 3600  # source: the API's page on output storage


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a person allowed this run: buying failed or lost work again."""

    retry_failed: bool = False
    retry_lost: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """What lies on disk now, of all that the plan asks about.

    records delivered files that are still what the run log says of them
    intact  paths of files that are as we left them, whichever work left them there
    present paths that exist, delivered by us or not
    folders paths of `present` that are folders
    closed  folders where results would go that can't be written, with the reason
    taken   of `present` where results would go that keep off those of others; where their names can't be known yet,
            the folder that they go to
    """

    records: frozenset[DeliveredFile] = field(default_factory=frozenset)
    intact: frozenset[str] = field(default_factory=frozenset)
    present: frozenset[str] = field(default_factory=frozenset)
    folders: frozenset[str] = field(default_factory=frozenset)
    closed: Mapping[str, str] = field(default_factory=dict)
    taken: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """All that decides on a job, beside the job."""

    states: Mapping[str, KeyState]
    previous: Mapping[str, KeyState]
    delivered: frozenset[str]
    holdings: Holdings
    disk: Disk
    policy: Policy
    account: str
    now: float
    run_date: str
