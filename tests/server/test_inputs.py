"""Inputs of every type: fetched, decoded, reused, refused."""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runner.server.answers import ApiError
from runner.server.config import Contract
from runner.server.engine.addresses import RefusedAddress, is_allowed, resolve
from runner.server.jobs.intake import new_inputs, patched_input
from tests.server.post_office import api_of


async def with_remote(api: Any, *sources: str, **body: Any) -> dict[str, Any]:
    job = await api.create(
        input=[{"type": "remote", "source": one} for one in sources], conversion=[{"target": "png"}], **body
    )
    done: dict[str, Any] = await api.ended(job)
    return done


def test_a_remote_input_is_fetched_and_the_job_starts_by_itself(with_server: Any, web: Any, md5: Any) -> None:
    web.pages["/a%20b.jpg?x=1"] = (200, {}, b"\xff\xd8\xff picture")

    async def test(api: Any) -> None:
        done = await with_remote(api, f"{web.url}/a%20b.jpg?x=1")

        entry = done["input"][0]
        assert (done["status"]["code"], done["spent"]) == ("completed", 1)
        assert (entry["status"], entry["filename"], entry["content_type"]) == ("ready", "a b.jpg", "image/jpeg")
        assert (entry["size"], entry["checksum"]) == (11, md5(b"\xff\xd8\xff picture"))
        assert done["output"][0]["filename"] == "a b.png"
        history = [row["status"] for row in (await api.http.get(f"/jobs/{done['id']}/history")).json()]
        assert history == ["downloading", "queued", "processing", "completed"]

    with_server(test)


def test_a_staged_job_fetches_ahead_and_is_ready_then(with_server: Any, web: Any) -> None:
    web.pages["/a.jpg"] = (200, {}, b"x")

    async def test(api: Any) -> None:
        job = await api.staged(input=[{"source": f"{web.url}/a.jpg"}])
        assert job["status"]["code"] == "downloading"
        await api.until(job, lambda one: one.phase == "staged-ready")
        assert (await api.get(job))["process"] is False
        assert (await api.converted(job))["status"]["code"] == "completed"

    with_server(test)


@pytest.mark.parametrize(
    ("suggested", "shown", "result"),
    [
        ("Holiday 2018_0013", "Holiday 2018_0013.JPG", "Holiday 2018_0013.png"),
        ("v1.2", "v1.2.JPG", "v1.2.png"),
        ("x.jpg", "x.jpg", "x.png"),
        ("", "DSC_0013.JPG", "DSC_0013.png"),
    ],
)
def test_a_suggested_name_wins_and_gets_its_extension(
    with_server: Any, web: Any, suggested: str, shown: str, result: str
) -> None:
    web.pages["/DSC_0013.JPG"] = (200, {}, b"\xff\xd8\xff")

    async def test(api: Any) -> None:
        source = {"type": "remote", "source": f"{web.url}/DSC_0013.JPG", "filename": suggested}
        done = await api.ended(await api.create(input=source, conversion={"target": "png"}))
        assert (done["input"][0]["filename"], done["output"][0]["filename"]) == (shown, result)

    with_server(test)


@pytest.mark.parametrize(
    ("written_as", "suggested", "result"),
    [
        ("JPEG", "photo.jpeg", "photo.png"),
        ("JPEG", "photo.JPE", "photo.png"),
        ("TIFF", "scan.tif", "scan.png"),
        ("PPM", "scan.pgm", "scan.png"),
        ("JPEG", "scan.tif", "scan.tif.png"),
        ("TIFF", "Holiday 2018.10", "Holiday 2018.10.png"),
    ],
)
def test_an_extension_counts_however_it_is_written(
    with_server: Any, written_as: str, suggested: str, result: str
) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, written_as)

    async def test(api: Any) -> None:
        source = base64.b64encode(file.getvalue()).decode()
        entry = {"type": "base64", "source": source, "filename": suggested}
        done = await api.ended(await api.create(input=entry, conversion={"target": "png"}))
        assert [one["filename"] for one in done["output"]] == [result]

    with_server(test)


