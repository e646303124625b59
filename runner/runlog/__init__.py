"""The run log: append-only lines of all runs, what they add up to, and the leases on the work."""

from runner.runlog.database import Clock
from runner.runlog.digests import RememberedDigest
from runner.runlog.events import (
    Abandoned,
    Created,
    Delivered,
    DeliveryFailed,
    Event,
    Failed,
    Finished,
    Intent,
    KeyEvent,
    Lost,
    NotDone,
    Refused,
    RunEnded,
    RunStarted,
    Staged,
    Started,
    Starting,
    StoredEvent,
    event_body,
    kind_of,
    read_event,
)
from runner.runlog.faults import (
    AlreadyStarting,
    BudgetExceeded,
    JobTaken,
    LeaseLost,
    LogBusy,
    LogCorrupt,
    LogNewer,
    LogUnreachable,
    LogUnusable,
    OutOfOrder,
)
from runner.runlog.fold import FOLLOWS, fold
from runner.runlog.history import Leftover, RunSummary, StartLine
from runner.runlog.ids import new_run_id
from runner.runlog.leases import Fence, Lease
from runner.runlog.log import RunLog
from runner.runlog.money import BudgetGuard, Credits, SpentRow
from runner.runlog.opening import memory_log, open_log
from runner.runlog.owner import Owner
from runner.runlog.pledge import Pledge
from runner.runlog.postgres_schema import DEFAULT_SCHEMA
from runner.state import StagedUpload

__all__ = [
    "DEFAULT_SCHEMA",
    "FOLLOWS",
    "Abandoned",
    "AlreadyStarting",
    "BudgetExceeded",
    "BudgetGuard",
    "Clock",
    "Created",
    "Credits",
    "Delivered",
    "DeliveryFailed",
    "Event",
    "Failed",
    "Fence",
    "Finished",
    "Intent",
    "JobTaken",
    "KeyEvent",
    "Lease",
    "LeaseLost",
    "Leftover",
    "LogBusy",
    "LogCorrupt",
    "LogNewer",
    "LogUnreachable",
    "LogUnusable",
    "Lost",
    "NotDone",
    "OutOfOrder",
    "Owner",
    "Pledge",
    "Refused",
    "RememberedDigest",
    "RunEnded",
    "RunLog",
    "RunStarted",
    "RunSummary",
    "SpentRow",
    "Staged",
    "StagedUpload",
    "StartLine",
    "Started",
    "Starting",
    "StoredEvent",
    "event_body",
    "fold",
    "kind_of",
    "memory_log",
    "new_run_id",
    "open_log",
    "read_event",
]
