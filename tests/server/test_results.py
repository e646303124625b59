"""Inputs times conversions, packing, names, limits and credits."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.server.book import read_book
from runner.server.config import Contract
from runner.server.jobs.credits import credits_of
from runner.server.jobs.record import Job
from runner.wire.names import clean_name, unique_names


async def job_with(api: Any, names: list[str], *targets: str, options: Any = None, **body: Any) -> dict[str, Any]:
    conversions = [{"target": one, "options": options or []} for one in targets]
    job: dict[str, Any] = await api.create(process=False, conversion=conversions, **body)
    for name in names:
        assert (await api.upload(job, name.encode(), name=name)).status_code == 200
    return job


def test_several_files_of_one_conversion_are_packed_by_default(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await job_with(api, ["a.jpg", "ä.jpg", "a.jpg"], "png", "webp")
        done = await api.converted(job)

        assert [one["filename"] for one in done["output"]] == ["a.zip", "a-2.zip"]
        assert [one["source"]["conversion"] for one in done["output"]] == [one["id"] for one in done["conversion"]]
        assert done["output"][0]["source"]["input"] == [one["id"] for one in done["input"]]
        packed = zipfile.ZipFile(io.BytesIO((await api.stranger.get(done["output"][0]["uri"])).content))
        assert packed.namelist() == ["a.png", "ä.png", "a-2.png"]
        assert packed.read("ä.png") == "ä.jpg0".encode()
        assert done["spent"] == 6

    with_server(test)


def test_packed_pages_are_called_after_what_they_are_pages_of(with_server: Any) -> None:
    async def test(api: Any) -> None:
        api.converter.pages = 2
        done = await api.converted(await job_with(api, ["scan.tif"], "png", "jpg"))
        called = await api.converted(await job_with(api, ["scan.tif"], "png", options={"output_filename": "Bericht"}))

        assert [one["filename"] for one in done["output"]] == ["scan.zip", "scan-2.zip"]
        packed = zipfile.ZipFile(io.BytesIO((await api.stranger.get(done["output"][0]["uri"])).content))
        assert packed.namelist() == ["scan-1.png", "scan-2.png"]
        assert [one["filename"] for one in called["output"]] == ["Bericht.zip"]

    with_server(test)


def test_every_file_is_an_output_where_the_job_says_so(with_server: Any) -> None:
    async def test(api: Any) -> None:
        options = {"allow_multiple_outputs": "true"}
        job = await job_with(api, ["a.jpg", "b.jpg"], "png", "webp", options=options)
        done = await api.converted(job)

        assert [one["filename"] for one in done["output"]] == ["a.png", "b.png", "a.webp", "b.webp"]
        ids = [one["id"] for one in done["input"]]
        assert [one["source"]["input"] for one in done["output"]] == [[one] for one in ids * 2]

    with_server(test)


def test_more_files_than_the_threshold_are_packed_again(with_server: Any) -> None:
    async def test(api: Any) -> None:
        options = {"allow_multiple_outputs": True, "allow_multiple_outputs_threshold": 2}
        api.converter.pages = 2
        few = await api.converted(await job_with(api, ["a.jpg"], "png", options=options))
        many = await api.converted(await job_with(api, ["a.jpg", "b.jpg"], "png", options=options))
        assert (len(few["output"]), len(many["output"])) == (2, 1)

    with_server(test)


def test_output_filename_names_the_result(with_server: Any) -> None:
    async def test(api: Any) -> None:
        options = {"output_filename": "Bericht", "allow_multiple_outputs": True}
        done = await api.converted(await job_with(api, ["a.jpg", "b.jpg"], "png", options=options))
        assert [one["filename"] for one in done["output"]] == ["Bericht.png", "Bericht-2.png"]

    with_server(test)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("", "a.png"),
        ("in/a/folder", "folder.png"),
        ("..", "a.png"),
        ("a\0b\n", "ab.png"),
        ("x" * 255, "x" * 250 + ".png"),
    ],
)
def test_whatever_output_filename_says_becomes_a_name(with_server: Any, given: str, named: str) -> None:
    async def test(api: Any) -> None:
        done = await api.converted(await job_with(api, ["a.jpg"], "png", options={"output_filename": given}))
        assert [one["filename"] for one in done["output"]] == [named]

    with_server(test)


@pytest.mark.parametrize(
    ("named", "given", "renamed"),
    [
        ("a.png", "b", "b.png"),
        ("a.png", "a.png", "a.png"),
        ("a.png", "b.png", "b.png"),
        ("a.png", "B.PNG", "B.png"),
        ("a.png", " in/a/b.png ", "b.png"),
        ("a.png", "b.jpg", "b.jpg.png"),
        ("a.png", "b.png.png", "b.png.png"),
        ("a.png", "png", "png.png"),
        ("a.png", ".png", ".png.png"),
        ("a.png", "", "a.png"),
        ("a.png", "..", "a.png"),
        ("v1.2.png", "v1.3", "v1.3.png"),
        ("x" * 250 + ".png", "x" * 250 + ".png", "x" * 250 + ".png"),
    ],
)
@pytest.mark.parametrize("whose", ["one", "all"])
def test_a_patch_names_an_output_with_or_without_its_extension(
    with_server: Any, named: str, given: str, renamed: str, whose: str
) -> None:
    async def test(api: Any) -> None:
        done = await api.converted(await job_with(api, ["a.jpg"], "png", options={"output_filename": Path(named).stem}))
        (output,) = done["output"]
        assert output["filename"] == named

        path = f"/jobs/{done['id']}/output" + (f"/{output['id']}" if whose == "one" else "")
        answer = (await api.http.patch(path, json={**output, "filename": given})).json()

        assert (answer if whose == "one" else answer[0]) == {
            **output,
            "filename": renamed,
            "uri": output["uri"].rpartition("/")[0] + f"/{renamed}",
        }

    with_server(test)


def test_documents_of_outputs_without_an_extension_or_of_equal_names_are_taken_back_as_they_are(
    with_server: Any,
) -> None:
    async def test(api: Any) -> None:
        done = await api.converted(
            await job_with(api, ["a.jpg", "a.jpg"], "png", options={"allow_multiple_outputs": True})
        )
        await api.opened.house.jobs.change(done["id"], _without_extension_of_the_last)
        outputs = (await api.get(done))["output"]
        assert [one["filename"] for one in outputs] == ["a.png", "a-2"]

        for one in outputs:
            assert (await api.http.patch(f"/jobs/{done['id']}/output/{one['id']}", json=one)).json() == one
        plain = await api.http.patch(f"/jobs/{done['id']}/output/{outputs[1]['id']}", json={"filename": "b.png"})

        assert plain.json()["filename"] == "b.png"

    with_server(test)


def _without_extension_of_the_last(job: Job) -> Job:
    *others, last = job.outputs
    return replace(job, outputs=(*others, replace(last, filename=Path(last.filename).stem)))


@pytest.mark.parametrize(
    ("fail", "cap", "targets", "status", "outputs", "spent"),
    [
        (True, 4, 3, "completed", 3, 3),
        (False, 4, 3, "completed", 3, 3),
        (True, 3, 3, "completed", 3, 3),
        (True, 2, 3, "failed", 0, 0),
        (False, 2, 3, "completed", 2, 2),
        (True, 0, 1, "failed", 0, 0),
        (False, 0, 1, "failed", 0, 0),
        (False, "2", 3, "completed", 2, 2),
    ],
)
def test_max_credit_with_fail_on_conversion_error_is_as_the_api_says(
    with_server: Any, fail: bool, cap: Any, targets: int, status: str, outputs: int, spent: int, tmp_path: Any
) -> None:
    async def test(api: Any) -> None:
        job = await job_with(
            api,
            ["a.jpg"],
            *("png", "bmp", "gif")[:targets],
            limits={"job": {"max_credit": cap}},
            fail_on_conversion_error=fail,
        )
        done = await api.converted(job)

        assert (done["status"]["code"], len(done["output"]), done["spent"]) == (status, outputs, spent)
        book = read_book(tmp_path / "state")[job["id"]]
        assert (book.starts, book.credits, book.status) == (1, spent, status)
        told = done["errors"] if status == "failed" else done["warnings"]
        assert all(one["code"] == 402 and "max_credit" in one["message"] for one in told)
        assert len(told) == (0 if outputs == targets else 1)

    with_server(test)


def test_long_conversions_cost_what_they_take(with_server: Any) -> None:
    async def test(api: Any) -> None:
        api.converter.wall_s = 61.0
        done = await api.converted(await job_with(api, ["a.jpg", "b.jpg"], "png"))
        assert done["spent"] == 4

    with_server(test)


def test_a_conversion_is_stopped_when_it_would_cost_more_than_is_left(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await job_with(api, ["slow.jpg"], "png", limits={"job": {"max_credit": 1}})
        done = await api.converted(job)
        assert (done["status"]["code"], done["spent"], done["errors"][0]["code"]) == ("failed", 0, 402)

    with_server(test, contract=Contract(credit_minute_s=0.05))


def test_max_process_time_ends_a_job(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await job_with(api, ["a.jpg", "slow.jpg"], "png", limits={"job": {"max_process_time": 1}})
        done = await api.converted(job)
        assert (done["status"]["code"], done["spent"], done["errors"][0]["code"]) == ("failed", 0, 408)
        assert "max_process_time" in done["errors"][0]["message"]

    with_server(test)


def test_more_inputs_than_allowed_are_refused(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged(limits={"job": {"max_inputs": 1}})
        assert (await api.upload(job)).status_code == 200
        assert (await api.upload(job)).status_code == 402
        more = await api.http.post(f"/jobs/{job['id']}/input", json={"source": "http://x/"})
        assert (more.status_code, "max_inputs" in more.json()["message"]) == (402, True)
        body = {"input": [{"source": "http://x/"}] * 2, "limits": {"job": {"max_inputs": 1}}}
        assert (await api.http.post("/jobs", json=body)).status_code == 402

    with_server(test)


def test_one_bad_input_fails_the_whole_job_without_cost(with_server: Any) -> None:
    async def test(api: Any) -> None:
        done = await api.converted(await job_with(api, ["a.jpg", "bad.jpg"], "png"))
        assert (done["status"]["code"], done["spent"], done["output"]) == ("failed", 0, [])
        error = done["errors"][0]
        assert (error["source"], error["id_source"]) == ("conversion", done["conversion"][0]["id"])
        assert (error["code"], error["details"]) == (6005, {"text_1": "broken"})

    with_server(test)


def test_one_bad_input_is_a_warning_where_the_job_says_so(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await job_with(api, ["a.jpg", "bad.jpg"], "png", fail_on_conversion_error=False)
        done = await api.converted(job)
        assert (done["status"]["code"], done["spent"], len(done["output"])) == ("completed", 1, 1)
        assert [one["code"] for one in done["warnings"]] == [6005]
        threads = (await api.http.get(f"/jobs/{job['id']}/threads")).json()
        assert sorted(one["status"] for one in threads) == [0, 1]
        none = await api.converted(await job_with(api, ["bad.jpg"], "png", fail_on_conversion_error=False))
        assert (none["status"]["code"], [one["code"] for one in none["errors"]]) == ("failed", [6005])

    with_server(test)


def test_what_a_result_lacks_is_a_warning_told_once(with_server: Any) -> None:
    async def test(api: Any) -> None:
        api.converter.pages, api.converter.warnings = 2, ("A png has no place for it.",)
        done = await api.converted(await job_with(api, ["a.jpg", "b.jpg"], "png", "webp"))

        assert done["status"]["code"] == "completed"
        assert len(done["output"]) == 2
        assert {one["id_source"] for one in done["warnings"]} == {one["id"] for one in done["conversion"]}
        assert [(one["source"], one["code"], one["message"]) for one in done["warnings"]] == [
            ("conversion", 6909, "A png has no place for it.")
        ] * 2

    with_server(test)


def test_canceling_stops_the_conversion_and_removes_the_files(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await job_with(api, ["slow.jpg"], "png")
        await api.start(job)
        await api.until(job, lambda one: one.phase == "processing")
        assert (await api.http.delete(f"/jobs/{job['id']}")).status_code == 204
        assert (await api.get(job))["spent"] == 0
        assert not api.opened.house.blobs.path(job["id"]).exists()
        after = await api.converted(await job_with(api, ["a.jpg"], "png"))
        assert after["status"]["code"] == "completed"

    with_server(test)


@pytest.mark.parametrize(("seconds", "cost"), [(0.0, 1), (0.1, 1), (60.0, 1), (60.1, 2), (3600.0, 60)])
def test_a_credit_is_a_started_minute(seconds: float, cost: int) -> None:
    assert credits_of(seconds, 60.0) == cost


@given(st.text())
def test_a_cleaned_name_is_one_plain_name_that_fits(name: str) -> None:
    cleaned = clean_name(name)

    assert "/" not in cleaned
    assert "\\" not in cleaned
    assert cleaned not in (".", "..")
    assert len(cleaned.encode()) <= 250
    assert cleaned.isprintable()
    assert clean_name(cleaned) == cleaned


@given(st.lists(st.sampled_from(["a.png", "A.png", "a-2.png", "b", ".x", "a.b.png"]), max_size=8))
def test_unique_names_are_unique_also_where_case_makes_no_difference(names: list[str]) -> None:
    made = unique_names(names)

    assert len({name.lower() for name in made}) == len(names)
    assert [name.rpartition(".")[2] for name in made if "." in name[1:]] == [
        name.rpartition(".")[2] for name in names if "." in name[1:]
    ]
