"""What is known of a key and of an address: values only, folded by `runlog`, read by `plan` and `execute`.

A key names work (what is bought), an address a place in a recipe that wants its result. The stages are
the last durable line of the current attempt; ARCHITECTURE.md draws how one follows another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from runner.wire.records import record

# Nothing is set aside for longer; where more seems to be left, the clock was set back since.
MOST_PARKED_S = 24 * 3600.0


def recipe_named_in(address: str) -> str:
    """The recipe that the place belongs to: "shop" for `shop[in/a.jpg]`."""
    return address.partition("[")[0]


class Stage(StrEnum):
    INTENT = "intent"  # nothing bought; there may be an unstarted job nobody knows the id of
    CREATED = "created"  # an unstarted job with a known id
    STAGED = "staged"  # every input is there and was compared
    STARTING = "starting"  # the commit point: from here on it may be bought
    STARTED = "started"  # bought
    FINISHED = "finished"  # completed: outputs are known, and on the server for a while
    FAILED = "failed"  # the job ended without success
    LOST = "lost"  # bought, and gone from the server before its end was seen


UNDER_WAY = frozenset({Stage.STARTING, Stage.STARTED})


@record
class OutputRecord:
    """A file the API made. `checksum` is what the API says (MD5 hex or ""), `uri` where it was."""

    id: str
    filename: str
    uri: str
    size_bytes: int
    checksum: str
    conversion_index: int


@record
class StagedUpload:
    """A local file as it was sent; `path` is what the recipe calls it, `sha256` and `md5` hex."""

    path: str
    size: int
    sha256: str
    md5: str


@record
class DeliveredFile:
    """A result as we left it on disk; `path` is absolute, `sha256` hex.

    Without a digest it isn't ours: `on_conflict = "skip"` left there what it found.
    """

    path: str
    size_bytes: int
    sha256: str
    mtime_ns: int
    inode: int


@record
class Delivery:
    """The last delivery to one address: where it was asked to go (a template) and what lies there.

    `save` is empty where the last delivery failed and put some of the outputs all the same; they are in `earlier`.
    `earlier` is what was delivered to the address at other paths before: left there, and still ours to replace.
    `at` is when, in seconds since the epoch, 0 where an old log doesn't say.
    `recipe_file` is the file of the recipe that asked, relative to its project, "" where an old log doesn't say.
    """

    save: str
    files: tuple[DeliveredFile, ...]
    earlier: tuple[DeliveredFile, ...] = ()
    at: float = 0.0
    recipe_file: str = ""

    @property
    def all_files(self) -> tuple[DeliveredFile, ...]:
        return self.files + self.earlier


@record
class KeyState:
    """The current attempt of a key.

    payload          the expanded job document of the attempt, secrets as references
    cap              `limits.job.max_credit`, None where there is none
    account          fingerprint of the API key the job belongs to
    recipe           the recipe whose budget the attempt counts against
    run_date         what `{run.date}` stands for in the payload, "" where an old log doesn't say
    endpoint         the one that the key holds, by name, "" where an old log doesn't say
    epoch            that of the recipe, None where an old log doesn't say
    uploads          what was sent, once staged
    spent            credits of all attempts of this key that have ended
    errors           what the server said of a failed job: `{"code", "message"}` each; why a lost one is lost
    refusal          what the server said when it refused the job or its start, else empty
    parked_until     seconds since the epoch before which a start was refused (402, 429), else None
    deliveries       by address
    delivery_errors  by address, why the last delivery failed
    gone             whether the server was seen to have the outputs no more
    """

    key: str
    attempt: int
    stage: Stage
    addresses: frozenset[str] = frozenset()
    payload: Mapping[str, Any] = field(default_factory=dict)
    cap: int | None = None
    account: str = ""
    recipe: str = ""
    run_date: str = ""
    endpoint: str = ""
    epoch: int | None = None
    job_id: str = ""
    uploads: tuple[StagedUpload, ...] = ()
    spent: int = 0
    outputs: tuple[OutputRecord, ...] = ()
    errors: tuple[Mapping[str, Any], ...] = ()
    started_at: float | None = None
    finished_at: float | None = None
    refusal: str = ""
    parked_until: float | None = None
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    delivery_errors: Mapping[str, str] = field(default_factory=dict)
    gone: bool = False

    def parked_s(self, now: float) -> float:
        """Seconds until a refused start is due again, 0 where it is or never was refused."""
        left_s = (self.parked_until or 0.0) - now
        return left_s if 0.0 < left_s <= MOST_PARKED_S else 0.0