@pytest.mark.parametrize(
    ("suggested", "shown"),
    [("Holiday 2018.10", "Holiday 2018.10.jpg"), ("b.jpeg", "b.jpeg"), ("b", "b.jpg"), ("", "a.jpg")],
)
def test_a_name_keeps_its_last_part_wherever_it_is_suggested(with_server: Any, suggested: str, shown: str) -> None:
    picture = {"type": "base64", "source": base64.b64encode(b"\xff\xd8\xff").decode(), "filename": "a.jpg"}

    async def test(api: Any) -> None:
        first = await api.ended(await api.create(input=picture, conversion={"target": "jpg"}))
        again = [
            {"type": "input_id", "source": first["input"][0]["id"], "filename": suggested},
            {"type": "output", "source": first["output"][0]["id"], "filename": suggested},
        ]
        options = {"allow_multiple_outputs": True}
        job = await api.create(process=False, input=again, conversion={"target": "png", "options": options})
        uploaded = (await api.upload(job, b"\xff\xd8\xff", name="a.jpg")).json()
        path = f"/jobs/{job['id']}/input"
        patched = await api.http.patch(f"{path}/{uploaded['id']}", json={"filename": suggested or "a.jpg"})
        assert patched.json()["filename"] == shown
        other = {"options": {"position": 3}, "parameters": {"any": 1}}
        assert (await api.http.patch(f"{path}/{uploaded['id']}", json=other)).json()["filename"] == shown

        done = await api.converted(job)
        assert [one["filename"] for one in done["input"]] == [shown] * 3
        stem = shown.rpartition(".")[0]
        assert [one["filename"] for one in done["output"]] == [f"{stem}.png", f"{stem}-2.png", f"{stem}-3.png"]

    with_server(test)


def test_a_name_without_an_extension_of_its_own_stays_when_something_else_changes(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        entry = (await api.upload(job, b"text", name="README")).json()
        path = f"/jobs/{job['id']}/input/{entry['id']}"
        changes = [{"parameters": {"any": 1}}, {"filename": "README"}, {"filename": "notes"}]
        names = [(await api.http.patch(path, json=change)).json()["filename"] for change in changes]
        assert names == ["README", "README", "notes.txt"]

    with_server(test)


def test_a_redirect_is_followed_and_the_name_in_the_answer_counts(with_server: Any, web: Any) -> None:
    web.pages["/here"] = (302, {"Location": "/there/"}, b"")
    web.pages["/there/"] = (200, {"Content-Disposition": "attachment; filename*=UTF-8''na%C3%AFve.jpg"}, b"x")

    async def test(api: Any) -> None:
        done = await with_remote(api, f"{web.url}/here")
        assert done["input"][0]["filename"] == "naïve.jpg"

    with_server(test)


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/missing", 404, "HTTP 404"),
        ("/private", 401, "password"),
        ("/broken", 500, "HTTP 500"),
        ("/loop", 404, "redirects"),
        ("/short", 404, "broke off"),
        ("/large", 413, "larger than the 20 bytes"),
        ("/endless", 413, "larger than the 20 bytes"),
        ("/file", 404, "http"),
    ],
)
def test_an_input_that_cant_be_had_fails_the_job_without_cost(
    with_server: Any, web: Any, path: str, code: int, words: str
) -> None:
    web.pages.update(
        {
            "/private": (403, {}, b""),
            "/broken": (500, {}, b""),
            "/loop": (302, {"Location": "/loop"}, b""),
            "/short": (200, {"Content-Length": "10"}, b"x"),
            "/large": (200, {}, b"x" * 21),
            "/endless": (200, {"Content-Length": ""}, b"x" * 5000),
            "/file": (302, {"Location": "file:///etc/passwd"}, b""),
        }
    )

    async def test(api: Any) -> None:
        done = await with_remote(api, f"{web.url}{path}", limits={"input": {"max_file_size": 20}})
        assert (done["status"]["code"], done["spent"], done["output"]) == ("failed", 0, [])
        error = done["errors"][0]
        assert (error["source"], error["id_source"]) == ("input", done["input"][0]["id"])
        assert error["code"] in (code, 404)
        assert words in error["message"]
        assert done["input"][0]["status"] == "failed"
        assert [*api.opened.house.blobs.path("tmp").iterdir()] == []

    with_server(test)


@pytest.mark.parametrize(
    "source",
    ["http://127.0.0.1:1/", "http://[::1]:1/", "http://169.254.169.254/latest", "http://0/", "http://localhost:1/"],
)
def test_private_networks_are_refused_unless_allowed(with_server: Any, source: str) -> None:
    async def test(api: Any) -> None:
        done = await with_remote(api, source)
        assert (done["status"]["code"], done["errors"][0]["code"]) == ("failed", 403)
        assert "--allow-private" in done["errors"][0]["message"]

    with_server(test, private=False)


