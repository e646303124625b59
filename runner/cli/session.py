"""One run's session: the endpoint or the embedded server, the HTTP client, the bars, the signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, TypeVar

import click

from runner.cli.booked import unheard_of
from runner.cli.embedded import embedded_server
from runner.cli.endpoint import ChosenEndpoint
from runner.cli.planning import Planned, Planning
from runner.cli.reach import A_LOOK
from runner.cli.running import Wishes
from runner.cli.secrets import resolve_secret
from runner.cli.waits import telling
from runner.client.api import ConversionApi
from runner.client.endpoint import Endpoint
from runner.client.http import Http, open_http
from runner.client.transfer import Transfer
from runner.errors import ExitCode, Problem, RunnerError
from runner.execute.claims import LEASE_S, Patience
from runner.execute.durations import Durations
from runner.execute.ending import run_ended
from runner.execute.newcomers import Newcomers
from runner.execute.order import levels
from runner.execute.outcome import Outcome, Report
from runner.execute.pace import Pace
from runner.execute.poll import Poller
from runner.execute.progress import Progress, Silent
from runner.execute.rivals import Rivals
from runner.execute.run import DONE, Limits, run_plan
from runner.execute.site import Site
from runner.execute.wake import WAKE_FILE, waking
from runner.plan import CHANGING
from runner.runlog import RunEnded
from runner.state import recipe_named_in
from runner.wire.job import Job

T = TypeVar("T")

_STOPPED = {
    signal.SIGHUP: ExitCode.HUNG_UP,
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
}

OpenHttp = Callable[[Endpoint, int], AbstractAsyncContextManager[Http]]

SPARE_CONNECTIONS = 8
# Starting a courier takes a tenth of a second or two, which come back where so much is to do, and so much of it at once
# that the event loop is never idle.
MANY_STEPS = 200
MANY_JOBS = 32
LOOK_WITHIN_S = 10.0  # the run itself has more patience


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """How a run reaches what lies outside of it; whoever rehearses disasters puts in what breaks.

    open_http  to an endpoint, with so many connections; None for the way that suits the plan
    progress   told of every step, in place of the bars
    lease_s    how long a lease lasts when its owner falls silent
    """

    open_http: OpenHttp | None = None
    progress: Progress = field(default_factory=Silent)
    lease_s: float = LEASE_S


async def run_session(
    planning: Planning, planned: Planned, wishes: Wishes, run_id: str, outside: Outside | None = None
) -> tuple[Report, tuple[Problem, ...]]:
    """What came of the run, and the problems of inputs that couldn't be used."""
    outside = outside or Outside()
    with _stoppable() as stop:  # before the first line, until after the last: also a log that hangs can be left
        await planning.log.append(planning.run_started(run_id), run_id=run_id)
        try:
            report, problems = await _work(planning, planned, wishes, run_id, outside, stop.asked)
        except RunnerError as error:
            with suppress(RunnerError):  # the log itself may be what failed
                ended = RunEnded(run_id=run_id, exit_code=int(error.exit_code), summary={})
                await planning.log.append(ended, run_id=run_id)
            raise
        report = replace(report, interrupted=stop.exit_code)
        await _note_the_end(planning, report)
    return report, problems


async def _note_the_end(planning: Planning, report: Report) -> None:
    """Where that fails, what became of the jobs is told all the same: what the next run needs has lines of its own."""
    try:
        await planning.log.append(run_ended(report), run_id=report.run_id)
    except RunnerError as error:
        click.echo(f"warning: the end of the run isn't in the run log: {error}", err=True)


async def _work(
    planning: Planning, planned: Planned, wishes: Wishes, run_id: str, outside: Outside, stop: asyncio.Event
) -> tuple[Report, tuple[Problem, ...]]:
    began = time.monotonic()
    limits = Limits(
        jobs=wishes.jobs,
        lock_wait_s=wishes.lock_wait_s,
        lease_s=outside.lease_s,
        deadline_s=wishes.deadline_s,
        policy=wishes.policy,
    )
    async with _open_site(planning, planned, wishes, run_id, outside) as site:
        if wishes.warn:
            looking = _warn_of_a_log_gone_missing(planning, site)
            within_s = LOOK_WITHIN_S if wishes.deadline_s is None else min(LOOK_WITHIN_S, wishes.deadline_s)
            await _unless_stopped(looking, stop=stop, within_s=within_s)
        return await _run_levels(planning, planned, site, _after(limits, began), stop)


