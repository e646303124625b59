"""What the lines about a key add up to.

`FOLLOWS` says which line may follow which stage, and where it leads; a line that isn't there is refused before it
is written, so every log folds. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

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
    Refused,
    Staged,
    Started,
    Starting,
    StoredEvent,
)
from runner.runlog.faults import OutOfOrder
from runner.state import Delivery, KeyState, Stage

# A key nobody has heard of has no stage.
FOLLOWS: Mapping[tuple[Stage | None, type[KeyEvent]], Stage] = {
    (None, Intent): Stage.INTENT,
    # Unstarted work is free: begin it again under the same attempt, with another job if need be.
    (Stage.INTENT, Intent): Stage.INTENT,
    (Stage.CREATED, Intent): Stage.INTENT,
    (Stage.STAGED, Intent): Stage.INTENT,
    (Stage.INTENT, Created): Stage.CREATED,
    (Stage.CREATED, Created): Stage.CREATED,
    (Stage.STAGED, Created): Stage.CREATED,
    (Stage.INTENT, Abandoned): Stage.INTENT,
    (Stage.CREATED, Abandoned): Stage.INTENT,
    (Stage.STAGED, Abandoned): Stage.INTENT,
    (Stage.CREATED, Staged): Stage.STAGED,
    (Stage.STAGED, Staged): Stage.STAGED,
    # What the server won't take is free, too; the line says why nothing came of it.
    (Stage.INTENT, Refused): Stage.INTENT,
    (Stage.CREATED, Refused): Stage.CREATED,
    # The commit point. Recovery says it again, with the same job.
    (Stage.CREATED, Starting): Stage.STARTING,
    (Stage.STAGED, Starting): Stage.STARTING,
    (Stage.STARTING, Starting): Stage.STARTING,
    (Stage.STARTING, Refused): Stage.STAGED,
    (Stage.STARTING, Started): Stage.STARTED,
    (Stage.STARTED, Started): Stage.STARTED,
    # Reading an unknown start may show the end at once.
    (Stage.STARTING, Finished): Stage.FINISHED,
    (Stage.STARTED, Finished): Stage.FINISHED,
    (Stage.STARTING, Failed): Stage.FAILED,
    (Stage.STARTED, Failed): Stage.FAILED,
    (Stage.STARTING, Lost): Stage.LOST,
    (Stage.STARTED, Lost): Stage.LOST,
    # A person found the job after all.
    (Stage.LOST, Started): Stage.STARTED,
    (Stage.LOST, Starting): Stage.STARTING,
    (Stage.FINISHED, Delivered): Stage.FINISHED,
    (Stage.FINISHED, DeliveryFailed): Stage.FINISHED,
    # The next attempt, which somebody has allowed; that of finished work when its outputs are gone everywhere.
    (Stage.FAILED, Intent): Stage.INTENT,
    (Stage.LOST, Intent): Stage.INTENT,
    (Stage.FINISHED, Intent): Stage.INTENT,
}

ENDED = frozenset({Stage.FINISHED, Stage.FAILED, Stage.LOST})


def fold(events: Iterable[StoredEvent]) -> KeyState:
    """The state of one key after `events`, in whatever order they come and however often.

    Raises ValueError without any event, and OutOfOrder for lines that no log of ours holds.
    """
    state: KeyState | None = None
    for stored in sorted({each.seq: each for each in events}.values(), key=lambda each: each.seq):
        if isinstance(stored.event, KeyEvent):
            state = follow(state, stored.event, at=stored.at)
    if state is None:
        raise ValueError("no line about a key")
    return state


def follow(state: KeyState | None, event: KeyEvent, *, at: float) -> KeyState:
    """The state after `event`, said at `at` (seconds since the epoch). Raises OutOfOrder if it may not follow."""
    before = None if state is None else state.stage
    stage = FOLLOWS.get((before, type(event)))
    if stage is None:
        raise OutOfOrder(f"{type(event).__name__} may not follow {before or 'nothing'} (key {event.key})")
    if isinstance(event, Intent):
        return _intend(state, event)
    assert state is not None  # only an intent follows nothing, says the table
    _check_sameness(state, event)
    return replace(state, stage=stage, **_CHANGES[type(event)](state, event, at))


def follow_leniently(state: KeyState | None, event: KeyEvent, *, at: float) -> KeyState:
    """The state after `event` where lines before it are missing: what it says of itself, on top of what is known."""
    if isinstance(event, Intent):
        known = state or KeyState(key=event.key, attempt=0, stage=Stage.FAILED)
        return _intend(replace(known, attempt=event.attempt - 1, stage=Stage.FAILED), event)
    known = state or KeyState(key=event.key, attempt=event.attempt, stage=Stage.INTENT)
    job_id = getattr(event, "job_id", known.job_id)
    known = replace(known, attempt=event.attempt, job_id=job_id, stage=_LEADS_TO[type(event)])
    return replace(known, **_CHANGES[type(event)](known, event, at))


# Where each line leads after the stage that it usually follows.
_LEADS_TO: Mapping[type[KeyEvent], Stage] = {event: stage for (_, event), stage in FOLLOWS.items()}


def _intend(state: KeyState | None, event: Intent) -> KeyState:
    if state is None:
        state = KeyState(key=event.key, attempt=0, stage=Stage.FAILED)
    fresh = state.stage in ENDED
    expected = state.attempt + 1 if fresh else state.attempt
    if event.attempt != expected or event.key != state.key:
        raise OutOfOrder(f"attempt {event.attempt} of {event.key}, but {expected} of {state.key} is next")
    return KeyState(
        key=event.key,
        attempt=event.attempt,
        stage=Stage.INTENT,
        addresses=state.addresses | frozenset(event.addresses),
        payload=event.payload,
        cap=event.cap,
        account=event.account,
        recipe=event.recipe,
        run_date=event.run_date,
        endpoint=event.endpoint,
        epoch=event.epoch,
        # An unstarted job that is still there keeps its name, so that it can be deleted.
        job_id="" if fresh else state.job_id,
        spent=state.spent,
        deliveries=state.deliveries,
    )


def _check_sameness(state: KeyState, event: KeyEvent) -> None:
    if (event.key, event.attempt) != (state.key, state.attempt):
        raise OutOfOrder(f"attempt {event.attempt} of {event.key}, but {state.attempt} of {state.key} is current")
    if isinstance(event, Starting | Started | Abandoned) and event.job_id != state.job_id:
        raise OutOfOrder(f"job {event.job_id} of {event.key}, but {state.job_id or 'none'} is current")


def _created(_state: KeyState, event: Created, _at: float) -> dict[str, Any]:
    return {"job_id": event.job_id, "uploads": (), "refusal": "", "parked_until": None}


def _abandoned(_state: KeyState, _event: Abandoned, _at: float) -> dict[str, Any]:
    return {"job_id": "", "uploads": ()}


def _staged(_state: KeyState, event: Staged, _at: float) -> dict[str, Any]:
    return {"uploads": event.uploads}


def _starting(_state: KeyState, _event: Starting, _at: float) -> dict[str, Any]:
    return {"refusal": "", "parked_until": None}


def _started(state: KeyState, _event: Started, at: float) -> dict[str, Any]:
    return {"started_at": at if state.started_at is None else state.started_at, "errors": ()}


def _refused(_state: KeyState, event: Refused, _at: float) -> dict[str, Any]:
    return {"refusal": event.message or f"HTTP {event.status}", "parked_until": event.until}


def _finished(state: KeyState, event: Finished, at: float) -> dict[str, Any]:
    return {"spent": state.spent + event.spent, "outputs": event.outputs, "finished_at": at}


def _failed(state: KeyState, event: Failed, at: float) -> dict[str, Any]:
    return {"spent": state.spent + event.spent, "errors": tuple(event.errors), "finished_at": at}


def _lost(_state: KeyState, event: Lost, _at: float) -> dict[str, Any]:
    return {"errors": ({"code": 0, "message": event.reason},)}


def _delivered(state: KeyState, event: Delivered, at: float) -> dict[str, Any]:
    errors = {address: why for address, why in state.delivery_errors.items() if address != event.address}
    before = state.deliveries.get(event.address)
    now = {file.path for file in event.files}
    earlier = tuple(file for file in before.all_files if file.path not in now) if before else ()
    delivery = Delivery(save=event.save, files=event.files, earlier=earlier, at=at, recipe_file=event.recipe_file)
    return {
        "addresses": state.addresses | {event.address},
        "deliveries": {**state.deliveries, event.address: delivery},
        "delivery_errors": errors,
    }


def _delivery_failed(state: KeyState, event: DeliveryFailed, _at: float) -> dict[str, Any]:
    return {
        "addresses": state.addresses | {event.address},
        "delivery_errors": {**state.delivery_errors, event.address: event.message},
        "gone": state.gone or event.gone,
        "deliveries": {**state.deliveries, **_in_part(state, event)},
    }


def _in_part(state: KeyState, event: DeliveryFailed) -> Mapping[str, Delivery]:
    """What was put although not all could be: ours, and no delivery."""
    if not event.files:
        return {}
    before = state.deliveries.get(event.address) or Delivery(save="", files=())
    put = {file.path for file in event.files}
    files, earlier = (tuple(one for one in rows if one.path not in put) for rows in (before.files, before.earlier))
    return {event.address: replace(before, save="", files=files, earlier=(*earlier, *event.files))}


# Each is only called with its own kind, which a dict's type can't say.
_CHANGES: Mapping[type[KeyEvent], Callable[[KeyState, Any, float], dict[str, Any]]] = {
    Created: _created,
    Abandoned: _abandoned,
    Staged: _staged,
    Starting: _starting,
    Started: _started,
    Refused: _refused,
    Finished: _finished,
    Failed: _failed,
    Lost: _lost,
    Delivered: _delivered,
    DeliveryFailed: _delivery_failed,
}


def key_of(event: Event) -> str | None:
    """The key a line is about, None for lines about a run."""
    return event.key if isinstance(event, KeyEvent) else None