def test_a_redirect_into_a_private_network_is_refused(with_server: Any, web: Any) -> None:
    web.pages["/"] = (302, {"Location": "http://[::1]:9/metadata"}, b"")

    async def test(api: Any) -> None:
        done = await with_remote(api, f"{web.url}/")
        assert done["errors"][0]["code"] == 403

    with_server(test)


@pytest.mark.parametrize(
    "source",
    [
        "http://",
        "http://x:99999/",
        "gopher://x/",
        "http://user:word@127.0.0.1/",
        "http://127.0.0.1:1/\n x",
        "http://[bad/",
    ],
)
def test_odd_links_fail_with_a_message_and_without_their_password(with_server: Any, source: str) -> None:
    async def test(api: Any) -> None:
        done = await with_remote(api, source)
        assert done["status"]["code"] == "failed"
        assert "word" not in done["errors"][0]["message"].replace("password", "")

    with_server(test)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("93.184.216.34", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("ff02::1", False),
        ("::", False),
        ("fec0::1", False),
        ("feff::1", False),
        ("64:ff9b:1::5db8:d822", False),
        ("64:ff9b:1:7f00:0:100::", False),
        ("::7f00:1", False),
        ("::ffff:0:7f00:1", False),
        ("::ffff:0:5db8:d822", True),
        ("5f00::1", False),
        ("192.88.99.1", False),
        ("168.63.129.16", False),
        ("192.0.0.8", False),
        ("192.0.0.192", False),
        ("::ffff:192.0.0.192", False),
        ("3fff::1", False),
        ("::ffff:168.63.129.16", False),
        ("64:ff9b::a83f:8110", False),
        ("2002:a83f:8110::", False),
    ],
)
def test_only_public_addresses_are_good_however_they_are_wrapped(address: str, good: bool) -> None:
    assert is_allowed(address, ()) is good


def test_an_allowed_network_opens_itself_and_nothing_else() -> None:
    allowed = (ip_network("10.1.0.0/16"),)

    assert is_allowed("10.1.2.3", allowed)
    assert is_allowed("::ffff:10.1.2.3", allowed)
    assert not is_allowed("10.2.0.1", allowed)
    assert is_allowed("168.63.129.16", (ip_network("168.63.129.16/32"),))
    assert is_allowed("::1", (ip_network("::1/128"),))
    with pytest.raises(RefusedAddress, match="localhost"):
        resolve("localhost", 80, allowed)


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_in_ipv6_never_makes_it_good(address: Any) -> None:
    plain = is_allowed(str(address), ())

    assert is_allowed(f"::ffff:{address}", ()) == plain
    assert is_allowed(f"64:ff9b::{int(address) >> 16:x}:{int(address) & 0xFFFF:x}", ()) == plain


def test_an_input_that_can_not_be_is_named_and_nothing_of_the_others_is_kept(with_server: Any) -> None:
    async def test(api: Any) -> None:
        good, bad, upload = {"type": "base64", "source": "eA=="}, {"type": "base64", "source": "!"}, {"type": "upload"}
        inputs = [good, bad, {**upload, "source": "x"}]
        at_once = await api.http.post("/jobs", json={"input": inputs})
        job = await api.staged()
        added = await api.http.post(f"/jobs/{job['id']}/input", json=inputs)
        alone = await api.http.post(f"/jobs/{job['id']}/input", json=bad)

        assert [one.status_code for one in (at_once, added, alone)] == [400, 400, 400]
        assert list(at_once.json()["errors"]) == ["input.1.source", "input.2.type"]
        assert list(added.json()["errors"]) == ["1.source", "2.type"]
        assert alone.json()["errors"] == {"0.source": "is not base64"}
        assert [path for path in api.opened.house.blobs.path(".").rglob("*") if path.is_file()] == []

    with_server(test)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_base64_is_decoded_and_not_echoed_at_length(with_server: Any, md5: Any, prefix: str) -> None:
    content = b"\x89PNG\r\n\x1a\n" + bytes(1000)

    async def test(api: Any) -> None:
        source = prefix + base64.b64encode(content).decode()
        entry = {"type": "base64", "source": source, "filename": "dot.png"}
        job = await api.create(input=[entry], conversion=[{"target": "jpg"}])
        done = await api.ended(job)
        shown = done["input"][0]
        assert (shown["size"], shown["checksum"]) == (1008, md5(content))
        assert len(shown["source"]) <= 64
        assert done["output"][0]["filename"] == "dot.jpg"

    with_server(test)


