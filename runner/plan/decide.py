"""Deciding what happens to each address. Read-only and deterministic: the same values give the same plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from runner.compile import Job
from runner.errors import ExitCode
from runner.plan.actions import BUYING, CHANGING, NOTHING, Action, Credits, Plan, Step, step_of
from runner.plan.changes import causes, changes_between
from runner.plan.conflicts import conflict, existing, held, left_alone, not_as_delivered
from runner.plan.holdings import RecipeFile, copies_of, holdings_of
from runner.plan.known import KEPT_ON_SERVER_S, Disk, Known, Policy
from runner.plan.parked import parked_s, ways_out
from runner.plan.previous import newest_by_address
from runner.plan.taken import FREE_IT, met_a_taken_name, names_taken, onto_taken
from runner.plan.wanted import is_below, wanted_paths
from runner.state import UNDER_WAY, DeliveredFile, Delivery, KeyState, Stage, recipe_named_in

UNBOUGHT = frozenset({Stage.INTENT, Stage.CREATED, Stage.STAGED})


def make_plan(
    jobs: Sequence[Job],
    states: Mapping[str, KeyState],
    *,
    disk: Disk,
    now: float,
    run_date: str,
    policy: Policy | None = None,
    account: str = "",
    asked: Mapping[str, Job | None] | None = None,
    rivals: Collection[RecipeFile] = (),
    beside: Iterable[KeyState] = (),
    gone: Set[str] = frozenset(),
) -> Plan:
    """What to do for every job, in their order, then the orphans.

    states    everything known of the keys of these jobs and of those that these recipes' addresses had before
    now       seconds since the epoch; run_date its UTC day
    account   fingerprint of the API key; "" where it isn't known yet
    asked     addresses that are asked for beside those of `jobs`, with their jobs, None where those can't be compiled
    rivals    other recipes that have the name of one of these
    beside    all other work that is known, which may hold the same names at output targets
    gone      recipes with results among `states` that there aren't any more
    """
    alive = dict(asked or {})
    alive.update((job.address, job) for job in jobs)
    recipes = frozenset(job.recipe for job in jobs)
    compiled = frozenset(job.recipe for job in alive.values() if job is not None)
    known = Known(
        states=states,
        previous=newest_by_address(states.values(), rivals),
        delivered=frozenset(file.path for state in states.values() for file in _delivered_files(state) if file.sha256),
        holdings=holdings_of(
            states.values(), disk.records, alive=alive, recipes=compiled | gone, run_date=run_date, rivals=rivals
        ),
        disk=disk,
        policy=policy or Policy(),
        account=account,
        now=now,
        run_date=run_date,
    )
    decided = _keeping_copies([_step(job, known) for job in jobs], known)
    steps = onto_taken(tuple(_shared_purchases(decided)), known, beside)
    return Plan(steps=steps + tuple(_orphans(alive.keys(), recipes, known.previous)), holdings=known.holdings)


def _delivered_files(state: KeyState) -> Iterator[DeliveredFile]:
    return (file for delivery in state.deliveries.values() for file in delivery.all_files)


def _keeping_copies(steps: Sequence[Step], known: Known) -> tuple[Step, ...]:
    """Nothing takes the place of the only copy of a result that is still to be delivered elsewhere."""
    only = {path: step for step in steps for path in _only_copies(step, known)}
    return tuple(_after_copies(step, only, known) for step in steps) if only else tuple(steps)


def _only_copies(step: Step, known: Known) -> Iterator[str]:
    """What a redelivery is copied from where the server has forgotten the result."""
    if step.action is Action.REDELIVER and step.state and _is_forgotten(step.state, known):
        yield from (file.path for file in copies_of(step.state, intact=known.disk.records.__contains__))


def _after_copies(step: Step, only: Mapping[str, Step], known: Known) -> Step:
    if step.job is None or step.action not in CHANGING:
        return step
    for path in wanted_paths(step.job, step.state, run_date=known.run_date):
        other = only.get(path)
        kept = known.holdings.others(path, address=step.address, key=step.key)
        if other is not None and other.key != step.key and not kept:
            reason = f"{path} is the only copy of a result for {other.address}; run again when that is delivered"
            return replace(step, action=Action.BLOCKED, reason=reason, changes=(), credits=NOTHING)
    return step


def _step(job: Job, known: Known) -> Step:
    step = _decided(job, known)
    left = left_alone(job, known, step.state) if step.action in CHANGING else ()
    if not left:
        return step
    return replace(step, reason=f"{step.reason}; {existing(left)}, which on_conflict = skip leaves alone")


def _decided(job: Job, known: Known) -> Step:
    state = known.states.get(job.key)
    if state is None:
        return _new(job, known)
    decided = _going_on(job, state, known)
    is_anothers = state.account and known.account and state.account != known.account
    if is_anothers and _needs_its_job(decided, state, known):
        reason = "it was begun with another account's API key; run it with that key, or raise epoch to buy it anew"
        return replace(step_of(job, Action.BLOCKED, reason, state=state), exit_code=ExitCode.AUTHENTICATION)
    return decided


def _needs_its_job(step: Step, state: KeyState, known: Known) -> bool:
    """Whether the step asks the server for the job that there is, which another account's key may not see."""
    if step.action not in CHANGING:
        return False
    if step.action is Action.REDELIVER:
        return not copies_of(state, intact=known.disk.records.__contains__)
    never_made = state.stage is Stage.INTENT and not state.job_id
    return not (never_made or state.stage is Stage.FAILED)


