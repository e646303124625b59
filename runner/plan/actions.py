"""The plan as values, and as the shape of `runner plan --format json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Literal

from runner.compile import Job, Needed
from runner.errors import ExitCode
from runner.plan.holdings import Holdings
from runner.state import KeyState
from runner.wire.addresses import MASK
from runner.wire.values import Json


class Action(StrEnum):
    RUN = "run"  # buy it
    RESUME = "resume"  # an earlier run began it; go on without buying again
    REDELIVER = "redeliver"  # bought and done; fetch the results again
    SKIP = "skip"  # done, and everything is where it should be
    RETRY = "retry"  # it failed or was lost; buy another attempt
    BLOCKED = "blocked"  # something is in the way; the reason says what
    LOST = "lost"  # bought, and gone from the server: waits for a person
    ORPHAN = "orphan"  # done by an earlier version of the recipe that no longer asks for it


BUYING = frozenset({Action.RUN, Action.RESUME, Action.RETRY})
CHANGING = frozenset({Action.RUN, Action.RESUME, Action.REDELIVER, Action.RETRY})


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What differs from the work this address got before: a path in the payload, and both values."""

    path: str
    before: Json
    after: Json

    def __str__(self) -> str:
        if self.before == self.after and MASK in str(self.after):
            return f"{self.path}: {_shown(self.after)}, in what is hidden here"
        before, after = _told_apart(self.before, self.after)
        start = _common_start(before, after)
        return f"{self.path}: {_cut(before, start)} -> {_cut(after, start)}"


def _shown(value: Json) -> str:
    return _cut(_text(value), 0)


def _text(value: Json) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told_apart(before: Json, after: Json) -> tuple[str, str]:
    """Both as text; in quotes where they would look alike, as 50 and "50" do, or one like nothing at all."""
    plain = (_text(before), _text(after))
    bare = {" ".join(text.split()) for text in plain}
    if len(bare) == 2 and "" not in bare:
        return plain
    return (_quoted(before), _quoted(after))


def _quoted(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else _text(value)


def _common_start(before: str, after: str) -> int:
    differing = (index for index, (one, other) in enumerate(zip(before, after, strict=False)) if one != other)
    return next(differing, min(len(before), len(after)))


def _cut(text: str, differs: int) -> str:
    """At most 60 characters of `text`, those with the one at which it differs among them."""
    if len(text) <= _MOST:
        return text
    if differs >= _MOST - 10:
        text = f"...{text[differs - 20 :]}"
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."


_MOST = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Credits:
    """Credits at stake: `cap` is the most this job may spend (None: no cap), `estimate` what is likely."""

    cap: int | None
    estimate: int | None


NOTHING = Credits(cap=0, estimate=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What happens to one address. `job` is None for what isn't asked for any more; `state` is what was known.

    `exit_code` is what a run ends with for this step alone where the plan leaves it blocked or lost.
    `held` are names of its targets that earlier work of ours may hold; `awaits` is the key of work under way that it is
    blocked for, which is about to take such a name. `cause` is why work that was begun isn't asked for any more.
    """

    address: str
    key: str
    action: Action
    reason: str
    changes: tuple[Change, ...] = ()
    credits: Credits = NOTHING
    job: Job | None = None
    state: KeyState | None = None
    exit_code: ExitCode = ExitCode.FAILED
    held: tuple[str, ...] = ()
    awaits: str = ""
    cause: str = ""


def step_of(
    job: Job,
    action: Action,
    reason: str,
    *,
    state: KeyState | None = None,
    changes: tuple[Change, ...] = (),
    credits: Credits = NOTHING,
) -> Step:
    return Step(
        address=job.address,
        key=job.key,
        action=action,
        reason=reason,
        changes=changes,
        credits=credits,
        job=job,
        state=state,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What a look at a job's source or target showed, without buying: `verdict`, and `said` in the provider's words."""

    address: str
    part: Literal["input", "output_target"]
    name: str
    verdict: Literal["ok", "wrong", "unknown"]
    said: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """
    begun      work that was started for earlier versions of the recipes, which don't ask for it any more: a run sees
               it to its end, so that what it cost is known, and leaves its results alone
    holdings   whose results lie where
    needed     what no result may take the place of
    preflight  what a look at sources and targets showed, where somebody asked for it
    notes      what else a run would meet, for people
    """

    steps: tuple[Step, ...]
    begun: tuple[Step, ...] = ()
    holdings: Holdings = field(default_factory=Holdings)
    needed: Needed = field(default_factory=Needed)
    preflight: tuple[Sight, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> Mapping[str, int]:
        counts = Counter(step.action for step in (*self.steps, *self.begun))
        return {action.value: counts[action] for action in Action}

    @property
    def has_changes(self) -> bool:
        return bool(self.begun) or any(step.action in CHANGING for step in self.steps)

    @property
    def exit_code(self) -> ExitCode:
        """What a run would end with for the steps that the plan leaves blocked or lost."""
        codes = {step.exit_code for step in self.steps if step.action in (Action.BLOCKED, Action.LOST)}
        return next(iter(sorted(codes - {ExitCode.OK})), ExitCode.OK)

    def as_json(self) -> Mapping[str, Json]:
        """The shape of `runner plan --format json`."""
        return {
            "summary": self.summary,
            "jobs": [_step_json(step) for step in (*self.steps, *self.begun)],
            "preflight": [asdict(sight) for sight in self.preflight],
            "notes": list(self.notes),
        }


def _step_json(step: Step) -> Mapping[str, Json]:
    return {
        "address": step.address,
        "key": step.key,
        "action": step.action.value,
        "reason": step.reason,
        "changes": [{"path": change.path, "before": change.before, "after": change.after} for change in step.changes],
        "credits": {"cap": step.credits.cap, "estimate": step.credits.estimate},
    }