def test_inputs_and_outputs_of_earlier_jobs_are_used_again(with_server: Any, md5: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        await api.upload(job, b"first", name="f.jpg")
        done = await api.converted(job)
        sources = [
            {"type": "input_id", "source": done["input"][0]["id"]},
            {"type": "output", "source": done["output"][0]["id"], "filename": "again"},
        ]
        second = await api.ended(await api.create(input=sources, conversion=[{"target": "webp"}]))

        assert [one["checksum"] for one in second["input"]] == [md5(b"first"), md5(b"first0")]
        assert [one["filename"] for one in second["input"]] == ["f.jpg", "again.png"]

    with_server(test)


def test_a_token_reaches_no_other_jobs_files(with_server: Any) -> None:
    async def test(api: Any) -> None:
        secret, mine = await api.staged(), await api.staged()
        entry = (await api.upload(secret)).json()
        answer = await api.stranger.post(
            f"/jobs/{mine['id']}/input",
            json={"type": "input_id", "source": entry["id"]},
            headers={"X-Oc-Token": mine["token"]},
        )
        assert (answer.status_code, answer.json()["status"]) == (201, "failed")

    with_server(test)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "cloud", "source": "amazons3", "credentials": {"secretaccesskey": "s3cr3t"}},
        {"type": "gdrive_picker", "source": "id", "credentials": {"token": "s3cr3t"}},
        {"source": "http://127.0.0.1/", "engine": "screenshot"},
        {"type": "input_id", "source": "nobody"},
        {"type": "output", "source": "nobody"},
    ],
    ids=lambda entry: str(entry.get("type", "engine")),
)
def test_what_isnt_served_here_is_accepted_and_fails_with_a_reason(with_server: Any, entry: dict[str, Any]) -> None:
    async def test(api: Any) -> None:
        job = await api.create(input=entry, conversion={"target": "png"})
        done = await api.ended(job)
        assert (done["status"]["code"], done["spent"]) == ("failed", 0)
        assert done["errors"][0]["id_source"] == done["input"][0]["id"]
        assert "s3cr3t" not in str(done)

    with_server(test)


def test_an_empty_choice_counts_as_not_given(with_server: Any, web: Any) -> None:
    web.pages["/a.jpg"] = (200, {}, b"x")
    entry = {"source": f"{web.url}/a.jpg", "type": "", "engine": "", "filename": "", "content_type": ""}

    async def test(api: Any) -> None:
        job = await api.create(input=entry, conversion={"category": "", "target": "png"}, callback="")
        done = await api.ended(job)
        preset = {"name": "small", "target": "jpg", "options": {}, "scope": ""}
        made = (await api.http.post("/presets", json=preset)).json()
        await api.http.patch(f"/presets/{made['id']}", json={"scope": "public"})
        kept = await api.http.patch(f"/presets/{made['id']}", json={"scope": ""})

        assert done["status"]["code"] == "completed"
        assert [(one["type"], one["engine"]) for one in done["input"]] == [("remote", "auto")]
        assert (made["scope"], kept.json()["scope"]) == ("private", "public")

    with_server(test)


def test_missing_inputs_are_warnings_where_the_job_says_so(with_server: Any, web: Any) -> None:
    web.pages["/a.jpg"] = (200, {}, b"x")

    async def test(api: Any) -> None:
        done = await with_remote(api, f"{web.url}/a.jpg", f"{web.url}/nope", fail_on_input_error=False)
        assert (done["status"]["code"], done["spent"], done["errors"]) == ("completed", 1, [])
        assert [one["code"] for one in done["warnings"]] == [404]
        none = await with_remote(api, f"{web.url}/nope", fail_on_input_error="false")
        assert (none["status"]["code"], none["errors"][0]["code"], none["warnings"]) == ("failed", 404, [])

    with_server(test)