def _going_on(job: Job, state: KeyState, known: Known) -> Step:
    if state.stage in UNBOUGHT:
        return _unbought(job, state, known)
    if state.stage in UNDER_WAY:
        return _under_way(job, state)
    if state.stage is Stage.FAILED:
        return _failed(job, state, known)
    if state.stage is Stage.LOST:
        return _lost(job, state, known)
    return _finished(job, state, known)


def _new(job: Job, known: Known) -> Step:
    before = known.previous.get(job.address)
    in_the_way = conflict(job, known)
    if in_the_way is not None:
        return in_the_way
    if before is None:
        return step_of(job, Action.RUN, "new", credits=Credits(cap=job.cap, estimate=None))
    changes = changes_between(before.payload, job.payload_for(run_date=known.run_date))
    reason = f"changed: {', '.join(causes(before, job, changes))}"
    if len(changes) > 1:
        reason += f" and {len(changes) - 1} more"
    estimate = before.spent or None
    return step_of(job, Action.RUN, reason, changes=changes, credits=Credits(cap=job.cap, estimate=estimate))


def _unbought(job: Job, state: KeyState, known: Known) -> Step:
    wait_s = parked_s(job, state, now=known.now)
    if wait_s and not known.policy.retry_failed:
        reason = f"the server refused it: {state.refusal}; nothing was bought"
        reason += f"; due again in {wait_s:.0f} s, or {ways_out(job.payload)}"
        return replace(step_of(job, Action.BLOCKED, reason, state=state), exit_code=ExitCode.QUOTA)
    in_the_way = conflict(job, known)
    if in_the_way is not None:
        return in_the_way
    reason = "an earlier run was interrupted before it started the job; nothing was bought yet"
    if state.refusal:
        reason = f"it was refused before; nothing was bought yet ({state.refusal})"
    return step_of(job, Action.RESUME, reason, state=state, credits=Credits(cap=job.cap, estimate=None))


def _under_way(job: Job, state: KeyState) -> Step:
    """What it costs is booked at its end; the server keeps to the cap that it was made with."""
    reason = f"job {state.job_id} was started by an earlier run; its end was not seen"
    if state.stage is Stage.STARTING:
        reason = f"whether job {state.job_id} was started isn't known; it may be bought already"
    return step_of(job, Action.RESUME, reason, state=state, credits=Credits(cap=state.cap, estimate=None))


def _failed(job: Job, state: KeyState, known: Known) -> Step:
    said = _said(state)
    credits = Credits(cap=job.cap, estimate=state.spent or None)
    if known.policy.retry_failed:
        reason = f"attempt {state.attempt} failed{said}; buying another (--retry-failed)"
        return conflict(job, known) or step_of(job, Action.RETRY, reason, state=state, credits=credits)
    if state.attempt <= job.retry and (names_taken(state) or not met_a_taken_name(state)):
        reason = f"attempt {state.attempt} failed{said}; retry = {job.retry} allows another"
        return conflict(job, known) or step_of(job, Action.RETRY, reason, state=state, credits=credits)
    reason = f"attempt {state.attempt} failed{said}; {_another_attempt(state)}"
    return step_of(job, Action.BLOCKED, reason, state=state, credits=credits)


def _another_attempt(state: KeyState) -> str:
    if met_a_taken_name(state):
        return f"{FREE_IT}; --retry-failed then buys another"
    return "--retry-failed or a higher retry buys another"


