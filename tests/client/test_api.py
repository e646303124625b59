"""The calls against a server that misbehaves: what is tried again, what never is, and what is said."""

from __future__ import annotations

import asyncio
import json
import traceback
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.client.errors import (
    ApiError,
    ApiUnreachableError,
    GoneError,
    OutcomeUnknownError,
    RefusedError,
)
from runner.client.http import MOST_ANSWER_BYTES
from runner.errors import AuthenticationError, ExitCode, RunnerError

Do = Callable[[Any], Awaitable[Any]]
JOB = {"id": "j1", "token": "canarytoken", "status": {"code": "created"}, "server": "http://127.0.0.1:9"}


async def create(scene: Any) -> Any:
    return await scene.api.create_job({"input": []}, idempotency_key="k:1:1")


async def read(scene: Any) -> Any:
    return await scene.api.job("j1")


async def start(scene: Any) -> Any:
    return await scene.api.start_job("j1")


async def delete(scene: Any) -> Any:
    return await scene.api.delete_job("j1")


async def add_input(scene: Any) -> Any:
    return await scene.api.add_input("j1", {"type": "remote"})


POSTS = pytest.mark.parametrize("post", [create, add_input])
REPEATED = pytest.mark.parametrize("call", [read, start, delete])
ALL = pytest.mark.parametrize("call", [create, add_input, read, start, delete])
HANG_UPS = pytest.mark.parametrize("how", [{"deaf": True}, {}, {"mute": True, "timeout_s": 0.2}])


def test_a_job_is_created_unstarted_with_key_and_idempotency_key(stage: Any) -> None:
    played = stage.play(create, stage.reply(201, JOB))

    (request,) = played.server.requests
    assert (played.value.id, played.value.token) == ("j1", "canarytoken")
    assert (request.method, request.path) == ("POST", "/v2/jobs")
    assert json.loads(request.body) == {"input": [], "process": False}
    assert request.headers["x-api2convert-api-key"] == stage.key
    assert request.headers["idempotency-key"] == "k:1:1"
    assert request.headers["user-agent"].startswith("conversion-runner/")


def test_starting_is_a_patch_and_409_is_left_to_whoever_asked(stage: Any) -> None:
    fresh = stage.play(start, stage.reply(200, JOB))
    again = stage.play(start, stage.reply(409, {"message": "already started"}))

    assert [(one.method, json.loads(one.body)) for one in fresh.server.requests] == [("PATCH", {"process": True})]
    assert fresh.value.id == "j1"
    assert isinstance(again.error, RefusedError)
    assert (again.error.status, again.error.certain) == (409, True)


@pytest.mark.parametrize("status", [204, 404, 410])
def test_deleting_what_is_gone_is_fine(stage: Any, status: int) -> None:
    assert stage.play(delete, stage.reply(status)).error is None


def test_an_id_cannot_change_the_path(stage: Any) -> None:
    odd = "../contracts?x=1#"
    played = stage.play(lambda scene: scene.api.job(odd), stage.reply(200, {**JOB, "id": odd}))

    assert played.server.requests[0].path == "/v2/jobs/..%2Fcontracts%3Fx=1%23"


@pytest.mark.parametrize("job_id", ["", ".", ".."])
@pytest.mark.parametrize(
    "call",
    [
        lambda scene, job_id: scene.api.job(job_id),
        lambda scene, job_id: scene.api.start_job(job_id),
        lambda scene, job_id: scene.api.delete_job(job_id),
        lambda scene, job_id: scene.api.add_input(job_id, {}),
        lambda scene, job_id: scene.api.set_input_options(job_id, "i", {}),
    ],
)
def test_what_is_no_id_never_makes_a_path_of_all_jobs(stage: Any, call: Any, job_id: str) -> None:
    played = stage.play(lambda scene: call(scene, job_id), stage.reply(200, JOB))

    assert played.server.requests == []
    assert isinstance(played.error, ApiError)
    assert "nothing was sent" in str(played.error)


@pytest.mark.parametrize("shown", [None, [], {}, {"id": ""}, {"id": None}, {"id": {"job": "j1"}}, {"id": ".."}, "j1"])
def test_a_creation_that_names_no_job_may_have_happened_or_not(stage: Any, shown: Any) -> None:
    assert isinstance(stage.play(create, stage.reply(201, shown)).error, OutcomeUnknownError)