def _after(limits: Limits, began: float) -> Limits:
    """`limits` of what is left to do: the deadline is that of the whole run, which began at `began`."""
    if limits.deadline_s is None:
        return limits
    return replace(limits, deadline_s=max(0.0, limits.deadline_s - (time.monotonic() - began)))


async def _unless_stopped(doing: Coroutine[Any, Any, T], *, stop: asyncio.Event, within_s: float | None) -> T | None:
    """Do what a run can do without: its deadline and a signal end it, and there is no result."""
    done, stopped = asyncio.ensure_future(doing), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((done, stopped), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return done.result() if done.done() else None
    finally:
        done.cancel()
        stopped.cancel()
        await asyncio.gather(done, stopped, return_exceptions=True)


async def _warn_of_a_log_gone_missing(planning: Planning, site: Site) -> None:
    """A state folder that was lost, or a machine that comes and goes: what was bought is bought again, and nobody
    would know. So the first purchase of a log is preceded by one look at the account."""
    if planning.endpoint.embedded or planning.endpoint.name in planning.log.endpoints():
        return
    with suppress(RunnerError):  # whatever it is, the run will meet it and say so
        listed = await replace(site.api, backoff=A_LOOK).jobs()
        if listed.jobs:
            count = f"{len(listed.jobs)} or more" if listed.full else f"{len(listed.jobs)}"
            place = "" if planning.endpoint.run_log else f" in {planning.endpoint.state}"
            click.echo(
                f"warning: the run log{place} is new, but the account has jobs already ({count}): "
                "what other logs know as done is bought again\n"
                "  if a log got lost, stop here and bring it back; --state and RUNNER_STATE name its folder",
                err=True,
            )


async def _run_levels(
    planning: Planning, planned: Planned, site: Site, limits: Limits, stop: asyncio.Event
) -> tuple[Report, tuple[Problem, ...]]:
    """Recipes that come after others are planned anew when those are done: their inputs may only be there now. What all
    the others ask for is planned with: each level may do what the whole plan lets it."""
    names = levels({recipe.name: recipe.after for recipe in planning.recipes})
    patience = Patience(left_s=limits.lock_wait_s)
    if len(names) == 1:
        report = await _run_in_turn(planning, planned, site, limits, stop, patience=patience)
        return report, planned.problems
    began = time.monotonic()
    outcomes: list[Outcome] = []
    problems: list[Problem] = []
    undone: frozenset[str] = frozenset()
    part = planned
    for level in names:
        recipes, before = [recipe for recipe in planning.recipes if recipe.name in level], part
        anew = planning.plan_to_run(limits.policy, recipes, beside=before)
        left = _after(limits, began)
        # Without the time to plan, what was planned at first is what isn't begun any more.
        part = await _unless_stopped(anew, stop=stop, within_s=left.deadline_s) or planned.of(level)
        left = _after(limits, began)
        report = await _run_in_turn(planning, part, site, left, stop, patience=patience, undone=undone, beside=before)
        outcomes += report.outcomes
        problems += part.problems
        undone |= {
            recipe_named_in(outcome.address)
            for outcome in report.outcomes
            if outcome.wanted and outcome.status not in DONE
        }
    report = Report(run_id=site.run_id, endpoint=site.api.endpoint.name, outcomes=tuple(outcomes))
    return report, tuple(dict.fromkeys(problems))


async def _run_in_turn(
    planning: Planning,
    planned: Planned,
    site: Site,
    limits: Limits,
    stop: asyncio.Event,
    *,
    patience: Patience,
    undone: frozenset[str] = frozenset(),
    beside: Planned | None = None,
) -> Report:
    """Run the plan; what waits for work under way, which may take a name that it wants, is planned anew after that."""
    began = time.monotonic()
    report = await run_plan(planned.plan, site, limits, stop=stop, undone=undone, patience=patience)
    waiting = {step.address for step in planned.plan.steps if step.awaits}
    if not waiting:
        return report
    anew = planning.plan_to_run(limits.policy, planned.recipes, beside=beside)
    left = _after(limits, began)
    try:
        then = await _unless_stopped(anew, stop=stop, within_s=left.deadline_s)
    except RunnerError:  # what was done is told all the same, and what waits is blocked as it was planned
        then = None
    if then is None:
        return report
    steps = tuple(step for step in then.plan.steps if step.address in waiting)
    left = _after(limits, began)
    later = await run_plan(
        replace(then.plan, steps=steps, begun=()), site, left, stop=stop, undone=undone, patience=patience
    )
    by_address = {one.address: one for one in later.outcomes}
    outcomes = tuple(by_address.get(one.address, one) if one.wanted else one for one in report.outcomes)
    return replace(report, outcomes=outcomes)


@asynccontextmanager
async def _open_site(
    planning: Planning, planned: Planned, wishes: Wishes, run_id: str, outside: Outside
) -> AsyncIterator[Site]:
    with ExitStack() as stack:
        endpoint = _reached(planning.endpoint, stack)
        progress = _bars(planned, stack) if wishes.bars else outside.progress
        # Enough for all at once: who waits for a connection has no less patience with the server.
        connections = Limits(jobs=wishes.jobs).workers + SPARE_CONNECTIONS
        reach = outside.open_http or _way_out(planned, wishes)
        async with reach(endpoint, connections) as http:
            sleep = telling(asyncio.sleep, say=_say, clock=time.monotonic) if wishes.aloud else asyncio.sleep
            api = ConversionApi(endpoint=endpoint, http=http, sleep=sleep)
            async with (
                Poller(
                    api,
                    clock=time.monotonic,
                    sleep=asyncio.sleep,
                    unheard_of=_say_unheard_of if wishes.aloud else lambda _: None,
                ) as poller,
                waking(planning.endpoint.state / WAKE_FILE, poller.wake, sleep=asyncio.sleep),
            ):
                yield Site(
                    api=api,
                    transfer=Transfer(api=api),
                    poller=poller,
                    log=planning.log,
                    run_id=run_id,
                    account=planning.endpoint.account,
                    run_date=planned.run_date,
                    resolve=resolve_secret,
                    now=time.time,
                    sleep=sleep,
                    progress=progress,
                    pace=Pace(wishes.jobs),
                    rivals=Rivals(log=planning.log, run_id=run_id, seen_to=planned.seen_to),
                    newcomers=Newcomers(log=planning.log, run_id=run_id, seen_to=planned.seen_to),
                    durations=Durations(step.state for step in planned.plan.steps if step.state is not None),
                )


def _way_out(planned: Planned, wishes: Wishes) -> OpenHttp:
    """By courier where a run keeps its own event loop busy, and there is a core to spare."""
    steps = sum(step.action in CHANGING for step in planned.plan.steps)
    if wishes.jobs >= MANY_JOBS and steps >= MANY_STEPS and len(os.sched_getaffinity(0)) > 1:
        from runner.client.courier.http import open_courier_http

        return lambda endpoint, connections: open_courier_http(endpoint, connections=connections)
    return lambda endpoint, connections: open_http(endpoint, connections=connections)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _say_unheard_of(job: Job) -> None:
    _say(f"warning: {unheard_of(job)}; it is waited for as if it ran")


def _reached(chosen: ChosenEndpoint, stack: ExitStack) -> Endpoint:
    if not chosen.embedded:
        return Endpoint(name=chosen.name, base_url=chosen.base_url, api_key=chosen.api_key)
    return stack.enter_context(embedded_server(chosen.state / "server", settings=chosen.local))


def _bars(planned: Planned, stack: ExitStack) -> Progress:
    from rich.console import Console

    from runner.cli.bars import Bars

    return stack.enter_context(Bars(planned.plan, console=Console(file=sys.stderr)))


@dataclass(kw_only=True, slots=True)
class _Stop:
    asked: asyncio.Event
    exit_code: ExitCode | None = None


@contextmanager
def _stoppable() -> Iterator[_Stop]:
    """SIGHUP, SIGINT and SIGTERM ask the run to end well; a second one ends it at once. Neither loses anything.

    A terminal that closes says SIGHUP more than once: that isn't impatience. What nohup told to ignore it does.
    The second is heard also where the event loop has no turn, since the log or a disk keeps it waiting.
    """
    loop = asyncio.get_running_loop()
    stop = _Stop(asked=asyncio.Event())

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.exit_code is not None:
            if number == signal.SIGHUP:
                return
            with suppress(RuntimeError):  # it was just being written to
                sys.stderr.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        stop.exit_code = _STOPPED[signal.Signals(number)]
        loop.call_soon_threadsafe(stop.asked.set)

    heard = [number for number in _STOPPED if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
