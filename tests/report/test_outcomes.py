"""Outcomes for people and for scripts."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest

from runner.errors import ExitCode
from runner.execute.outcome import Outcome, Report, Status, Trouble
from runner.plan import Action
from runner.report.outcomes import folders_text, summary_text, troubles_text, warnings_text
from runner.resources import schema
from runner.state import DeliveredFile

FILE = DeliveredFile(path="/srv/out/a.webp", size_bytes=9, sha256="0" * 64, mtime_ns=1, inode=1)


def outcome(status: Status = Status.SUCCEEDED, **more: Any) -> Outcome:
    usual: dict[str, Any] = {"address": "shop[a.jpg]", "key": "k1:" + "0" * 64, "action": Action.RUN, "status": status}
    return Outcome(**(usual | more))


def report(*outcomes: Outcome, **more: Any) -> Report:
    usual: dict[str, Any] = {"run_id": "20261123T152600-ab12cd", "endpoint": "local", "outcomes": outcomes}
    return Report(**(usual | more))


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The published shape without room for what it doesn't describe."""
    shape = copy.deepcopy(document)
    job = shape["properties"]["jobs"]["items"]
    parts = [job["properties"][name]["items"] for name in ("outputs", "errors", "warnings")]
    for each in (shape, shape["properties"]["summary"], job, *parts):
        each["additionalProperties"] = False
    return shape


def test_a_report_as_json_has_the_published_shape_with_every_key_always_there() -> None:
    full = outcome(
        Status.FAILED,
        job_id="j",
        spent=3,
        outputs=(FILE,),
        errors=(Trouble(message="no", code=15, hint="try png"),),
        warnings=(Trouble(message="pale"),),
    )
    document = report(*(outcome(status) for status in Status), full).as_json()

    jsonschema.Draft7Validator(closed(schema("run-report"))).validate(document)
    assert document["summary"] == {status.value: 2 if status is Status.FAILED else 1 for status in Status}
    assert document["jobs"][-1]["outputs"] == [{"path": "/srv/out/a.webp", "size": 9, "sha256": "0" * 64}]


def test_a_run_of_nothing_has_the_published_shape_too() -> None:
    jsonschema.Draft7Validator(closed(schema("run-report"))).validate(report().as_json())


@pytest.mark.parametrize("status", [Status.FAILED, Status.LOST, Status.BLOCKED, Status.PENDING])
def test_what_is_not_done_is_named_with_reason_code_and_advice(status: Status) -> None:
    bad = outcome(status, errors=(Trouble(message="no such codec", code=15, hint="try png"),))

    text = troubles_text(report(outcome(), bad), color=False)

    assert text == f"{status.value}: shop[a.jpg]: no such codec (15)\n  try png\n"


def test_when_all_is_well_there_is_nothing_to_say() -> None:
    assert troubles_text(report(outcome(), outcome(Status.SKIPPED)), color=False) == ""


def test_a_flood_of_failures_is_cut_and_says_where_the_rest_is() -> None:
    bad = [outcome(Status.FAILED, errors=(Trouble(message=f"no {number}"),)) for number in range(500)]

    lines = troubles_text(report(*bad), color=False).splitlines()

    assert len(lines) == 21
    assert lines[-1] == "... and 480 more: runner log 20261123T152600-ab12cd"


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    bad = outcome(
        Status.FAILED,
        address="shop[\x1b[2J]",
        errors=(Trouble(message="a\nb\x1b]0;x\x07", hint="c\rd"),),
        warnings=(Trouble(message="w\n\x9b"),),
    )

    text = troubles_text(report(bad), color=False) + warnings_text(report(bad))

    assert len(text.splitlines()) == 3
    assert all(one.isprintable() for line in text.splitlines() for one in line)


def test_colours_are_there_only_when_asked_for() -> None:
    bad = report(outcome(Status.FAILED, errors=(Trouble(message="no"),)))

    assert "\x1b[31mfailed" in troubles_text(bad, color=True)
    assert "\x1b" not in troubles_text(bad, color=False)


def test_the_summary_counts_what_happened_and_what_it_cost() -> None:
    done = report(outcome(spent=1), outcome(Status.FAILED), endpoint="hosted")

    assert summary_text(done, seconds=1.26) == (
        "1 succeeded, 1 failed, 1 credit in 1.3 s (run 20261123T152600-ab12cd).\n"
    )


def test_the_local_server_costs_nothing_and_so_no_credits_are_shown() -> None:
    assert "credit" not in summary_text(report(outcome(spent=1)), seconds=1)


def test_nothing_to_do_is_said_in_words() -> None:
    assert summary_text(report(outcome(Status.SKIPPED)), seconds=1) == "Nothing to do: 1 done before.\n"


def test_results_are_counted_by_folder() -> None:
    other = DeliveredFile(path="/srv/b\n/c.webp", size_bytes=1, sha256="0" * 64, mtime_ns=1, inode=2)

    assert folders_text(report(outcome(outputs=(FILE, FILE)), outcome(outputs=(other,)))) == (
        "1 result in /srv/b\\n\n2 results in /srv/out\n"
    )


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((), ExitCode.OK),
        ((ExitCode.OK, ExitCode.FAILED), ExitCode.FAILED),
        ((ExitCode.FAILED, ExitCode.QUOTA), ExitCode.QUOTA),
        ((ExitCode.FAILED, ExitCode.AUTHENTICATION, ExitCode.UNREACHABLE), ExitCode.AUTHENTICATION),
        ((ExitCode.DEADLINE, ExitCode.LOCKED), ExitCode.LOCKED),
    ],
)
def test_a_run_ends_with_the_gravest_of_its_codes(codes: tuple[ExitCode, ...], code: ExitCode) -> None:
    assert report(*(outcome(exit_code=one) for one in codes)).exit_code is code


def test_an_interrupted_run_says_so_whatever_else_happened() -> None:
    assert report(outcome(exit_code=ExitCode.FAILED), interrupted=ExitCode.TERMINATED).exit_code == 143


def test_one_reason_for_many_addresses_is_said_once() -> None:
    bad = [outcome(Status.PENDING, errors=(Trouble(message="no connection", hint="wait"),)) for _ in range(3)]

    assert troubles_text(report(*bad), color=False) == "pending: shop[a.jpg] and 2 more: no connection\n  wait\n"


def test_what_was_never_compiled_is_told_by_the_findings_alone() -> None:
    refused = outcome(Status.BLOCKED, key="", errors=(Trouble(message="a.recipe.toml:1: 'a.png' isn't there"),))

    assert troubles_text(report(refused), color=False) == ""


@pytest.mark.parametrize("message", ["attempt 1 failed (403: no way)", "POST /jobs: 403 no way"])
def test_a_code_that_the_message_names_is_not_said_again(message: str) -> None:
    blocked = outcome(Status.BLOCKED, errors=(Trouble(message=message, code=403),))

    assert troubles_text(report(blocked), color=False).count("403") == 1
