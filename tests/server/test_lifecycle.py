"""The table of transitions, walked completely."""

from __future__ import annotations

from itertools import product

import pytest

from runner.server.jobs.lifecycle import (
    ENDED,
    RUNNING,
    STAGED,
    STATUS,
    TRANSITIONS,
    Event,
    ForbiddenTransition,
    Phase,
    follow,
)
from runner.wire.status import TERMINAL


@pytest.mark.parametrize(("phase", "event"), list(product(Phase, Event)), ids=str)
def test_every_event_in_every_phase_leads_where_the_table_says_or_is_refused(phase: Phase, event: Event) -> None:
    if (phase, event) in TRANSITIONS:
        assert follow(phase, event) is TRANSITIONS[phase, event]
    else:
        with pytest.raises(ForbiddenTransition, match=str(phase)):
            follow(phase, event)


def test_every_phase_is_reached_from_a_new_job() -> None:
    reached = {Phase.STAGED_INCOMPLETE}

    for _ in Phase:
        reached |= {new for (old, _), new in TRANSITIONS.items() if old in reached}

    assert reached == set(Phase)


def test_what_has_ended_never_changes() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] in ENDED]
    assert {STATUS[phase] for phase in ENDED} == TERMINAL


def test_only_a_start_leads_from_staged_to_running_and_nothing_leads_back() -> None:
    bought = [(old, event) for (old, event), new in TRANSITIONS.items() if old in STAGED and new in RUNNING]

    assert {event for _, event in bought} == {Event.START}
    assert not [pair for pair, new in TRANSITIONS.items() if pair[0] in RUNNING and new in STAGED]


def test_every_phase_has_a_status_of_the_api_and_belongs_to_one_group() -> None:
    assert set(STATUS) == set(Phase)
    assert sorted([*STAGED, *RUNNING, *ENDED]) == sorted(Phase)
