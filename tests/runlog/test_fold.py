"""The table of which line may follow which stage, walked completely, and the fold over random walks of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.runlog import (
    FOLLOWS,
    Abandoned,
    Created,
    Delivered,
    DeliveryFailed,
    Failed,
    Finished,
    Intent,
    KeyEvent,
    Lost,
    OutOfOrder,
    Refused,
    Staged,
    Started,
    Starting,
    StoredEvent,
    fold,
)
from runner.runlog.fold import follow
from runner.runlog.snapshot import read_state, write_state
from runner.state import Delivery, KeyState, Stage

KINDS: tuple[type[KeyEvent], ...] = (
    Intent,
    Created,
    Abandoned,
    Staged,
    Starting,
    Started,
    Refused,
    Finished,
    Failed,
    Lost,
    Delivered,
    DeliveryFailed,
)
# The shortest way to each stage.
WAYS: dict[Stage | None, tuple[type[KeyEvent], ...]] = {
    None: (),
    Stage.INTENT: (Intent,),
    Stage.CREATED: (Intent, Created),
    Stage.STAGED: (Intent, Created, Staged),
    Stage.STARTING: (Intent, Created, Staged, Starting),
    Stage.STARTED: (Intent, Created, Staged, Starting, Started),
    Stage.FINISHED: (Intent, Created, Staged, Starting, Started, Finished),
    Stage.FAILED: (Intent, Created, Staged, Starting, Started, Failed),
    Stage.LOST: (Intent, Created, Staged, Starting, Started, Lost),
}
EVERYTHING = list(itertools.product(WAYS, KINDS))
ENDS = (Stage.FINISHED, Stage.FAILED, Stage.LOST)


def event(kind: type[KeyEvent], *, attempt: int = 1, job_id: str = "j") -> KeyEvent:
    fields: dict[type[KeyEvent], dict[str, object]] = {
        Intent: {"addresses": ("a",), "payload": {"x": attempt}, "cap": 4, "recipe": "r", "account": "k"},
        Staged: {"uploads": ()},
        Refused: {"status": 402, "message": "no", "until": 5.0},
        Finished: {"spent": 2, "outputs": ()},
        Failed: {"spent": 1, "errors": ({"code": 1, "message": "broken"},)},
        Lost: {"reason": "gone"},
        Delivered: {"address": "a", "save": "out", "files": ()},
        DeliveryFailed: {"address": "a", "message": "full"},
    }
    return kind(key="k", attempt=attempt, **fields.get(kind, {"job_id": job_id}))


def walk(kinds: Sequence[type[KeyEvent]]) -> KeyState | None:
    state: KeyState | None = None
    for kind in kinds:
        state = follow(state, next_event(state, kind), at=1.0)
    return state


def next_event(state: KeyState | None, kind: type[KeyEvent]) -> KeyEvent:
    """The event of this kind that fits the state, if any does."""
    attempt = 1 if state is None else state.attempt + (kind is Intent and state.stage in ENDS)
    return event(kind, attempt=attempt, job_id="j" if state is None else state.job_id or "j")


def name(case: object) -> str:
    return str(case.__name__ if isinstance(case, type) else case or "nothing")


@pytest.mark.parametrize(("stage", "kind"), EVERYTHING, ids=name)
def test_a_line_follows_a_stage_exactly_if_the_table_says_so(stage: Stage | None, kind: type[KeyEvent]) -> None:
    state = walk(WAYS[stage])
    assert (None if state is None else state.stage) == stage
    if (stage, kind) == (Stage.INTENT, Abandoned):
        state = walk((Intent, Created, Intent))  # only an intent that still has a job can abandon it

    if (stage, kind) in FOLLOWS:
        assert follow(state, next_event(state, kind), at=1.0).stage is FOLLOWS[stage, kind]
    else:
        with pytest.raises(OutOfOrder):
            follow(state, next_event(state, kind), at=1.0)


def test_the_architecture_says_what_every_line_means_and_names_every_stage() -> None:
    text = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    _, _, chapter = text.partition("## Never buying twice")
    picture, _, table = chapter.partition("| line | what has happened")

    explained = {
        word for row in table.split("\n\n")[0].splitlines() for word in re.findall(r"\*(\w+)\*", row.split("|")[1])
    }
    assert explained == {re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower() for _, kind in FOLLOWS}
    assert all(stage.name in picture for stage in Stage)


def test_the_only_ways_to_something_bought_lead_through_the_commit_point() -> None:
    bought = {Stage.STARTED, Stage.FINISHED, Stage.LOST}

    doors = {before for (before, _), after in FOLLOWS.items() if after in bought and before not in bought}

    assert doors == {Stage.STARTING}


def test_nothing_bought_becomes_unbought_except_by_refusal_or_a_new_attempt() -> None:
    bought = {Stage.STARTING, Stage.STARTED, Stage.FINISHED, Stage.LOST}
    unbought = {Stage.INTENT, Stage.CREATED, Stage.STAGED}

    back = {(before, kind) for (before, kind), after in FOLLOWS.items() if before in bought and after in unbought}

    assert back == {(Stage.STARTING, Refused), (Stage.FINISHED, Intent), (Stage.LOST, Intent)}


@pytest.mark.parametrize("stage", [each for each in WAYS if each], ids=str)
@pytest.mark.parametrize("attempt", [0, 2, 3])
def test_a_line_of_another_attempt_is_refused(stage: Stage, attempt: int) -> None:
    state = walk(WAYS[stage])

    for kind in KINDS:
        if (stage, kind) in FOLLOWS and not (kind is Intent and stage in ENDS and attempt == 2):
            with pytest.raises(OutOfOrder):
                follow(state, event(kind, attempt=attempt), at=1.0)


@pytest.mark.parametrize("kind", [Starting, Started, Abandoned])
def test_a_line_about_another_job_is_refused(kind: type[KeyEvent]) -> None:
    stage = next(stage for stage, other in FOLLOWS if other is kind and stage is not Stage.INTENT)

    with pytest.raises(OutOfOrder, match="job other"):
        follow(walk(WAYS[stage]), event(kind, job_id="other"), at=1.0)


def test_an_intent_said_again_keeps_the_job_that_is_there_until_it_is_deleted() -> None:
    state = walk((Intent, Created, Intent))

    assert state is not None
    assert (state.stage, state.job_id) == (Stage.INTENT, "j")
    assert follow(state, event(Abandoned), at=1.0).job_id == ""


def test_a_fold_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no line about a key"):
        fold([])


@st.composite
def stories(draw: st.DrawFn) -> list[StoredEvent]:
    """A log of one key that could have been: each line may follow the ones before."""
    state: KeyState | None = None
    told: list[StoredEvent] = []
    for seq in range(draw(st.integers(1, 25))):
        stage = None if state is None else state.stage
        kinds = [kind for kind in KINDS if (stage, kind) in FOLLOWS]
        kind = draw(st.sampled_from(kinds))
        if kind is Abandoned and state is not None and not state.job_id:
            continue
        line = next_event(state, kind)
        state = follow(state, line, at=float(seq))
        told.append(StoredEvent(seq=seq * 3, at=float(seq), run_id="r", fence=1, event=line))  # type: ignore[arg-type]  # every KeyEvent is an Event
    return told


@given(story=stories(), data=st.data())
def test_order_and_repetition_of_what_is_read_change_nothing(story: list[StoredEvent], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(story + data.draw(st.lists(st.sampled_from(story), max_size=5))))

    assert fold(shuffled) == fold(story)


@given(story=stories())
def test_a_kept_state_is_the_state(story: list[StoredEvent]) -> None:
    state = fold(story)

    assert read_state(write_state(state)) == state


def test_a_delivery_that_was_kept_without_its_time_can_be_read() -> None:
    kept = KeyState(key="k", attempt=1, stage=Stage.FINISHED, deliveries={"a": Delivery(save="out", files=(), at=7.0)})

    old = write_state(kept).replace(',"at":7.0', "")

    assert read_state(old).deliveries == {"a": Delivery(save="out", files=())}


@given(story=stories())
def test_what_was_spent_is_the_sum_over_all_attempts_and_never_shrinks(story: list[StoredEvent]) -> None:
    ends = [each.event.spent for each in story if isinstance(each.event, Finished | Failed)]

    assert fold(story).spent == sum(ends)