def test_an_output_target_without_a_user_fails_the_job_without_cost_and_without_its_secret(with_server: Any) -> None:
    async def test(api: Any) -> None:
        target = {"type": "ftp", "parameters": {"host": "h", "file": "f"}, "credentials": {"password": "s3cr3t"}}
        job = await api.create(process=False, conversion=[{"target": "png", "output_target": target}])
        shown = job["conversion"][0]["output_target"]
        assert shown == [{**target, "status": "waiting", "credentials": {}}]
        await api.upload(job)
        done = await api.converted(job)
        assert (done["status"]["code"], done["errors"][0]["code"], done["spent"]) == ("failed", 99, 0)
        assert done["errors"][0]["message"] == "FTP: credentials.username is missing"

    with_server(test)


def test_inputs_are_added_changed_and_removed_while_staged(with_server: Any, web: Any) -> None:
    web.pages["/a.jpg"] = (200, {}, b"a")
    web.pages["/b.jpg"] = (200, {}, b"b")

    async def test(api: Any) -> None:
        job = await api.create(process=False)
        path = f"/jobs/{job['id']}"
        one = await api.http.post(f"{path}/input", json={"source": f"{web.url}/a.jpg"})
        two = await api.http.post(f"{path}/input", json=[{"source": f"{web.url}/b.jpg"}])
        conversion = await api.http.post(f"{path}/conversions", json=[{"target": "png"}, {"target": "jpg"}])
        assert [one.status_code, two.status_code, conversion.status_code] == [201] * 3
        first, second = one.json(), two.json()[0]
        await api.until(job, lambda now: now.phase == "staged-ready")

        moved = await api.http.patch(
            f"{path}/input",
            json=[{"id": first["id"], "options": {"position": 2}}, {"id": second["id"], "options": {"position": 1}}],
        )
        assert moved.status_code == 200
        wrong = await api.http.patch(f"{path}/input", json=[{"id": "x", "options": {}}])
        assert (wrong.status_code, "0.id" in wrong.json()["errors"]) == (400, True)
        named = await api.http.patch(f"{path}/input/{second['id']}", json={"parameters": {"delete_after_use": True}})
        assert named.json()["parameters"] == {"delete_after_use": True}
        gone = conversion.json()[1]["id"]
        assert (await api.http.delete(f"{path}/conversions/{gone}")).status_code == 204
        better = {"options": {"rotate": "90"}, "metadata": {"author": "me"}}
        patched = await api.http.patch(f"{path}/conversions/{conversion.json()[0]['id']}", json=better)
        assert (patched.json()["options"]["rotate"], patched.json()["metadata"]) == (90, {"author": "me"})

        done = await api.converted(job)
        assert api.converter.seen == ["b.jpg>png", "a.jpg>png"]
        assert len(done["output"]) == 1

    with_server(test)


def test_a_removed_input_takes_its_file_with_it(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        entry = (await api.upload(job)).json()
        assert (await api.http.delete(f"/jobs/{job['id']}/input/{entry['id']}")).status_code == 204
        assert (await api.get(job))["status"]["code"] == "incomplete"
        assert list(api.opened.house.blobs.path(job["id"]).iterdir()) == []

    with_server(test)


def test_a_position_may_come_as_text_and_nonsense_is_refused(with_server: Any) -> None:
    async def test(api: Any) -> None:
        entry = {"type": "base64", "source": "eA=="}
        first = {**entry, "filename": "a.jpg", "options": {"position": "10"}}
        second = {**entry, "filename": "b.jpg", "options": {"position": 9}}
        job = await api.create(process=False, input=[first, second], conversion={"target": "png"})
        assert [one["options"] for one in job["input"]] == [{"position": 10}, {"position": 9}]
        path = f"/jobs/{job['id']}/input/{job['input'][0]['id']}"
        for nonsense in ("first", -1, 1.5, [1], True):
            wrong = await api.http.patch(path, json={"options": {"position": nonsense}})
            assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["options.position"]), nonsense
        await api.converted(job)
        assert [one[0] for one in api.converter.seen] == ["b", "a"]

    with_server(test)


