from __future__ import annotations

from runner.execute.staging import create_body, later_inputs
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
