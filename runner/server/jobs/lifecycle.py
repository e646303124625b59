"""The states of a job, as data. Whatever is not in the table can't happen.

The API has one word, `downloading`, for a staged job that fetches its inputs ahead and for a started one
that waits for them; the difference is whether it has been bought, so here they are two phases.
"""

from __future__ import annotations

from enum import StrEnum

from runner.wire.status import StatusCode


class Phase(StrEnum):
    __hash__ = str.__hash__  # an enum's own is written in Python, and phases are looked up all the time

    STAGED_INCOMPLETE = "staged-incomplete"
    STAGED_FETCHING = "staged-fetching"
    STAGED_READY = "staged-ready"
    FETCHING = "fetching"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class Event(StrEnum):
    LACKS = "lacks"  # a conversion or an input is missing
    FETCHES = "fetches"  # an input is still on its way
    SETTLES = "settles"  # every input is there, or known to be lost
    START = "start"  # the purchase
    PICK = "pick"  # a worker takes it
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"


STAGED = frozenset({Phase.STAGED_INCOMPLETE, Phase.STAGED_FETCHING, Phase.STAGED_READY})
RUNNING = frozenset({Phase.FETCHING, Phase.QUEUED, Phase.PROCESSING})
ENDED = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.CANCELED})

STATUS = {
    Phase.STAGED_INCOMPLETE: StatusCode.INCOMPLETE,
    Phase.STAGED_FETCHING: StatusCode.DOWNLOADING,
    Phase.STAGED_READY: StatusCode.READY,
    Phase.FETCHING: StatusCode.DOWNLOADING,
    Phase.QUEUED: StatusCode.QUEUED,
    Phase.PROCESSING: StatusCode.PROCESSING,
    Phase.COMPLETED: StatusCode.COMPLETED,
    Phase.FAILED: StatusCode.FAILED,
    Phase.CANCELED: StatusCode.CANCELED,
}

TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    **{(phase, Event.LACKS): Phase.STAGED_INCOMPLETE for phase in STAGED},
    **{(phase, Event.FETCHES): Phase.STAGED_FETCHING for phase in STAGED},
    **{(phase, Event.SETTLES): Phase.STAGED_READY for phase in STAGED},
    (Phase.STAGED_FETCHING, Event.START): Phase.FETCHING,
    (Phase.STAGED_READY, Event.START): Phase.QUEUED,
    (Phase.FETCHING, Event.SETTLES): Phase.QUEUED,
    (Phase.QUEUED, Event.PICK): Phase.PROCESSING,
    (Phase.PROCESSING, Event.PICK): Phase.PROCESSING,  # after a restart the same work is taken up again
    (Phase.PROCESSING, Event.SUCCEED): Phase.COMPLETED,
    (Phase.PROCESSING, Event.FAIL): Phase.FAILED,
    **{(phase, Event.CANCEL): Phase.CANCELED for phase in STAGED | RUNNING},
}


class ForbiddenTransition(Exception):
    """An event that the table doesn't know in this phase."""


def follow(phase: Phase, event: Event) -> Phase:
    """The phase after `event`; raises ForbiddenTransition where the table has no arrow."""
    try:
        return TRANSITIONS[phase, event]
    except KeyError:
        raise ForbiddenTransition(f"a job that is {phase} can't {event}") from None
