"""Preflight: how the sources and targets of a plan's purchases would fare; nothing is bought, nothing is stored.

Every object is looked at once, however many jobs mean it. What can't be looked at from here is said to be unknown.
At FTP a name is looked for, but whether one may write there, a server tells only when it is done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import aiohttp

from runner.cli.elsewhere.remotes import look_at, open_web
from runner.cli.elsewhere.stores import resolved, store_site
from runner.cli.endpoint import ChosenEndpoint
from runner.cli.secrets import resolve_secret
from runner.compile import HOSTED, Target, targets_of
from runner.errors import InvalidError, Problem, RunnerError
from runner.plan import Action, Plan, Sight, Step
from runner.server.engine.addresses import RefusedAddress, resolve
from runner.server.storage.looking import look_at_source, look_at_target
from runner.server.storage.places import place_of, refusal
from runner.server.storage.protocol import Site, StorageError
from runner.wire.addresses import masked
from runner.wire.values import JsonObject, as_list, as_object, as_text

AT_ONCE = 16
_BUYING = frozenset({Action.RUN, Action.RETRY, Action.RESUME})

_TAKEN = "nothing was bought; remove it there, or give `file` another name"
_UNSEEN = (
    "nothing was bought, since an earlier result may have this name; let the credentials look "
    "(runner doctor --policy prints the rights), or give `file` another name"
)

Part = Literal["input", "output_target"]
Verdict = tuple[Literal["ok", "wrong", "unknown"], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """One look for one address.

    at    where the recipe says it
    name  what it is called
    entry the input or output target, secrets as references
    file  the name at the provider, "" where only a run will know it
    """

    step: Step
    part: Part
    at: tuple[str | int, ...]
    name: str
    entry: JsonObject = field(repr=False)
    file: str = ""

    @property
    def folder(self) -> Path:
        assert self.step.job is not None
        return self.step.job.save.folder

    @property
    def once(self) -> str:
        """The same for looks at the same thing."""
        return json.dumps([self.part, self.entry, self.file, str(self.folder)], sort_keys=True)


async def preflight(plan: Plan, chosen: ChosenEndpoint, *, run_date: str) -> tuple[Sight, ...]:
    """What a look shows, for every source and target of the work that `plan` buys."""
    bought = [step for step in plan.steps if step.action in _BUYING]
    return await _sights([look for step in bought for look in _looks(step, run_date)], chosen)


async def cleared(plan: Plan, chosen: ChosenEndpoint, *, run_date: str) -> Plan:
    """`plan` with all work blocked that goes to names which earlier results hold, unless a look shows them free."""
    looks = [look for step in plan.steps if step.held for look in _looks(step, run_date) if look.name in step.held]
    taken = {sight.address: sight for sight in await _sights(looks, chosen) if sight.verdict != "ok"}
    return replace(plan, steps=tuple(_blocked(step, taken.get(step.address)) for step in plan.steps))


def problems_of(plan: Plan, sights: Iterable[Sight], *, run_date: str) -> Iterator[Problem]:
    """What is wrong, each at the line of the recipe that names it."""
    steps = {step.address: step for step in plan.steps}
    for sight in sights:
        job = steps[sight.address].job
        if sight.verdict == "wrong" and job is not None:
            looks = _looks(steps[sight.address], run_date)
            at = next(look.at for look in looks if (look.part, look.name) == (sight.part, sight.name))
            message = f"{sight.address}: {sight.said}"
            yield Problem(place=job.draft.recipe.locate(at), code="preflight", message=message, secret=True)


def _blocked(step: Step, sight: Sight | None) -> Step:
    if sight is None:
        return step
    way_out = _UNSEEN if sight.verdict == "unknown" else _TAKEN
    return replace(step, action=Action.BLOCKED, reason=f"{sight.said}; {way_out}")


def _looks(step: Step, run_date: str) -> Iterator[_Look]:
    if step.job is None:
        return
    payload = step.job.payload_for(run_date=run_date)
    for index, entry in enumerate(map(as_object, as_list(payload.get("input")))):
        if entry.get("type", "remote") in ("cloud", "remote"):
            yield _Look(step=step, part="input", at=("input", index), name=_input_name(entry), entry=entry)
    for target in targets_of(payload):
        yield _target_look(step, payload, target)


def _target_look(step: Step, payload: JsonObject, target: Target) -> _Look:
    entry = as_object(payload["conversion"][target.conversion]["output_target"][target.index])
    return _Look(
        step=step,
        part="output_target",
        at=("conversion", target.conversion, "output_target", target.index),
        name=str(target.name) if target.name else as_text(entry.get("type")),
        entry=entry,
        file=target.name.file if target.name else "",
    )


def _input_name(entry: JsonObject) -> str:
    source = entry.get("source")
    if entry.get("type") == "cloud":
        return f"{as_text(source)} {as_text(as_object(entry.get('parameters')).get('file'))}"
    return masked(source) if isinstance(source, str) else "a secret source"


async def _sights(looks: Sequence[_Look], chosen: ChosenEndpoint) -> tuple[Sight, ...]:
    once = {look.once: look for look in looks}
    room, site = asyncio.Semaphore(AT_ONCE), store_site(chosen)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="preflight") as pool:
        async with open_web() as http:

            async def looked(look: _Look) -> Verdict:
                async with room:
                    if chosen.embedded and (closed := await asyncio.to_thread(_closed, look, site)):
                        return "wrong", f"{look.name}: {closed}"
                    return await _looked(look, http, pool, site, is_hosted=chosen.name == HOSTED)

            verdicts = dict(zip(once, await asyncio.gather(*map(looked, once.values())), strict=True))
    return tuple(
        Sight(address=look.step.address, part=look.part, name=look.name, verdict=verdict, said=said)
        for look in looks
        for verdict, said in [verdicts[look.once]]
    )


async def _looked(
    look: _Look, http: aiohttp.ClientSession, pool: ThreadPoolExecutor, site: Site, *, is_hosted: bool
) -> Verdict:
    try:
        if look.entry.get("type", "remote") == "remote":
            await look_at(http, _url(look))
            return "ok", ""
        provider = as_text(look.entry.get("source" if look.part == "input" else "type"))
        if refused := refusal(provider):
            return ("unknown", f"{provider} can't be asked from here") if is_hosted else ("wrong", refused)
        unseen = await asyncio.get_running_loop().run_in_executor(pool, _stored, look, provider, site)
    except InvalidError as error:
        return "wrong", f"{look.name}: {error}"
    except StorageError as error:
        return "wrong", error.message
    return ("unknown", f"{look.name}: {unseen}") if unseen else ("ok", "")


def _closed(look: _Look, site: Site) -> str:
    """Why the server of a run won't fetch this source, although it can be reached from here."""
    if look.part != "input" or look.entry.get("type", "remote") != "remote":
        return ""
    try:
        parts = urlsplit(_url(look))
        resolve(parts.hostname or "", parts.port or 0, site.allowed)
    except RefusedAddress as refused:
        return str(refused)
    except (RunnerError, ValueError, OSError):  # what else is wrong with it, the look says
        return ""
    return ""


def _url(look: _Look) -> str:
    source = look.entry.get("source")
    return source if isinstance(source, str) else as_text(resolve_secret(as_object(source), look.folder))


def _stored(look: _Look, provider: str, site: Site) -> str:
    """In a thread: ask the provider; what can't be seen. Raises StorageError, InvalidError."""
    parameters = as_object(look.entry.get("parameters"))
    credentials = resolved(as_object(look.entry.get("credentials")), look.folder)
    if look.part == "input":
        look_at_source(place_of(provider, parameters, credentials), site)
        return ""
    if not look.file:
        return "what its results will be called, only a run knows"
    return look_at_target(place_of(provider, {**parameters, "file": look.file}, credentials), site)