def _said(state: KeyState) -> str:
    if not state.errors:
        return ""
    first = state.errors[0]
    return f" ({first.get('code', 0)}: {first.get('message', '')})"


def _lost(job: Job, state: KeyState, known: Known) -> Step:
    credits = Credits(cap=job.cap, estimate=state.spent or None)
    if known.policy.retry_lost:
        reason = "it was lost; buying it again (--retry-lost)"
        return conflict(job, known) or step_of(job, Action.RETRY, reason, state=state, credits=credits)
    reason = f"job {state.job_id} was started and is gone from the server; --retry-lost or a new epoch buys it again"
    return step_of(job, Action.LOST, reason, state=state, credits=credits)


def _finished(job: Job, state: KeyState, known: Known) -> Step:
    delivery = state.deliveries.get(job.address)
    reason = _why_again(job, delivery, known)
    if reason is None:
        return step_of(job, Action.SKIP, "done", state=state)
    there = delivery is not None and delivery.save == job.save.path and _is_from_here(delivery, job)
    in_the_way = held(delivery, job, known, state) if delivery and there else conflict(job, known, state)
    if in_the_way is not None:
        return in_the_way
    copies = copies_of(state, intact=known.disk.records.__contains__)
    if copies:
        return step_of(job, Action.REDELIVER, f"{reason}; {copies[0].path} is a copy", state=state)
    if _is_forgotten(state, known):
        return _gone(job, state, reason, known)
    return step_of(job, Action.REDELIVER, reason, state=state)


def _is_forgotten(state: KeyState, known: Known) -> bool:
    """Whether the server no longer has the outputs: a run has met that, or their time is over."""
    if state.gone:
        return True
    return bool(state.outputs) and known.now - (state.finished_at or 0.0) > KEPT_ON_SERVER_S


def _why_again(job: Job, delivery: Delivery | None, known: Known) -> str | None:
    if delivery is None:
        return "bought, but not delivered here yet"
    if not delivery.save:
        return "bought, but not all of it delivered here yet"
    if delivery.save != job.save.path:
        return f"save.path changed: {_path_said(delivery.save)} -> {_path_said(job.save.path)}"
    return next((_missing(file, job, known.disk) for file in not_as_delivered(delivery, job, known.disk)), None)


def _path_said(template: str) -> str:
    """Without the empty part that an item without a folder leaves in the default."""
    return template.replace("//", "/")


def _is_from_here(delivery: Delivery, job: Job) -> bool:
    return all(is_below(file.path, str(job.save.base)) for file in delivery.files)


def _missing(file: DeliveredFile, job: Job, disk: Disk) -> str:
    if not is_below(file.path, str(job.save.base)):
        return f"it was delivered to {file.path}; the results of this recipe go below {job.save.base}"
    if file.path in disk.intact:
        return f"{file.path} holds the result of other work now"
    if not file.sha256:
        return f"{file.path} {'was left as it was' if file.path in disk.present else 'is missing'}"
    return f"{file.path} {'was changed' if file.path in disk.present else 'is missing'} since it was delivered"


def _gone(job: Job, state: KeyState, reason: str, known: Known) -> Step:
    credits = Credits(cap=job.cap, estimate=state.spent)
    why = f"{reason}, and the server no longer {'hands it out' if state.gone else 'has it'}"
    if known.policy.retry_lost:
        why += "; buying it again (--retry-lost)"
        return step_of(job, Action.RETRY, why, state=state, credits=credits)
    why += "; --retry-lost or a new epoch buys it again"
    return step_of(job, Action.BLOCKED, why, state=state, credits=credits)


def _shared_purchases(steps: Iterable[Step]) -> Iterator[Step]:
    """Equal keys are one purchase: only the first address of a key has credits at stake."""
    first: dict[str, str] = {}
    for step in steps:
        if step.action not in BUYING:
            yield step
            continue
        if step.key in first:
            reason = f"same work as {first[step.key]}: bought once, delivered here too"
            yield replace(step, reason=reason, credits=NOTHING)
            continue
        first[step.key] = step.address
        yield step


def _orphans(alive: Set[str], recipes: frozenset[str], by_address: Mapping[str, KeyState]) -> Iterator[Step]:
    for address, state in sorted((address, by_address[address]) for address in by_address.keys() - alive):
        if recipe_named_in(address) in recipes:
            yield Step(
                address=address,
                key=state.key,
                action=Action.ORPHAN,
                reason="the recipe no longer asks for it; its results are left alone",
                state=state,
            )
