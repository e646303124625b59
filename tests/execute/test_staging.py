from __future__ import annotations

import pytest

from runner.execute.staging import create_body, later_inputs, unlike
from runner.wire.job import read_job
from runner.wire.values import JsonObject

REMOTE: JsonObject = {"type": "remote", "source": "http://x.test/a"}
UPLOAD: JsonObject = {"type": "upload", "source": "a.png", "sha256": "0" * 64}


def test_inputs_that_need_no_upload_go_with_the_creation_and_nothing_follows() -> None:
    payload: JsonObject = {"input": [REMOTE, REMOTE], "conversion": []}

    assert create_body(payload) == payload
    assert not later_inputs(payload)  # then one line notes the job and commits to it


def test_from_the_first_upload_on_inputs_follow_in_their_order() -> None:
    payload: JsonObject = {"input": [REMOTE, UPLOAD, REMOTE], "conversion": []}

    assert create_body(payload)["input"] == [REMOTE]
    assert later_inputs(payload) == [(1, {"type": "upload", "source": "a.png"}), (2, REMOTE)]


PNG: JsonObject = {"target": "png"}
SENT: JsonObject = {"input": [REMOTE], "conversion": [PNG, {"target": "jpeg"}]}


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"input": [], "conversion": []},
        {"input": [{"type": "remote", "source": "https://elsewhere.test/cached/a?***"}]},
        {"input": [{"type": "remote", "source": "https://cdn.test/%61%20b"}]},
        {"input": [{"type": "remote", "source": None}]},
        {"conversion": [{"target": "JPG"}, {"target": "PNG"}]},
        {"conversion": [{"target": None}, {}]},
        {"status": {"code": "failed"}},
        {"status": {"code": "queued"}, "output": []},
    ],
)
def test_a_new_job_may_be_shown_in_other_words(shown: JsonObject) -> None:
    assert unlike(read_job(shown), SENT) == ""


@pytest.mark.parametrize(
    "shown",
    [
        {"input": [REMOTE, REMOTE]},
        {"input": [{"type": "remote", "source": "http://x.test/b"}]},
        {"conversion": [PNG]},
        {"conversion": [{"target": "webp"}, {"target": "mp3"}]},
        {"status": {"code": "completed"}},
        {"output": [{"id": "o"}]},
    ],
)
def test_a_job_with_what_was_never_sent_is_not_the_new_one(shown: JsonObject) -> None:
    assert unlike(read_job(shown), SENT) != ""
