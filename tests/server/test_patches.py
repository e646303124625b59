"""What a PATCH can't change, and documents that are sent back as they were read."""

from __future__ import annotations

import base64
from typing import Any

import pytest

_S3 = {"type": "amazons3", "parameters": {"bucket": "b", "file": "f"}, "credentials": {"accesskeyid": "a"}}
_MADE_OF = {
    "process": False,
    "input": [{"type": "remote", "source": "http://127.0.0.1:9/a.png?sig=1", "filename": "a", "credentials": {"u": 1}}],
    "conversion": [
        {
            "target": "JPG",
            "options": {"quality": "80", "download_password": "pa55"},
            "metadata": {"title": "t"},
            "output_target": [_S3],
        }
    ],
}
_S3_OF_ANOTHER = {"output_target": [{**_S3, "credentials": {"accesskeyid": "b"}}]}


def _with_options(conversion: dict[str, Any], **options: str) -> dict[str, Any]:
    return {"conversion": [{"id": conversion["id"], "options": options}]}


def test_a_patch_of_what_it_can_not_change_is_refused_and_nothing_is_changed(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.create(**_MADE_OF)
        known, entry, path = job["conversion"][0], job["input"][0], f"/jobs/{job['id']}"
        of_job, of_conversion, of_input = path, f"{path}/conversions/{known['id']}", f"{path}/input/{entry['id']}"
        for where, body, field in (
            (of_job, {"conversion": [{"target": "png"}]}, "conversion"),
            (of_job, {"conversion": [known, {"target": "png"}]}, "conversion"),
            (of_job, {"conversion": {**known, "options": {"quality": 81}}}, "conversion"),
            (of_job, {"input": [{"source": "http://127.0.0.1:9/b.png"}]}, "input"),
            (of_job, {"input": [entry, {"source": "x", "type": "base64"}], "callback": "http://h/"}, "input"),
            (of_job, _with_options(known, download_password="other"), "conversion"),
            (of_job, _with_options(known, preset="no such"), "conversion"),
            (of_job, {"conversion": [_S3_OF_ANOTHER]}, "conversion"),
            (of_job, {"input": [{**entry, "credentials": {"u": 2}}]}, "input"),
            (of_job, {"input": [{**entry, "credentials": {"u": 1, "more": 1}}]}, "input"),
            (of_conversion, {"target": "png", "options": {"quality": 81}}, "target"),
            (of_conversion, _S3_OF_ANOTHER, "output_target"),
            (of_conversion, {"category": "document"}, "category"),
            (of_conversion, {"output_target": [{**_S3, "parameters": {"bucket": "c", "file": "f"}}]}, "output_target"),
            (of_input, {"source": "http://127.0.0.1:9/a.png?sig=2"}, "source"),
            (of_input, {"type": "base64"}, "type"),
            (of_job, {"conversion": [{}] * 100_000}, "conversion"),
        ):
            refused = await api.http.patch(where, json=body)
            assert (refused.status_code, list(refused.json()["errors"])) == (400, [field]), body
        same = await api.get(job)
        assert (same["conversion"], same["input"][0]["source"]) == (job["conversion"], entry["source"])
        assert same["callback"] == ""

    with_server(test)


def test_a_whole_document_is_taken_back_as_it_was_read_or_made_of(with_server: Any) -> None:
    async def test(api: Any) -> None:
        early = await api.staged("png", limits={"job": {"max_inputs": 9}})
        await api.upload(early)
        late = await api.get(early)
        assert (await api.http.patch(f"/jobs/{late['id']}", json=early)).status_code == 200
        assert (await api.http.patch(f"/jobs/{late['id']}", json={**late, "process": True})).status_code == 200
        assert (await api.ended(late))["status"]["code"] == "completed"

        job = await api.create(**_MADE_OF)
        path, shown = f"/jobs/{job['id']}", await api.get(job)
        for where, body in (
            (path, shown),
            (path, _MADE_OF),
            (path, {"input": [{**shown["input"][0], "credentials": {"u": None}}]}),
            (f"{path}/conversions/{shown['conversion'][0]['id']}", shown["conversion"][0]),
            (f"{path}/input/{shown['input'][0]['id']}", shown["input"][0]),
            (f"{path}/input", shown["input"]),
        ):
            answer = await api.http.patch(where, json=body)
            assert answer.status_code == 200, answer.text
        assert (await api.get(job))["conversion"] == shown["conversion"]

        picture = {"type": "base64", "source": base64.b64encode(b"x" * 200).decode(), "filename": "a.png"}
        inline = await api.create(process=False, input=[picture])
        assert (await api.http.patch(f"/jobs/{inline['id']}", json={"input": [picture]})).status_code == 200

    with_server(test)


def test_a_job_never_starts_without_the_password_that_a_patch_of_it_asks_for(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged("png")
        await api.upload(job)
        (known,) = job["conversion"]
        wanted = {"process": True, **_with_options(known, download_password="geheim1")}

        refused = await api.http.patch(f"/jobs/{job['id']}", json=wanted)
        unstarted = (await api.get(job))["status"]["code"]
        await api.http.patch(f"/jobs/{job['id']}/conversions/{known['id']}", json=wanted["conversion"][0])
        accepted = await api.http.patch(f"/jobs/{job['id']}", json=wanted)
        (output,) = (await api.ended(job))["output"]

        assert (refused.status_code, unstarted, accepted.status_code) == (400, "ready", 200)
        assert (await api.stranger.get(output["uri"])).status_code == 401
        opened = await api.stranger.get(output["uri"], headers={"X-Oc-Download-Password": "geheim1"})
        assert opened.status_code == 200

    with_server(test)


def test_a_document_with_a_preset_is_taken_back_as_it_was_read_or_made_of(with_server: Any) -> None:
    async def test(api: Any) -> None:
        preset = {"name": "small", "target": "jpg", "category": "image", "options": {"quality": 7}}
        preset_id = (await api.http.post("/presets", json=preset)).json()["id"]
        made_of = {"target": "jpg", "options": {"preset": preset_id}}
        job = await api.create(process=False, conversion=[made_of])
        for conversion in (made_of, job["conversion"][0]):
            answer = await api.http.patch(f"/jobs/{job['id']}", json={"conversion": [conversion]})
            assert answer.status_code == 200, answer.text

    with_server(test)


@pytest.mark.parametrize("lacks", ["conversion", "input", "the rest of an upload"])
def test_a_document_of_a_job_that_waits_for_its_start_may_be_changed_and_sent_back(
    with_server: Any, lacks: str
) -> None:
    async def test(api: Any) -> None:
        job = await api.create(process=True, conversion=[{"target": "png"}] if lacks != "conversion" else [])
        chunk = {"x_oc_upload_uuid": "u", "Content_Range": "bytes 0-0/2"} if lacks == "the rest of an upload" else {}
        if lacks != "input":
            await api.upload(job, b"x", **chunk)
        path, read = f"/jobs/{job['id']}", await api.get(job)

        changed = await api.http.patch(path, json={**read, "callback": "http://127.0.0.1:9/b"})
        same = await api.http.patch(path, json=changed.json())
        again = await api.start(job)

        assert (changed.status_code, same.status_code, again.status_code) == (200, 200, 200)
        now = await api.get(job)
        assert (now["callback"], now["process"], now["status"]) == ("http://127.0.0.1:9/b", True, read["status"])

    with_server(test)
