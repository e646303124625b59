"""The document of the API: it and the server know the same paths, and what a whole job answers is as it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft4Validator
from schemathesis.specs.openapi.definitions import OPENAPI_30, SWAGGER_20

from runner.resources import openapi_document
from runner.server.api.swagger import swagger_document
from runner.server.app import ROUTES

DOCUMENT = openapi_document()
OLDER = swagger_document(DOCUMENT, "http://server.test/v2")
CHECKER = Path(__file__).parents[2] / "tools" / "check_openapi.py"
# Not of the API: for whoever runs the server.
OPERATING = {("GET", "/health"), ("GET", "/metrics")}


def operations(document: dict[str, Any] = DOCUMENT) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def response_of(method: str, path: str, status: str) -> dict[str, Any]:
    known: dict[str, Any] = operations()[method, path]["responses"][status]
    if "$ref" in known:
        known = DOCUMENT["components"]["responses"][known["$ref"].rpartition("/")[2]]
    return known


def test_the_document_and_the_server_know_the_same_paths() -> None:
    served = {(entry.method, entry.path.replace(":path}", "}")) for entry in ROUTES}

    assert served - OPERATING == set(operations())


def test_everything_in_it_is_described_and_named_once() -> None:
    names = [one["operationId"] for one in operations().values()]

    assert len(names) == len(set(names))
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"], name
        for field, one in schema["properties"].items():
            assert "description" in one or "$ref" in one, f"{name}.{field}"


def test_it_is_served_with_the_servers_own_address_to_everybody(with_server: Any) -> None:
    async def test(api: Any) -> None:
        shown = (await api.stranger.get("/openapi.json")).json()

        assert shown["servers"][0]["url"] == "http://server.test/v2"
        assert {**shown, "servers": []} == {**DOCUMENT, "servers": []}

    with_server(test)


def test_the_older_form_has_what_older_clients_read(with_server: Any) -> None:
    async def test(api: Any) -> None:
        shown = (await api.stranger.get("/schema")).json()

        assert shown["swagger"] == "2.0"
        assert (shown["host"], shown["basePath"], shown["schemes"]) == ("server.test", "/v2", ["http"])
        assert all(shown["info"][name] for name in ("title", "termsOfService", "version"))
        assert "@" in shown["info"]["contact"]["email"]
        assert set(shown["paths"]) == set(DOCUMENT["paths"])
        text = json.dumps(shown)
        assert "#/components/" not in text
        for name in set(re.findall(r"#/definitions/(\w+)", text)):
            assert name in shown["definitions"]

    with_server(test)


@pytest.mark.parametrize(("path", "specification"), [("/openapi.json", OPENAPI_30), ("/schema", SWAGGER_20)])
def test_both_forms_are_what_their_specifications_ask_for(
    with_server: Any, path: str, specification: dict[str, Any]
) -> None:
    async def test(api: Any) -> None:
        shown = (await api.stranger.get(path)).json()

        assert [one.message for one in Draft4Validator(specification).iter_errors(shown)] == []

    with_server(test)


def test_the_older_form_says_what_is_sent_and_what_comes_back() -> None:
    files = {("GET", "/dl/local/download-file/{output_id}/{filename}")}
    forms = {("POST", "/dl/local/upload-file/{job_id}")}

    for (method, path), older in operations(OLDER).items():
        place = (method, path)
        for status, response in older["responses"].items():
            content = response_of(method, path, status).get("content")
            assert ("schema" in response) is bool(content), (place, status)
            assert (response.get("schema") == {"type": "file"}) is (place in files and status in ("200", "206"))
        assert older.get("consumes") == (["multipart/form-data"] if place in forms else None)
        assert older.get("produces") == (["application/octet-stream", "application/json"] if place in files else None)
        assert any(one["in"] == "body" for one in older["parameters"]) is (
            "requestBody" in operations()[place] and place not in forms
        )


def test_the_older_form_calls_each_key_security_or_a_parameter_and_never_both() -> None:
    names = {name: scheme["name"] for name, scheme in OLDER["securityDefinitions"].items()}

    for place, older in operations(OLDER).items():
        headers = [one["name"] for one in older["parameters"] if one["in"] == "header"]
        keys = [names[name] for alternative in older["security"] for name in alternative]
        assert not set(headers) & set(keys), place
        asked = [one["$ref"].rpartition("/")[2] for one in operations()[place]["parameters"] if "$ref" in one]
        assert {names[one] for one in asked if one in names} <= {*headers, *keys}, place


class Witness:
    """Holds every answer against the document, and notes which operations were seen."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url
        self._patterns = [
            (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + r"\Z"), path) for method, path in operations()
        ]
        self.seen: set[tuple[str, str, int]] = set()

    async def __call__(self, response: httpx.Response) -> None:
        await response.aread()
        asked = str(response.request.url.copy_with(query=None)).removeprefix(self._base)
        method = response.request.method
        (path,) = {path for known, pattern, path in self._patterns if known == method and pattern.match(asked)}
        self._check(method, path, response)
        self.seen.add((method, path, response.status_code))

    def _check(self, method: str, path: str, response: httpx.Response) -> None:
        responses = operations()[method, path]["responses"]
        assert str(response.status_code) in responses, f"{method} {path}: {response.status_code} {response.text}"
        known = response_of(method, path, str(response.status_code))
        assert response.headers["X-Request-Id"]
        schema = known.get("content", {}).get("application/json", {}).get("schema")
        if schema is not None:
            Draft4Validator({"allOf": [schema], "components": DOCUMENT["components"]}).validate(response.json())
            if not ("oneOf" in schema and isinstance(response.json(), list)):  # the older form has no alternatives
                older = operations(OLDER)[method, path]["responses"][str(response.status_code)]["schema"]
                Draft4Validator({"allOf": [older], "definitions": OLDER["definitions"]}).validate(response.json())


