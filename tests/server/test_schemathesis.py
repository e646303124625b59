"""schemathesis against the running server, by the document it serves: whatever the document allows or forbids is
sent, and every answer has to be one that the document knows."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import httpx
from api2convert import Api2Convert
from PIL import Image

from tests.server.served import Served, serving

# What is refused or taken beyond the document is on purpose: readers are lenient. Everything else has to fit.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
)
CONFIG = """
[[operations]]
include-path-regex = "/output"
parameters = {{ job_id = "{job_id}", file_id = "{output_id}" }}

[[operations]]
include-path-regex = "/download-file"
parameters = {{ output_id = "{output_id}" }}

[[operations]]
include-path-regex = "/(threads|history)$"
parameters = {{ job_id = "{job_id}" }}

[[operations]]
include-path-regex = "/(input|conversions)$|/upload-file"
parameters = {{ job_id = "{staged_id}" }}
"""


def test_no_answer_that_the_document_doesnt_know(tmp_path: Path) -> None:
    # Requests that are no HTTP are answered 400, and noted as a warning.
    with serving(tmp_path / "state", "--workers", "1", "--concurrency", "40", "--log-level", "error") as served:
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(**prepared(served)))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml")),
                *("run", f"{served.base_url}/openapi.json", "-H", f"X-Api2convert-Api-Key: {served.api_key}"),
                *("--checks", ",".join(CHECKS), "--max-examples", "2", "--seed", "20261123"),
                *("--continue-on-failure", "--request-timeout", "20", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None
    assert int(cases[1]) > 1000, done.stdout[-2000:]


def prepared(served: Served) -> dict[str, str]:
    """A job that has an output, and one that hasn't started."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "png")
    picture.seek(0)
    with Api2Convert(served.api_key, base_url=served.base_url, poll_interval=0.5) as client:
        result = client.convert(picture, "jpg", filename="a.png")
        staged = client.jobs.create({"process": False})
        assert httpx.get(result.url()).status_code == 200
        return {"job_id": str(result.job.id), "output_id": str(result.output().id), "staged_id": str(staged.id)}