@pytest.mark.parametrize("call", [lambda scene: scene.api.job("Aa-1"), lambda scene: scene.api.start_job("Aa-1")])
def test_a_job_keeps_the_id_it_was_asked_for_by(stage: Any, call: Do) -> None:
    played = stage.play(call, stage.reply(200, {**JOB, "id": "aA-1"}))

    assert played.value.id == "Aa-1"


def test_ids_that_are_numbers_are_texts(stage: Any) -> None:
    shown = {**JOB, "id": 17, "input": [{"id": 3}], "output": [{"id": 4, "source": {"conversion": 5, "input": [3]}}]}

    job = stage.play(lambda scene: scene.api.job("17"), stage.reply(200, shown)).value

    (entry,), (output,) = job.inputs, job.outputs
    assert (job.id, entry.id, output.id, output.conversion, output.inputs) == ("17", "3", "4", "5", ("3",))


@pytest.mark.parametrize("shown", ["a\0b", "a\nb", "\x1b[31m", "j" * 513])
def test_what_no_database_or_terminal_takes_is_no_id(stage: Any, shown: str) -> None:
    created = stage.play(
        lambda scene: scene.api.create_job({}, idempotency_key="k"), stage.reply(201, {**JOB, "id": shown})
    )
    listed = stage.play(lambda scene: scene.api.jobs(), stage.reply(200, [{**JOB, "id": shown}, JOB]))

    assert isinstance(created.error, OutcomeUnknownError)
    assert "doesn't name the job" in str(created.error)
    assert [job.id for job in listed.value.jobs] == [JOB["id"]]


def test_rows_without_an_id_are_no_jobs(stage: Any) -> None:
    rows: list[Any] = [None, 5, "x", [1], {"id": []}, {"id": {"job": "j1"}}, {"id": None}, {**JOB, "id": "J1"}]

    def listed(**how: Any) -> Any:
        return stage.play(lambda scene: scene.api.jobs(**how), stage.reply(200, rows, X_Count="8")).value

    assert [job.id for job in listed().jobs] == ["J1"]
    assert [job.id for job in listed(wanted={"j1": "j1"}).jobs] == ["j1"]
    assert listed().count == 8


def test_a_full_page_says_that_there_may_be_another(stage: Any) -> None:
    full = stage.play(lambda scene: scene.api.jobs(), stage.reply(200, [JOB] * 50))
    last = stage.play(lambda scene: scene.api.jobs(page=2), stage.reply(200, [JOB]))

    assert (len(full.value.jobs), full.value.full, last.value.full) == (50, True, False)
    assert last.server.requests[0].path == "/v2/jobs?page=2"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, RefusedError, ExitCode.FAILED),
        (401, AuthenticationError, ExitCode.AUTHENTICATION),
        (402, RefusedError, ExitCode.FAILED),
        (403, AuthenticationError, ExitCode.AUTHENTICATION),
        (404, GoneError, ExitCode.FAILED),
        (409, RefusedError, ExitCode.FAILED),
        (410, GoneError, ExitCode.FAILED),
        (422, RefusedError, ExitCode.FAILED),
        (302, RefusedError, ExitCode.FAILED),
    ],
)
def test_a_refusal_is_sorted_by_its_meaning_and_never_repeated(
    stage: Any, status: int, error: type[RunnerError], code: ExitCode
) -> None:
    played = stage.play(create, stage.reply(status, {"message": "that won't do"}))

    assert type(played.error) is error
    assert str(played.error) == f"POST /jobs: {status} that won't do"
    assert isinstance(played.error, RunnerError)
    assert played.error.exit_code is code
    assert (len(played.server.requests), played.waits) == (1, [])


