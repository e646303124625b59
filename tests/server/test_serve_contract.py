"""What an account may do, as `runner serve` is told it, and that a real server keeps to it."""

from __future__ import annotations

from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner

from runner.cli.serve_contract import contract_options
from runner.errors import InvalidError
from runner.server.config import Contract
from tests.server.served import serving


def agreed(*args: str) -> Contract:
    seen: list[Contract] = []

    @click.command()
    @contract_options
    def command(contract: Contract) -> None:
        seen.append(contract)

    result = CliRunner().invoke(command, args)
    if result.exception:
        raise result.exception
    return seen[0]


def test_without_options_it_is_the_standard() -> None:
    assert agreed() == Contract()


@pytest.mark.parametrize(
    ("args", "contract"),
    [
        (["--contract", "prepaid:7", "--credit-seconds", "5"], Contract(kind="prepaid", credits=7, credit_minute_s=5)),
        (["--max-inputs", "3"], Contract(max_inputs=3)),
        (["--max-input-size", "5M"], Contract(max_input_bytes=5 * 1024 * 1024)),
        (["--max-process-time", "9"], Contract(max_process_time_s=9)),
        (["--max-downloads", "1", "--concurrency", "2"], Contract(max_downloads=1, concurrency=2)),
    ],
)
def test_each_option_is_a_term_of_the_contract(args: list[str], contract: Contract) -> None:
    assert agreed(*args) == contract


def test_what_is_no_size_is_named_with_its_option() -> None:
    with pytest.raises(InvalidError, match="--max-input-size 'much' is no size"):
        agreed("--max-input-size", "much")


def test_a_server_keeps_to_what_it_was_told(tmp_path: Path, picture_base64: str) -> None:
    options = ("--max-inputs", "1", "--max-input-size", "1K", "--max-downloads", "1", "--workers", "1")
    with serving(tmp_path / "state", *options) as served, httpx.Client(base_url=served.base_url) as http:
        http.headers["X-Oc-Api-Key"] = served.api_key
        entry = {"type": "base64", "source": picture_base64, "filename": "a.png"}
        body = {"conversion": [{"target": "jpg"}]}
        too_many = http.post("/jobs", json={**body, "input": [entry, entry]})
        job = http.post("/jobs", json={**body, "process": False}).json()
        files = {"file": ("a.png", b"x" * 1025)}
        too_large = http.post(f"{job['server']}/upload-file/{job['id']}", files=files)
        job = http.post("/jobs", json={**body, "input": entry}).json()
        while not (done := http.get(f"/jobs/{job['id']}").json())["output"]:
            assert done["status"]["code"] in ("queued", "processing"), done
        downloads = [http.get(done["output"][0]["uri"]).status_code for _ in range(2)]

    assert (too_many.status_code, "at most 1 inputs" in too_many.text) == (402, True)
    assert (too_large.status_code, "1024 bytes" in too_large.text) == (402, True)
    assert downloads == [200, 410]
