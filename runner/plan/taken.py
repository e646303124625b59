"""Names at output targets that other work of ours holds or is about to take.

Targets refuse a taken name after everything was converted, so what can't get its name is not to be bought. Where work
has ended, only a look shows whether the name is free (`Step.held`); what is under way takes it when it ends, however
free it looks now (`Step.awaits`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from runner.compile import TargetName, targets_of
from runner.plan.actions import BUYING, NOTHING, Action, Step
from runner.plan.known import KEPT_ON_SERVER_S, Known
from runner.state import UNDER_WAY, KeyState, Stage
from runner.wire.values import Json, as_int, as_text

NAME_TAKEN = 409  # source: docs/output-targets.md; the code of a job whose target had something of that name
FREE_IT = "remove what has the name there, or give `file` another one"
_Holders = Mapping[TargetName, Sequence[tuple[TargetName, KeyState]]]  # by the name in whatever account
_HOLDS = {
    Stage.FINISHED: "holds what an earlier run delivered, and a taken name is refused",
    Stage.FAILED: "was taken when an earlier run wanted to store there, and a taken name is refused",
    Stage.LOST: "may hold the result of a job that was lost, and a taken name is refused",
}
_MAY_HOLD = "may hold the result of a job whose end was not seen, and a taken name is refused"


def onto_taken(steps: Sequence[Step], known: Known, beside: Iterable[KeyState]) -> tuple[Step, ...]:
    """`steps`, told of what is bought where its target will refuse it, and without what is sure to be refused.

    beside  states of work that none of the recipes asked for, whose results may have the same names
    """
    wanted = {step.address: _names(step, known) for step in steps if _is_to_be_bought(step)}
    if not any(wanted.values()):
        return tuple(steps)
    anywhere = {name.anywhere for names in wanted.values() for name in names}
    holders = _holders((*known.states.values(), *beside), anywhere)
    return tuple(_told(step, wanted.get(step.address, ()), holders, known) for step in steps)


def met_a_taken_name(state: KeyState) -> bool:
    """Whether an attempt failed since something has its name at an output target."""
    return state.stage is Stage.FAILED and any(_says_taken(error) for error in state.errors)


def names_taken(state: KeyState) -> frozenset[TargetName]:
    """The names that an attempt failed for, since something had them; empty where they can't be known."""
    if not met_a_taken_name(state):
        return frozenset()
    said = [as_text(error.get("message")) for error in state.errors if _says_taken(error)]
    names = names_of_targets(state.payload)
    return frozenset(name for name in names if any(f"{name}:" in text for text in said)) or names


def _says_taken(error: Mapping[str, Json]) -> bool:
    return as_int(error.get("code")) == NAME_TAKEN


def names_of_targets(payload: Mapping[str, Json]) -> frozenset[TargetName]:
    """The names at providers that the results of this work go to, as far as they are known."""
    return frozenset(target.name for target in targets_of(dict(payload)) if target.name is not None)


def _is_to_be_bought(step: Step) -> bool:
    """What is under way is bought already, whatever its target will say."""
    return step.action in BUYING and not (step.state and step.state.stage in UNDER_WAY)


def _names(step: Step, known: Known) -> list[TargetName]:
    targets = step.job.targets(run_date=known.run_date) if step.job else ()
    return [target.name for target in targets if target.name is not None]


def _holders(states: Iterable[KeyState], anywhere: set[TargetName]) -> _Holders:
    holders: dict[TargetName, list[tuple[TargetName, KeyState]]] = defaultdict(list)
    for state in states:
        for name in _held_by(state):
            if name.anywhere in anywhere:
                holders[name.anywhere].append((name, state))
    return holders


def _held_by(state: KeyState) -> frozenset[TargetName]:
    """Names that the results of this work may have, or that something else was seen to have."""
    if state.stage is Stage.FAILED:
        return names_taken(state)
    return names_of_targets(state.payload) if state.stage in _HOLDS or state.stage in UNDER_WAY else frozenset()


def _told(step: Step, names: Sequence[TargetName], holders: _Holders, known: Known) -> Step:
    held: dict[TargetName, str] = {}
    for name in names:
        for theirs, state in holders.get(name.anywhere, ()):
            if not name.may_be(theirs):
                continue
            if state.key == step.key and state.stage is Stage.LOST:
                continue  # it is looked for once more before it is bought again
            if state.stage in UNDER_WAY and not _must_have_ended(state, step, known):
                return _blocked(step, name, state, known)
            held.setdefault(name, _HOLDS.get(state.stage, _MAY_HOLD))
    if not held:
        return step
    first, why = next(iter(held.items()))
    return replace(step, reason=f"{step.reason}; {first} {why}", held=tuple(map(str, held)))


def _blocked(step: Step, name: TargetName, state: KeyState, known: Known) -> Step:
    reason = f"job {state.job_id}, which was begun before, stores its result as {name}; nothing was bought; "
    reason += _way_out(step, state, known)
    awaits = state.key if _is_ours(state, step, known) else ""
    return replace(step, action=Action.BLOCKED, reason=reason, changes=(), credits=NOTHING, awaits=awaits)


def _way_out(step: Step, state: KeyState, known: Known) -> str:
    if _is_ours(state, step, known):
        return "a run sees it to its end first, and then looks whether the name is free"
    whose = f"at {state.endpoint}" if _is_elsewhere(state, step) else "with another account's API key"
    return f"it runs {whose}: let a run there see it to its end, or give `file` another name"


def _is_ours(state: KeyState, step: Step, known: Known) -> bool:
    """Whether a run of ours can ask for the job."""
    is_anothers = state.account and known.account and state.account != known.account
    return not is_anothers and not _is_elsewhere(state, step)


def _is_elsewhere(state: KeyState, step: Step) -> bool:
    return bool(state.endpoint and step.job and state.endpoint != step.job.endpoint)


def _must_have_ended(state: KeyState, step: Step, known: Known) -> bool:
    """Whether a job that we can't ask for was started so long ago that nobody keeps its results any more."""
    began = state.started_at
    return not _is_ours(state, step, known) and began is not None and known.now - began > KEPT_ON_SERVER_S
