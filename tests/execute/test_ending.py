"""What the last line of a run keeps of addresses that weren't done: the reasons, and not a line for each of a hundred
thousand."""

from __future__ import annotations

from runner.execute.ending import MOST_ADDRESSES, MOST_REASONS, run_ended
from runner.execute.outcome import Outcome, Report, Status, Trouble
from runner.plan import Action
from runner.runlog import RunEnded, event_body, read_event


def outcome(address: str, message: str = "", status: Status = Status.BLOCKED) -> Outcome:
    troubles = (Trouble(message=message, hint="move it"),) if message else ()
    return Outcome(address=address, key="k", action=Action.BLOCKED, status=status, errors=troubles)


def ended(*outcomes: Outcome) -> RunEnded:
    line = run_ended(Report(run_id="r", endpoint="local", outcomes=outcomes))
    assert read_event("run_ended", event_body(line)) == line
    return line


def test_addresses_with_one_reason_are_gathered_and_what_is_done_is_left_out() -> None:
    line = ended(
        outcome("a", "in the way"),
        outcome("b", status=Status.SUCCEEDED),
        outcome("c", "in the way"),
        outcome("d", "the deadline came", Status.PENDING),
        outcome("e", status=Status.SKIPPED),
    )

    assert [(one.status, one.count, one.addresses) for one in line.not_done] == [
        ("blocked", 2, ("a", "c")),
        ("pending", 1, ("d",)),
    ]
    assert line.not_done[0].errors == ({"code": 0, "message": "in the way", "hint": "move it"},)


def test_a_hundred_thousand_of_one_reason_hide_no_other_and_are_counted() -> None:
    many = [outcome(f"shop[{number}.jpg]", "no credits") for number in range(100_000)]

    line = ended(*many, outcome("last", "in the way"))

    assert [one.count for one in line.not_done] == [100_000, 1]
    assert line.not_done[1].addresses == ("last",)
    assert sum(len(one.addresses) for one in line.not_done) == MOST_ADDRESSES
    assert len(event_body(line)) < 100_000


def test_a_reason_for_each_of_a_hundred_thousand_is_bounded_too() -> None:
    failed = [outcome(f"f{number}", f"{number} is broken", Status.FAILED) for number in range(1000)]

    line = ended(*failed, *(outcome(f"a{number}", f"{number}{'x' * 4000}") for number in range(100_000)))

    *named, others = line.not_done
    assert [one.status for one in named] == ["blocked"] * MOST_REASONS
    assert sum(one.count for one in line.not_done) == 101_000
    assert (others.addresses, others.errors[0]["message"]) == ((), f"{101_000 - MOST_REASONS} more reasons")
    assert len(event_body(line)) < 200_000


def test_a_name_that_is_no_text_is_kept_as_an_escape() -> None:
    (group,) = ended(outcome("shop[\udcff.jpg]", "'\udcff.jpg' is in the way")).not_done

    assert group.addresses == ("shop[\\udcff.jpg]",)
    assert group.errors[0]["message"] == "'\\udcff.jpg' is in the way"