@pytest.mark.parametrize(
    ("positions", "merged"),
    [
        ({}, "012"),
        ({2: 2}, "012"),
        ({2: 3}, "012"),
        ({2: 0}, "201"),
        ({1: 5}, "021"),
        ({1: None}, "012"),
        ({0: 2}, "102"),
        ({0: 3}, "120"),
        ({0: 1, 1: 0}, "102"),  # two that change places, counted from 0
        ({0: 2, 1: 1}, "102"),  # and from 1
        ({1: 2, 2: 1}, "021"),
        ({1: 3, 2: 2}, "021"),
        ({0: 2, 2: 0}, "210"),
        ({0: 3, 2: 1}, "210"),
        ({0: 30, 1: 10, 2: 20}, "120"),
        ({0: 7, 1: 7, 2: 7}, "012"),
        ({0: 7, 1: 7, 2: 1}, "201"),
    ],
)
@pytest.mark.parametrize("patched", [False, True])
def test_inputs_come_as_they_were_given_but_for_those_with_a_position(
    with_server: Any, positions: dict[int, int | None], merged: str, patched: bool
) -> None:
    async def test(api: Any) -> None:
        inputs: list[dict[str, Any]] = [
            {"type": "base64", "source": base64.b64encode(b"%d" % number).decode(), "filename": f"{number}.png"}
            for number in range(3)
        ]
        options = {number: {"options": {"position": position}} for number, position in positions.items()}
        given = inputs if patched else [{**one, **options.get(number, {})} for number, one in enumerate(inputs)]
        conversion = {"target": "pdf", "options": {"merge": True}}
        job = await api.create(process=False, input=given, conversion=conversion)
        if patched and options:
            patches = [{"id": job["input"][number]["id"], **option} for number, option in options.items()]
            assert (await api.http.patch(f"/jobs/{job['id']}/input", json=patches)).status_code == 200
        (output,) = (await api.converted(job))["output"]
        assert (await api.stranger.get(output["uri"])).content == f"{merged}0".encode()

    with_server(test)


@pytest.mark.parametrize("method", ["post", "patch"])
def test_more_inputs_than_a_job_may_have_are_refused_before_anything_is_made_of_them(
    tmp_path: Path, method: str
) -> None:
    async def test() -> None:
        async with api_of(tmp_path, contract=Contract(max_inputs=3)) as api:
            job = await api.staged()
            broken = [{"type": "no such type", "id": "no such id"}] * 4  # what would be the first to be seen of them
            answer = await api.http.request(method, f"/jobs/{job['id']}/input", json=broken)
            assert answer.status_code == (402 if method == "post" else 400)
            assert "at most 3" in answer.json()["message"]
            created = await api.http.post("/jobs", json={"process": False, "input": broken})
            assert (created.status_code, "at most 3" in created.json()["message"]) == (402, True)

    asyncio.run(test())


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"source": "http://example.org/" + "a" * 70_000}, "source"),
        ({"source": "http://example.org/", "parameters": {"a": "a" * 140_000}}, "parameters"),
        ({"source": "http://example.org/", "options": {str(number): 1 for number in range(20_000)}}, "options"),
    ],
    ids=["source", "parameters", "options"],
)
def test_what_is_kept_of_an_input_as_it_came_has_an_end(with_server: Any, entry: dict[str, Any], field: str) -> None:
    async def test(api: Any) -> None:
        answer = await api.http.post("/jobs", json={"process": False, "input": entry})
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [f"input.0.{field}"])

    with_server(test)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limits": {"job": {"other": "a" * 140_000}}}, "limits"),
        ({"conversion": {"target": "png", "metadata": {"author": "a" * 140_000}}}, "conversion.0.metadata"),
        ({"conversion": {"target": "png", "output_target": [{"type": "ftp"}] * 101}}, "conversion.0.output_target"),
    ],
    ids=["limits", "metadata", "output targets"],
)
def test_what_is_kept_of_a_job_as_it_came_has_an_end(with_server: Any, body: dict[str, Any], field: str) -> None:
    async def test(api: Any) -> None:
        answer = await api.http.post("/jobs", json={"process": False, **body})
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])

    with_server(test)


def test_another_place_for_a_cloud_file_that_has_come_is_refused() -> None:
    """Else the document would name one file, and the result be another's."""
    (fetched,), _ = new_inputs(
        [{"type": "cloud", "source": "ftp", "parameters": {"host": "h", "file": "one.png"}}], now=0.0
    )
    ready = replace(fetched, status="ready", blob="b")

    same, _ = patched_input(ready, {"parameters": {"file": "one.png"}, "options": {"position": 2}}, now=1.0)
    with pytest.raises(ApiError) as raised:
        patched_input(ready, {"parameters": {"file": "two.png"}}, now=1.0)

    assert (same.blob, same.options["position"]) == ("b", 2)
    assert raised.value.status == 409
    assert patched_input(replace(ready, status="failed"), {"parameters": {"file": "two.png"}}, now=1.0)[0].status == (
        "downloading"
    )