@pytest.mark.parametrize("call", [create, add_input, read, delete])
@pytest.mark.parametrize("form", ["7", "date"])
def test_too_many_requests_is_tried_again_when_the_server_says(stage: Any, call: Do, form: str) -> None:
    wanted = form if form == "7" else stage.date(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    busy = stage.reply(429, {"message": "slow down"}, Retry_After=wanted)

    played = stage.play(call, busy, busy, stage.reply(200, JOB))

    assert played.error is None
    assert len(played.server.requests) == 3
    assert all(6.5 <= wait_s <= 9.1 for wait_s in played.waits)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([{"message": "bad target"}, "second"], "bad target; second"),
        ({"error": "target unknown"}, "target unknown"),
        ({"error": {"code": 5, "message": "no \x1b[31mred\n"}}, "no  [31mred"),
        ({"error": "bad", "errors": [{"message": "xx"}]}, "bad; xx"),
        ({"errors": {"target": ["is unknown", "is short"]}}, "target: is unknown; target: is short"),
        (
            {"message": "target: no (and 1 more)", "errors": {"target": "no", "input": "none"}},
            "target: no; input: none",
        ),
        ("just words", "just words"),
        ({"message": "m" * 5000}, "m" * 300),
        ({"error": [[[[[[[["too deep"]]]]]]]]}, ""),
        ({"error": "the key canarykey0123456789 is unknown"}, "the key *** is unknown"),
        ({"status": "no"}, ""),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_server_whatever_form_they_have(stage: Any, body: Any, said: str) -> None:
    assert str(stage.play(create, stage.reply(422, body)).error) == f"POST /jobs: 422 {said}".rstrip()


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (["The disk is full", "second"], ["The disk is full", "second"]),
        ("boom", ["boom"]),
        ({"input": "is broken"}, ["input: is broken"]),
        ([{"code": "6005", "message": None}], [""]),
        ([{"code": 7, "message": {"a": 1}}], [""]),
        ([{"code": 7, "message": ["one", "two"]}], ["one; two"]),
        (None, []),
    ],
)
def test_errors_of_a_job_are_read_whatever_form_they_have(stage: Any, errors: Any, said: list[str]) -> None:
    job = stage.play(read, stage.reply(200, {**JOB, "errors": errors})).value

    assert [error.message for error in job.errors] == said


@pytest.mark.parametrize("ours_is_off_by_s", [-3600, 3600])
def test_a_date_in_retry_after_is_read_by_the_clock_that_wrote_it(stage: Any, ours_is_off_by_s: int) -> None:
    there = datetime.now(UTC) - timedelta(seconds=ours_is_off_by_s)
    dates = {"Date": stage.date(there, usegmt=True)}
    wanted = stage.date(there + timedelta(seconds=9), usegmt=True)

    played = stage.play(read, stage.reply(429, Retry_After=wanted, **dates), stage.reply(200, JOB))

    assert played.error is None
    assert played.waits == [9.0]


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", f"Mon, {'9' * 5000} Jan 2026 00:00:00 GMT"]
)
def test_a_clock_that_nobody_can_read_is_none(stage: Any, date: str) -> None:
    played = stage.play(read, stage.reply(429, Retry_After="9", Date=date), stage.reply(200, JOB))

    assert (played.error, played.waits) == (None, [9.0])


@pytest.mark.parametrize(("said", "count"), [("12", 12), ("9" * 5000, None), ("9" * 50, None), ("-1", None)])
def test_a_count_of_jobs_that_can_not_be_is_none(stage: Any, said: str, count: int | None) -> None:
    async def listed(scene: Any) -> Any:
        return await scene.api.jobs()

    page = stage.play(listed, stage.reply(200, [JOB], X_Count=said)).value

    assert (len(page.jobs), page.count) == (1, count)


def test_a_server_in_trouble_is_given_the_time_it_asks_for(stage: Any) -> None:
    played = stage.play(read, stage.reply(503, Retry_After="30"), stage.reply(200, JOB))

    assert played.error is None
    assert played.waits == [30.0]


def test_a_start_that_was_refused_for_want_of_a_place_is_left_to_the_caller(stage: Any) -> None:
    played = stage.play(start, stage.reply(429, Retry_After="7"))

    assert isinstance(played.error, RefusedError)
    assert (played.error.status, played.error.retry_after_s) == (429, 7.0)
    assert len(played.server.requests) == 1


def test_rate_limited_to_the_end_keeps_the_status_and_the_wish(stage: Any) -> None:
    played = stage.play(create, stage.reply(429, Retry_After="250"))

    assert isinstance(played.error, RefusedError)
    assert (played.error.status, played.error.retry_after_s) == (429, 250.0)
    assert (len(played.server.requests), played.waits) == (3, [250.0] * 2)


@pytest.mark.parametrize(("call", "status"), [(create, 429), (read, 429), (read, 503), (delete, 503)])
def test_who_is_told_to_come_back_tomorrow_does_not_wait_here(stage: Any, call: Do, status: int) -> None:
    played = stage.play(call, stage.reply(status, Retry_After="1000000000"))

    assert isinstance(played.error, ApiError)
    assert played.error.hint == "the server asks to be left alone for 86400 s"
    assert (played.error.retry_after_s, len(played.server.requests), played.waits) == (86400.0, 1, [])


