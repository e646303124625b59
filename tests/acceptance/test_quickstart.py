"""The spine, as a stranger walks it: check, compile, plan, run, run again, look at the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pypdfium2
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from tests.acceptance.command_line import ROOT, Desk

QUICKSTART = "recipes/quickstart.recipe.toml"
PICTURES = {
    "badge.png": (800, 800),
    "compass.svg": (400, 400),
    "harbour.png": (1200, 800),
    "mountains.jpg": (1600, 1067),
    "night, held upright.jpg": (700, 1067),  # stored lying on its side
    "pendulum.gif": (320, 240),
}


def validate(document: Any, schema: str) -> None:
    jsonschema.Draft7Validator(json.loads((ROOT / "schemas" / f"{schema}.schema.json").read_text())).validate(document)


def test_the_examples_are_without_fault(examples: Desk) -> None:
    assert examples.runner("check", "recipes/").said == (0, "", "")
    assert examples.runner("check", "recipes/", "--format", "json").json == {"problems": [], "recipes": 2}


def test_compile_prints_every_job_and_what_it_uploads(examples: Desk) -> None:
    jobs = examples.runner("compile", QUICKSTART, "--format", "json").json

    assert [job["address"] for job in jobs] == [f"quickstart[pictures/{name}]" for name in sorted(PICTURES)]
    for job in jobs:
        assert set(job) == {"address", "key", "payload", "uploads"}
        assert [one["target"] for one in job["payload"]["conversion"]] == ["webp", "pdf"]
        (upload,) = job["uploads"]
        assert upload["size"] == Path(upload["path"]).stat().st_size
        assert len(upload["sha256"]) == 64


def test_plan_says_what_is_new_and_touches_nothing(examples: Desk) -> None:
    done = examples.runner("plan", "recipes/", "--format", "json")

    validate(done.json, "plan")
    assert (done.code, done.err) == (0, "")
    assert done.json["summary"]["run"] == len(PICTURES) + 1
    assert {job["reason"] for job in done.json["jobs"]} == {"new"}
    assert not (examples.folder / ".runner/server").exists()
    assert examples.runner("plan", "recipes/", "--detailed-exitcode").code == 10


def test_results_open_as_what_they_claim_to_be(examples: Desk) -> None:
    done = examples.runner("run", QUICKSTART, "--format", "json")

    validate(done.json, "run-report")
    assert (done.code, done.err) == (0, "")
    assert {file["path"] for job in done.json["jobs"] for file in job["outputs"]} == {
        str(examples.folder / "recipes/out/quickstart" / Path(name).with_suffix(suffix))
        for name in PICTURES
        for suffix in (".webp", ".pdf")
    }
    for name in PICTURES:
        _assert_small_and_whole(examples.folder / "recipes/out/quickstart", name)


def _assert_small_and_whole(out: Path, name: str) -> None:
    width, height = PICTURES[name]
    with Image.open((out / name).with_suffix(".webp")) as small:
        assert small.format == "WEBP"
        assert small.width == 800
        assert abs(small.height - 800 * height / width) <= 1
        frames = getattr(small, "n_frames", 1)
    pages = pypdfium2.PdfDocument((out / name).with_suffix(".pdf"))
    page_width, page_height = pages[0].get_size()
    assert len(pages) == frames == (12 if name == "pendulum.gif" else 1)
    assert page_width / page_height == pytest.approx(width / height, rel=0.01)
    pages.close()


def test_a_picture_held_upright_stands_upright_in_webp_and_pdf(examples: Desk) -> None:
    assert examples.runner("run", QUICKSTART).said == (0, "", "")

    out = examples.folder / "recipes/out/quickstart"
    with Image.open(examples.folder / "recipes/pictures/night, held upright.jpg") as stored:
        upright = ImageOps.exif_transpose(stored).convert("RGB").resize((70, 106))
    with Image.open(out / "night, held upright.webp") as small:
        assert small.getexif().get(274, 1) == 1
        assert _difference(small.convert("RGB").resize((70, 106)), upright) < 8
    document = pypdfium2.PdfDocument(out / "night, held upright.pdf")
    page = document[0].render().to_pil().convert("RGB").resize((70, 106))
    document.close()
    assert _difference(page, upright) < 8


def _difference(one: Image.Image, other: Image.Image) -> float:
    means: list[float] = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return max(means)


def test_the_second_run_finds_nothing_left_and_asks_nobody(examples: Desk) -> None:
    examples.runner("run", QUICKSTART)
    book = examples.book()
    server = {path: path.stat().st_mtime_ns for path in (examples.folder / ".runner/server").rglob("*")}

    again = examples.runner("run", QUICKSTART, "-v")
    report = examples.runner("run", QUICKSTART, "--format", "json").json

    assert again.code == 0
    assert again.out == ""
    assert "Nothing to do: 6 done before." in again.err
    validate(report, "run-report")
    assert report["summary"] == dict.fromkeys(report["summary"], 0) | {"skipped": 6}
    assert all(len(job["outputs"]) == 2 for job in report["jobs"])
    assert examples.book() == book
    assert {path: path.stat().st_mtime_ns for path in (examples.folder / ".runner/server").rglob("*")} == server


def test_results_are_told_apart_from_talk(examples: Desk) -> None:
    loud = examples.runner("run", QUICKSTART, "-v")

    assert (loud.code, loud.out) == (0, "")
    assert loud.err.startswith(f"12 results in {examples.folder / 'recipes/out/quickstart'}\n")
    assert "6 succeeded in " in loud.err


def test_quiet_is_silent_and_wins_over_nothing_being_wrong(examples: Desk) -> None:
    assert examples.runner("run", QUICKSTART, "--quiet").said == (0, "", "")
    assert examples.runner("check", "recipes/", "--quiet").said == (0, "", "")
    assert examples.runner("plan", QUICKSTART, "--quiet").said == (0, "Nothing to do: 6 done.\n", "")


def _repaint(desk: Desk) -> None:
    Image.new("RGB", (50, 40), "navy").save(desk.folder / "recipes/pictures/harbour.png")


def _requalify(desk: Desk) -> None:
    recipe = desk.folder / QUICKSTART
    recipe.write_text(recipe.read_text().replace("quality = 82", "quality = 60"))


def _remove(desk: Desk) -> None:
    (desk.folder / "recipes/out/quickstart/harbour.webp").unlink()


@pytest.mark.parametrize(
    ("change", "touched", "action", "named"),
    [
        pytest.param(_repaint, 1, "run", "harbour.png", id="an input"),
        pytest.param(_requalify, 6, "run", "quality", id="an option"),
        pytest.param(_remove, 1, "redeliver", "harbour.webp", id="a missing output"),
    ],
)
def test_what_changed_is_named_by_plan_and_done_by_run(
    examples: Desk, change: Any, touched: int, action: str, named: str
) -> None:
    examples.runner("run", QUICKSTART)
    bought = len(examples.book())
    change(examples)

    planned = examples.runner("plan", QUICKSTART, "--format", "json").json
    text = examples.runner("plan", QUICKSTART).out
    report = examples.runner("run", QUICKSTART, "--format", "json").json

    assert planned["summary"][action] == touched
    assert planned["summary"]["skip"] == 6 - touched
    harbour = next(job for job in planned["jobs"] if "harbour" in job["address"])
    assert named in json.dumps([harbour["reason"], harbour["changes"]])
    assert named in text
    assert report["summary"]["succeeded"] == touched
    assert len(examples.book()) == bought + (touched if action == "run" else 0)
    assert examples.runner("plan", QUICKSTART, "--detailed-exitcode").code == 0


def test_the_log_lists_runs_and_shows_one(examples: Desk) -> None:
    assert examples.runner("log", "--format", "json").said == (0, "[]\n", "")
    run_id = examples.runner("run", QUICKSTART, "--format", "json").json["run_id"]

    listed, shown = examples.runner("log", "--format", "json"), examples.runner("log", run_id, "--format", "json")
    text = examples.runner("log").out + examples.runner("log", run_id).out

    assert [one["run_id"] for one in listed.json] == [run_id]
    assert run_id in shown.out
    assert text.count(run_id) >= 2
    assert "quickstart[pictures/harbour.png]" in text


def test_state_may_live_elsewhere(examples: Desk, tmp_path: Path) -> None:
    state = tmp_path / "elsewhere"

    assert examples.runner("run", QUICKSTART, "--state", state).said == (0, "", "")

    assert (state / "runs.db").is_file()
    assert not (examples.folder / ".runner").exists()
    assert "Nothing to do" in examples.runner("run", QUICKSTART, "--state", state, "-v").err


def test_the_current_folder_changes_nothing(examples: Desk, tmp_path: Path) -> None:
    assert examples.runner("run", QUICKSTART).code == 0

    again = examples.runner("run", examples.folder / QUICKSTART, "-v", cwd=tmp_path)

    assert "Nothing to do: 6 done before." in again.err
    assert not (tmp_path / ".runner").exists()
