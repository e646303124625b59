"""`runner listen` beside `runner serve` and `runner run`, as a team would have them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.command_line import PATIENCE_S, Desk, png, serving, until


@contextmanager
def listening(desk: Desk, *args: str | Path) -> Iterator[Mapping[str, Any]]:
    with desk.start("listen", "--format", "json", *args) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        (desk.folder / "listen.log").write_text(err)


def test_signed_callbacks_of_a_run_arrive_confirmed_and_wake_it(desk: Desk) -> None:
    desk.write("in/a.png", png())
    desk.write("secret.txt", "the secret\n")
    private = ("--allow-private", "127.0.0.0/8", "--callback-secret-file", "secret.txt")
    with serving(desk, "--state", "server", *private) as ready:
        shell = replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})
        with listening(shell, "--secret-file", "secret.txt") as receiver:
            desk.write(
                "a.recipe.toml",
                'notify_status = true\n[[input]]\ntype = "upload"\nsource = "in/a.png"\n'
                '[[conversion]]\ntarget = "webp"\n[callback]\nenv = "HOOK"\n',
            )
            with_hook = replace(shell, more={**shell.more, "HOOK": f"{receiver['url']}hook"})
            done = with_hook.runner("run", "a.recipe.toml")
            assert done.code == 0, done.err
            box = desk.folder / "callbacks"
            until(lambda: len(list(box.glob("*_completed.json"))) == 1, what="the callback of the end")
            forged = httpx.post(receiver["url"], content=b'{"id": "x", "status": {"code": "completed"}}')

    assert forged.status_code == 401
    stored = {path.name.rpartition("_")[2] for path in box.glob("*.json")}
    assert {"queued.json", "processing.json", "completed.json"} <= stored
    job_id = next(box.glob("*_completed.json")).name.rpartition("_")[0]
    assert job_id in (desk.folder / ".runner" / "wake").read_text().split()
    log = [json.loads(line) for line in (desk.folder / "listen.log").read_text().splitlines()]
    assert any(line["event"].startswith("rejected: the body is not signed") for line in log)
    assert "the secret" not in (desk.folder / "listen.log").read_text()


def test_without_a_secret_and_without_a_key_it_says_that_anything_is_believed(desk: Desk) -> None:
    with desk.start("listen") as process:
        assert process.stdout is not None
        assert "Listening at http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0
    assert "whatever is sent is believed" in err


def test_an_address_in_use_is_named(desk: Desk) -> None:
    with listening(desk) as receiver:
        port = receiver["url"].rsplit(":", 1)[1].strip("/")
        done = desk.runner("listen", "--port", port)

    assert done.code == 5
    assert "can't listen" in done.err
    assert port in done.err