@REPEATED
@pytest.mark.parametrize("status", [500, 502, 503])
def test_one_bad_moment_of_the_server_is_survived(stage: Any, call: Do, status: int) -> None:
    played = stage.play(call, stage.reply(status), stage.reply(200, JOB))

    assert played.error is None
    assert (len(played.server.requests), len(played.waits)) == (2, 1)


@POSTS
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_post_that_the_server_broke_down_on_is_never_sent_twice(stage: Any, post: Do, status: int) -> None:
    played = stage.play(post, stage.reply(status, {"message": "oops"}))

    assert isinstance(played.error, OutcomeUnknownError)
    assert (len(played.server.requests), played.waits) == (1, [])


@POSTS
@HANG_UPS
def test_a_post_whose_answer_was_lost_is_never_sent_twice(stage: Any, post: Do, how: dict[str, Any]) -> None:
    played = stage.play(post, None, **how)

    assert type(played.error) is OutcomeUnknownError
    assert (played.server.connections, played.waits) == (1, [])


@REPEATED
@pytest.mark.parametrize("how", [{"deaf": True}, {}])
def test_what_changes_nothing_when_repeated_is_tried_again_to_the_end(
    stage: Any, call: Do, how: dict[str, Any]
) -> None:
    played = stage.play(call, None, **how)

    assert isinstance(played.error, OutcomeUnknownError)
    assert played.error.exit_code is ExitCode.UNREACHABLE
    assert len(played.waits) == 5
    assert played.server.connections >= 6


def test_a_connection_that_the_server_closed_meanwhile_does_not_double_a_post(stage: Any) -> None:
    async def two_posts(scene: Any) -> Any:
        await create(scene)
        return await create(scene)

    played = stage.play(two_posts, stage.reply(201, JOB, keep=True), None)

    assert isinstance(played.error, OutcomeUnknownError)
    assert [one.method for one in played.server.requests] == ["POST", "POST"]


@ALL
def test_where_nobody_listens_everything_is_tried_again_since_nothing_was_sent(stage: Any, call: Do) -> None:
    async def after_closing_time(scene: Any) -> Any:
        async with stage.rogue() as closed:
            pass
        object.__setattr__(scene.api.endpoint, "base_url", f"{closed.url}/v2")
        return await call(scene)

    played = stage.play(after_closing_time)

    assert isinstance(played.error, ApiUnreachableError)
    assert "nothing was sent" in str(played.error)
    assert len(played.waits) == 5
    assert played.waits == sorted(played.waits)


