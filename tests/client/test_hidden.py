"""What a server repeats of what it was told, or told us, in confidence."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from runner.client.hidden import Hidden
from runner.wire.addresses import masked

ADDRESS = "https://user:canarypass@host.example/a.png?width=20&sig=canary%2Fsigned%3D&x=canaryvalue#canaryfragment"


@pytest.mark.parametrize(
    "said",
    [
        "sig=canary%2Fsigned%3D",
        "canary/signed=",
        "x=canaryvalue&width=20",
        "user:canarypass",
        "canarypass",
        "canaryfragment",
        ADDRESS,
    ],
)
def test_what_an_address_holds_in_confidence_is_hidden_in_every_piece_of_it(said: str) -> None:
    hidden = Hidden()

    hidden.add_address(ADDRESS)

    assert "canary" not in hidden.mask(f"could not fetch {said}!")
    assert hidden.mask("20 pixels of user at host.example") == "20 pixels of user at host.example"
    assert masked(ADDRESS) == "https://***@host.example/a.png?***#***"


def test_a_secret_that_holds_another_is_hidden_whole() -> None:
    hidden = Hidden()
    hidden.add(["canary1", "canary1-and-more"])

    assert hidden.mask("canary1-and-more, canary1", "and") == "***, ***"


def test_a_hundred_thousand_tokens_are_looked_for_quickly() -> None:
    hidden = Hidden()
    hidden.add([f"{number:06}canary" for number in range(100_000)])
    began = time.process_time()

    told = [hidden.mask(f"no credits for {number:06}canary") for number in range(1000)]

    assert set(told) == {"no credits for ***"}
    assert time.process_time() - began < 2


async def made_and_failed(scene: Any) -> Any:
    job = await scene.api.create_job({}, idempotency_key="k")
    return await scene.api.job(job.id)


@pytest.mark.parametrize("kind", ["errors", "warnings"])
def test_neither_key_nor_token_nor_signature_is_in_what_a_job_says(stage: Any, kind: str) -> None:
    words = f"for {stage.key}, canarytoken: http://h/o?sig=canarysigned"
    job = {"id": "j1", "token": "canarytoken", "status": {"code": "failed"}}
    output = [{"id": "o", "uri": "http://h/o?sig=canarysigned"}]
    ended = {**job, kind: [{"message": words, "code": 1}], "output": output}

    played = stage.play(made_and_failed, stage.reply(201, job), stage.reply(200, ended))

    (said,) = getattr(played.value, kind)
    assert said.message == "for ***, ***: http://h/o?***"


def test_no_secret_is_in_how_a_job_is_said_to_be(stage: Any) -> None:
    said = {"code": "Held-CanaryToken", "info": f"for {stage.key}, CanaryToken, http://h/o?sig=canarysigned"}
    job = {"id": "j1", "token": "CanaryToken", "status": {"code": "created"}}
    shown = {**job, "status": said, "output": [{"id": "o", "uri": "http://h/o?sig=canarysigned"}]}

    seen = stage.play(made_and_failed, stage.reply(201, job), stage.reply(200, shown)).value

    assert (seen.status, seen.info) == ("held-***", "for ***, ***, http://h/o?***")


def test_no_secret_is_in_a_refusal_not_even_the_half_of_one(stage: Any) -> None:
    job = {"id": "j1", "token": "canarytoken" * 30, "status": {"code": "created"}}

    def refused(request: Any) -> bytes:
        said = f"{'x' * 295} {job['token']} {request.headers['x-api2convert-api-key']}"
        return bytes(stage.reply(402, {"message": said, "errors": {"a": f"see {job['token']}"}}))

    async def start(scene: Any) -> Any:
        await scene.api.create_job({}, idempotency_key="k")
        return await scene.api.start_job("j1")

    played = stage.play(start, stage.reply(201, job), refused)

    assert "canary" not in str(played.error)
    assert "a: see ***" in str(played.error)
    assert json.dumps(job) not in repr(played.error)