def test_every_answer_around_a_whole_job_is_as_the_document_says(with_server: Any) -> None:
    async def test(api: Any) -> None:
        witness = Witness("http://server.test/v2")
        api.http.event_hooks["response"].append(witness)
        api.stranger.event_hooks["response"].append(witness)
        job = await api.create(process=False, notify_status="1", limits={"job": {"max_credit": "9"}})
        path = f"/jobs/{job['id']}"
        one = (await api.http.post(f"{path}/conversions", json=[{"target": "png"}, {"target": "bmp"}])).json()[0]
        await api.http.post(f"{path}/conversions", json={"target": "gif"})
        await api.http.patch(f"{path}/conversions/{one['id']}", json={"metadata": {"author": "Ada"}})
        await api.http.get(f"{path}/conversions/{one['id']}")
        await api.upload(job)
        inline = {"type": "base64", "source": "cGl4ZWxz", "filename": "bad.jpg"}
        two = (await api.http.post(f"{path}/input", json=inline)).json()
        await api.http.patch(f"{path}/input/{two['id']}", json={"parameters": {"x": 1}})
        await api.http.patch(f"{path}/input", json=[{"id": two["id"], "options": {"position": 1}}])
        await api.http.get(f"{path}/input/{two['id']}")
        await api.http.patch(path, json={"fail_on_conversion_error": False})
        done = await api.converted(job)
        output = done["output"][0]
        await api.http.patch(f"{path}/output/{output['id']}", json={"filename": "new"})
        await api.http.patch(f"{path}/output", json={"download_password": "x"})
        for part in ("conversions", "input", "output", "history", "threads", f"output/{output['id']}"):
            assert (await api.http.get(f"{path}/{part}")).json()
        await api.stranger.get(output["uri"])
        await api.stranger.get(output["uri"], headers={"X-Oc-Download-Password": "x"})
        await api.stranger.get(output["uri"], headers={"X-Oc-Download-Password": "x", "Range": "bytes=1-"})
        await api.stranger.get(output["uri"], headers={"X-Oc-Download-Password": "x", "Range": "bytes=99-"})
        await api.http.delete(f"{path}/output/{output['id']}")
        await api.stranger.get(output["uri"])
        for answer in (await api.start(done), await api.http.delete(path), await api.upload(done)):
            assert answer.status_code == 409
        for public in ("statuses", "conversions", "presets", "schema"):
            await api.stranger.get(f"/{public}")
        await api.http.get("/jobs")
        await api.stranger.get("/jobs")
        await api.http.get("/jobs/none")
        await api.http.get("/contracts")
        await api.http.get("/stats/year/2026/all")

        assert done["warnings"]
        assert len(witness.seen) > 35

    with_server(test)


def test_the_checker_accepts_the_document_beside_itself_and_names_whatever_is_missing(tmp_path: Path) -> None:
    ours = json.loads(json.dumps(DOCUMENT))
    theirs = json.loads(json.dumps(DOCUMENT))
    del ours["paths"]["/statuses"]
    del ours["paths"]["/jobs"]["get"]["responses"]["401"]
    del ours["components"]["schemas"]["Thread"]["properties"]["hash"]
    ours["components"]["schemas"]["InputFile"]["properties"]["engine"]["enum"].remove("zip")
    ours["paths"]["/presets"]["get"]["parameters"].pop()
    for name, content in (("ours", ours), ("theirs", theirs)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    done = subprocess.run(
        [sys.executable, str(CHECKER), str(tmp_path / "theirs.json"), str(tmp_path / "ours.json")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    for missing in (
        "GET /statuses\n",
        "GET /jobs: status 401\n",
        "GET /jobs/{job_id}/threads: status 200: []: field hash\n",
        "GET /jobs/{job_id}/input: status 200: [].engine: value zip\n",
        "GET /presets: query parameter page\n",
    ):
        assert f"missing in ours.json: {missing}" in done.stdout


@pytest.mark.parametrize(
    ("sent", "kept"), [("my-request.1", True), ("two words", False), ("x" * 200, False), ("", False)]
)
def test_every_answer_has_a_request_id_the_clients_own_where_it_is_plain(
    with_server: Any, sent: str, kept: bool
) -> None:
    async def test(api: Any) -> None:
        answers = [
            await api.http.get(path, headers={"X-Request-Id": sent} if sent else {})
            for path in ("/jobs", "/jobs/none", "/no-such-path")
        ]

        ids = [one.headers["X-Request-Id"] for one in answers]
        assert all(one == sent for one in ids) is kept
        assert kept or len(set(ids)) == 3

    with_server(test)