NO_ANSWERS = {
    "not JSON": b"<html>welcome</html>",
    "half JSON": b'{"id": "j1"',
    "not UTF-8": b'{"id": "\xff"}',
    "deep": b"[" * 200_000,
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_a_200_without_json_leaves_the_outcome_unknown(stage: Any, body: bytes) -> None:
    posted = stage.play(create, stage.reply(200, body))
    patched = stage.play(start, stage.reply(200, body), stage.reply(200, JOB))

    assert isinstance(posted.error, OutcomeUnknownError)
    assert len(posted.server.requests) == 1
    assert patched.error is None


@pytest.mark.parametrize(
    "answer", [b"welcome to ftp\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"]
)
def test_what_is_no_http_leaves_the_outcome_unknown(stage: Any, answer: bytes) -> None:
    played = stage.play(create, answer)

    assert isinstance(played.error, OutcomeUnknownError)
    assert len(played.server.requests) == 1


@pytest.mark.parametrize("body", [None, b"null", [], {}], ids=["empty", "null", "array", "object"])
def test_an_answer_without_content_is_a_job_of_which_nothing_is_known(stage: Any, body: Any) -> None:
    played = stage.play(start, stage.reply(200, body))

    assert (played.error, played.value.id, played.value.status) == (None, "", "")


NO_STATUS: dict[str, Any] = {
    "empty": None,
    "null": b"null",
    "array": [],
    "object": {},
    "status null": {**JOB, "status": None},
    "code null": {**JOB, "status": {"code": None}},
    "blank": {**JOB, "status": {"code": " "}},
}


@pytest.mark.parametrize("body", NO_STATUS.values(), ids=NO_STATUS.keys())
def test_a_job_that_shows_no_status_is_asked_for_again_and_then_unknown(stage: Any, body: Any) -> None:
    never, later = (
        stage.play(read, stage.reply(200, body)),
        stage.play(read, stage.reply(200, body), stage.reply(200, JOB)),
    )

    assert isinstance(never.error, OutcomeUnknownError)
    assert str(never.error) == "GET /jobs/j1: the answer shows no status of the job"
    assert (len(never.server.requests), later.value.status) == (6, "created")


@pytest.mark.parametrize("code", ["COMPLETED", " completed\n", "Completed"])
def test_a_status_is_read_in_any_letters(stage: Any, code: str) -> None:
    played = stage.play(read, stage.reply(200, {**JOB, "status": {"code": code}}))

    assert (played.value.status, played.value.ended) == ("completed", True)


def test_sixteen_mebibytes_of_job_are_read(stage: Any) -> None:
    played = stage.play(read, stage.reply(200, JOB | {"errors": [{"message": "x" * (1 << 24)}]}))

    assert played.error is None
    assert len(played.value.errors[0].message) == 1 << 24


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n["


@pytest.mark.parametrize("begun", [HEAD, b"HTTP/1.1 200 OK\r\nX: "], ids=["body", "head"])
@pytest.mark.parametrize("call", [create, read])
def test_an_answer_that_drips_is_left_after_a_while(stage: Any, call: Do, begun: bytes) -> None:
    played = stage.play(call, begun, goes_on=b" ", every_s=0.02, call_timeout_s=0.1)

    assert type(played.error) is OutcomeUnknownError
    assert str(played.error).endswith("no answer (it wasn't whole in time)")


@pytest.mark.parametrize("status", [200, 402])
@pytest.mark.parametrize("call", [create, read])
def test_an_answer_without_end_is_not_read_to_it_and_not_asked_for_again(stage: Any, call: Do, status: int) -> None:
    tracemalloc.start()
    played = stage.play(call, HEAD.replace(b"200", str(status).encode()), goes_on=b'"aaaaaaaaaaaaaa",' * (1 << 16))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(played.error, OutcomeUnknownError)
    assert str(played.error).endswith("the answer is longer than 32 MiB")
    assert (len(played.server.requests), played.waits) == (1, [])
    assert most < 4 * MOST_ANSWER_BYTES


LONG = "a" * 64


@pytest.mark.parametrize("base_url", [f"http://{LONG}.example/v2", "http://[bad/v2"])
def test_a_host_that_can_be_none_is_called_that(stage: Any, base_url: str) -> None:
    async def there(scene: Any) -> Any:
        object.__setattr__(scene.api.endpoint, "base_url", base_url)
        return await read(scene)

    played = stage.play(there)

    assert isinstance(played.error, ApiUnreachableError)
    assert "nothing was sent" in str(played.error)


def test_an_answer_cut_short_is_no_answer(stage: Any) -> None:
    cut = stage.reply(200, b'{"id": "j1"}', Content_Length="500")

    assert isinstance(stage.play(create, cut).error, OutcomeUnknownError)
    assert stage.play(read, cut, stage.reply(200, JOB)).value.id == "j1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@ALL
def test_redirects_are_never_followed_with_the_key(stage: Any, call: Do, status: int) -> None:
    async def main() -> tuple[Any, Any]:
        async with stage.rogue(stage.reply(200, JOB)) as elsewhere:
            away = stage.reply(status, Location=f"{elsewhere.url}/v2/jobs")
            played = await asyncio.to_thread(stage.play, call, away)
            return played, elsewhere

    played, elsewhere = asyncio.run(main())

    assert isinstance(played.error, RefusedError)
    assert played.error.status == status
    assert elsewhere.connections == 0


def test_the_servers_words_are_short_and_cannot_steer_the_terminal(stage: Any) -> None:
    played = stage.play(create, stage.reply(400, {"message": "\x1b[2J\n\u202e" + "x" * 5000}))

    assert str(played.error).isprintable()
    assert len(str(played.error)) < 400


@pytest.mark.parametrize("body", [b"plain", b"[1]", b'{"message": null}', b'{"message": {"a": 1}}', b"[" * 200_000])
def test_a_refusal_may_say_anything(stage: Any, body: bytes) -> None:
    played = stage.play(create, stage.reply(400, body))

    assert isinstance(played.error, RefusedError)
    assert str(played.error).startswith("POST /jobs: 400")


def echo(status: int) -> Callable[[Any], bytes]:
    """Repeats every header of the request, as some servers do when they refuse it."""

    def answer(request: Any) -> bytes:
        message = json.dumps({"message": "refused: " + " ".join(request.headers.values())})
        head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(message)}\r\nConnection: close\r\n\r\n"
        return head.encode() + message.encode()

    return answer


@ALL
@pytest.mark.parametrize("answer", [echo(400), echo(401), echo(404), echo(429), echo(500), b"what?\r\n\r\n", None])
def test_the_key_is_in_no_error(stage: Any, call: Do, answer: Any) -> None:
    played = stage.play(call, answer)

    if played.error is None:  # a deletion of what is gone
        return
    whole = "".join(traceback.format_exception(played.error)) + repr(played.error) + str(played.error)
    assert isinstance(played.error, ApiError | AuthenticationError)
    assert stage.key not in whole + played.error.hint


def test_the_key_is_in_no_repr(stage: Any) -> None:
    async def shown(scene: Any) -> str:
        return repr(scene.api) + repr(scene.api.endpoint) + str(scene.api.endpoint)

    assert stage.key not in stage.play(shown).value


@pytest.mark.parametrize("status", [400, 402, 422, 429])
@pytest.mark.parametrize("first", [503, 408, None], ids=str)
def test_a_start_refused_after_one_that_got_no_answer_is_no_certain_refusal(
    stage: Any, first: int | None, status: int
) -> None:
    unheard = None if first is None else stage.reply(first)

    later = stage.play(start, unheard, stage.reply(status))
    at_once = stage.play(start, stage.reply(status))

    assert isinstance(later.error, RefusedError)
    assert isinstance(at_once.error, RefusedError)
    assert (later.error.status, later.error.certain) == (status, False)
    assert at_once.error.certain


@pytest.mark.parametrize("call", [read, start])
def test_an_answer_about_another_job_says_nothing_about_ours(call: Do, stage: Any) -> None:
    other = stage.reply(200, {**JOB, "id": "j2", "status": {"code": "completed"}})

    heard = stage.play(call, other, stage.reply(200, JOB))
    deaf = stage.play(call, *[other] * 20)

    assert heard.value.id == "j1"
    assert isinstance(deaf.error, OutcomeUnknownError)
    assert str(deaf.error).endswith("the answer is about another job")


@pytest.mark.parametrize(
    ("said", "credits", "size"),
    [(-5, None, 0), (10**30, 1 << 48, 1 << 48), ("7", 7, 7), (None, None, 0), (1e300, 1 << 48, 1 << 48)],
)
def test_credits_and_sizes_are_never_negative_and_fit_a_database(
    said: Any, credits: int | None, size: int, stage: Any
) -> None:
    shown = {**JOB, "spent": said, "output": [{"id": "o", "size": said}]}

    job = stage.play(read, stage.reply(200, shown)).value

    assert (job.spent, job.outputs[0].size_bytes) == (credits, size)


@pytest.mark.parametrize(
    ("said", "credits"),
    [
        ("1.9", 2),
        ("1,5", 2),
        (1.2, 2),
        ("3.0", 3),
        (0, 0),
        ("0", 0),
        ("1,500", None),
        ("", None),
        (True, None),
        ([2], None),
    ],
)
def test_a_part_of_a_credit_counts_as_one_and_what_nobody_can_read_is_unknown(
    said: Any, credits: int | None, stage: Any
) -> None:
    assert stage.play(read, stage.reply(200, {**JOB, "spent": said})).value.spent == credits


def test_a_name_with_half_a_character_is_no_reason_not_to_read_the_job(stage: Any) -> None:
    body = json.dumps({**JOB, "output": [{"id": "o", "filename": "a\ud800\u00e9.png"}]}).encode()

    assert stage.play(read, stage.reply(200, body)).value.outputs[0].filename == "a?\u00e9.png"


@pytest.mark.parametrize(
    ("said", "meant"),
    [(r"a\\ud800", r"a\ud800"), (r"\ud83d\ude00\udc00", "\U0001f600?"), (r"\ud800\n\"", '?\n"')],
)
def test_only_halves_of_characters_are_replaced(stage: Any, said: str, meant: str) -> None:
    body = f'{{"id": "j1", "status": {{"code": "ready"}}, "output": [{{"filename": "{said}\\ud800"}}]}}'.encode()

    assert stage.play(read, stage.reply(200, body)).value.outputs[0].filename == f"{meant}?"


def test_a_redirect_is_not_followed_and_says_where_it_leads_to(stage: Any) -> None:
    away = stage.reply(302, None, Location="https://user:canarykey@elsewhere.example/v2/jobs/j1?token=canarytoken")

    error = stage.play(read, away).error

    assert isinstance(error, RefusedError)
    assert str(error) == "GET /jobs/j1: 302 (it redirects to https://elsewhere.example)"
    assert "API2CONVERT_BASE_URL" in error.hint
