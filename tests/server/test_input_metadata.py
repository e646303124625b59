"""What is known of an input's file once a conversion has read it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from tests.server.test_survival import server, until_ended

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="5" height="5"><rect width="5" height="5"/></svg>'


def saved(kind: str, *colors: str, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    first, *more = [Image.new("RGB", size, color) for color in colors]
    first.save(file, kind, **({"save_all": True, "append_images": more} if more else {}))
    return file.getvalue()


def with_inputs(http: httpx.Client, files: dict[str, bytes], **body: Any) -> str:
    job = http.post("/jobs", json={"process": False, "conversion": [{"target": "png"}], **body}).json()
    for name, content in files.items():
        shown = http.post(f"{job['server']}/upload-file/{job['id']}", files={"file": (name, content)})
        assert shown.json()["metadata"] == {}
    assert http.patch(f"/jobs/{job['id']}", json={"process": True}).status_code == 200
    return str(job["id"])


def test_size_pages_and_frames_are_strings_in_the_metadata_of_an_input(tmp_path: Path) -> None:
    files = {
        "a.png": saved("png", "red"),
        "b.tiff": saved("tiff", "red", "green", "blue"),
        "c.gif": saved("gif", "red", "green"),
        "d.svg": SVG,
        "e.jpg": saved("jpeg", "red")[:300],
    }
    with server(tmp_path / "state") as (http, _):
        done = until_ended(http, with_inputs(http, files, fail_on_conversion_error=False))
        again = until_ended(
            http,
            http.post(
                "/jobs",
                json={
                    "input": {"type": "input_id", "source": done["input"][0]["id"]},
                    "conversion": {"target": "jpg"},
                },
            ).json()["id"],
        )

    assert done["status"]["code"] == "completed", json.dumps(done)
    assert {one["filename"]: one["metadata"] for one in done["input"]} == {
        "a.png": {"width": "40", "height": "30"},
        "b.tiff": {"width": "40", "height": "30", "pages": "3"},
        "c.gif": {"width": "40", "height": "30", "frames": "2"},
        "d.svg": {},
        "e.jpg": {},
    }
    assert again["input"][0]["metadata"] == {"width": "40", "height": "30"}
