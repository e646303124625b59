"""The spine, as a stranger walks it: check, compile, plan, run, run again, look at the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pypdfium2  # type: ignore[import-untyped]  # ships no types
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from tests.acceptance.command_line import ROOT, Desk, Done, copy_examples, new_desk, one_file, png

QUICKSTART = "recipes/quickstart.recipe.toml"
FEW = ("harbour.png", "badge.png")
PICTURES = {
    "badge.png": (800, 800),
    "compass.svg": (400, 400),
    "harbour.png": (1200, 800),
    "mountains.jpg": (1600, 1067),
    "night, held upright.jpg": (700, 1067),  # stored lying on its side
    "pendulum.gif": (320, 240),
}


RECIPES = len(list((ROOT / "recipes").glob("*.recipe.*")))


def validate(document: Any, schema: str) -> None:
    jsonschema.Draft7Validator(json.loads((ROOT / "schemas" / f"{schema}.schema.json").read_text())).validate(document)


def test_the_examples_are_without_fault(examples: Desk) -> None:
    assert examples.runner("check", "recipes/").said == (0, "", "")
    assert examples.runner("check", "recipes/", "--format", "json").json == {"problems": [], "recipes": RECIPES}


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
    assert (done.code, done.err.count("warning: ")) == (0, 4)
    assert done.err.count("whose storage it is") == 4  # that of Azure and of FTP, which a variable would say
    assert done.json["summary"]["run"] == len(PICTURES) + RECIPES - 1
    assert {job["reason"] for job in done.json["jobs"]} == {"new"}
    assert not (examples.folder / ".runner/server").exists()
    assert examples.runner("plan", "recipes/", "--detailed-exitcode").code == 10


@dataclass(frozen=True, slots=True)
class Finished:
    """The project after its first run, and what that run said."""

    desk: Desk
    first: Done

    @property
    def out(self) -> Path:
        return self.desk.folder / "recipes/out/quickstart"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    desk = new_desk(tmp_path_factory.mktemp("quickstart"))
    copy_examples(desk)
    return Finished(desk, desk.runner("run", QUICKSTART, "--format", "json"))


def test_results_open_as_what_they_claim_to_be(finished: Finished) -> None:
    validate(finished.first.json, "run-report")
    assert (finished.first.code, finished.first.err) == (0, "")
    assert {file["path"] for job in finished.first.json["jobs"] for file in job["outputs"]} == {
        str(finished.out / Path(name).with_suffix(suffix)) for name in PICTURES for suffix in (".webp", ".pdf")
    }
    for name in PICTURES:
        _assert_small_and_whole(finished.out, name)


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


def test_a_picture_held_upright_stands_upright_in_webp_and_pdf(finished: Finished) -> None:
    out = finished.out
    with Image.open(finished.desk.folder / "recipes/pictures/night, held upright.jpg") as stored:
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


def test_the_second_run_finds_nothing_left_and_asks_nobody(finished: Finished) -> None:
    desk = finished.desk
    book = desk.book()
    server = {path: path.stat().st_mtime_ns for path in (desk.folder / ".runner/server").rglob("*")}

    again = desk.runner("run", QUICKSTART, "-v")
    report = desk.runner("run", QUICKSTART, "--format", "json").json

    assert again.said == (0, "", f"12 results in {finished.out}\nNothing to do: 6 done before.\n")
    validate(report, "run-report")
    assert report["summary"] == dict.fromkeys(report["summary"], 0) | {"skipped": 6}
    assert all(len(job["outputs"]) == 2 for job in report["jobs"])
    assert desk.book() == book
    assert {path: path.stat().st_mtime_ns for path in (desk.folder / ".runner/server").rglob("*")} == server


def test_quiet_says_nothing_when_nothing_is_wrong(finished: Finished) -> None:
    assert finished.desk.runner("run", QUICKSTART, "--quiet").said == (0, "", "")
    assert finished.desk.runner("check", "recipes/", "--quiet").said == (0, "", "")
    assert finished.desk.runner("plan", QUICKSTART, "--quiet").said == (0, "Nothing to do: 6 done.\n", "")


def test_without_a_terminal_a_good_run_is_silent(finished: Finished) -> None:
    assert finished.desk.runner("run", QUICKSTART).said == (0, "", "")


def test_the_current_folder_changes_nothing(finished: Finished, tmp_path: Path) -> None:
    again = finished.desk.runner("run", finished.desk.folder / QUICKSTART, "-v", cwd=tmp_path)

    assert "Nothing to do: 6 done before." in again.err
    assert not (tmp_path / ".runner").exists()


def test_the_log_lists_runs_and_shows_one(finished: Finished) -> None:
    run_id = finished.first.json["run_id"]

    listed = finished.desk.runner("log", "--format", "json")
    shown = finished.desk.runner("log", run_id, "--format", "json")
    text = finished.desk.runner("log").out + finished.desk.runner("log", run_id).out

    assert [one["run_id"] for one in listed.json["runs"]] == [run_id]
    assert run_id in shown.out
    assert text.count(run_id) >= 2
    assert "quickstart[pictures/harbour.png]" in text


@pytest.fixture
def few(examples: Desk) -> Desk:
    """The quickstart with two of its pictures, done."""
    for path in (examples.folder / "recipes/pictures").iterdir():
        if path.name not in FEW:
            path.unlink()
    assert f"\n{2 * len(FEW)} results in " in examples.runner("run", QUICKSTART, "-v").err  # behind the unmatched globs
    return examples


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
        pytest.param(_repaint, 1, "run", "content", id="an input"),
        pytest.param(_requalify, len(FEW), "run", "quality", id="an option"),
        pytest.param(_remove, 1, "redeliver", "harbour.webp", id="a missing output"),
    ],
)
def test_what_changed_is_named_by_plan_and_done_by_run(
    few: Desk, change: Callable[[Desk], None], touched: int, action: str, named: str
) -> None:
    change(few)

    planned = few.runner("plan", QUICKSTART, "--format", "json").json
    text = few.runner("plan", QUICKSTART).out
    report = few.runner("run", QUICKSTART, "--format", "json").json

    assert planned["summary"][action] == touched
    assert planned["summary"]["skip"] == len(FEW) - touched
    harbour = next(job for job in planned["jobs"] if "harbour" in job["address"])
    assert named in json.dumps([harbour["reason"], harbour["changes"]])
    assert named in text
    assert report["summary"]["succeeded"] == touched
    assert len(few.book()) == len(FEW) + (touched if action == "run" else 0)
    assert few.runner("plan", QUICKSTART, "--detailed-exitcode").code == 0


def test_state_may_live_elsewhere(desk: Desk, tmp_path: Path) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    state = tmp_path / "elsewhere"

    assert desk.runner("run", ".", "--state", state).said == (0, "", "")

    assert (state / "runs.db").is_file()
    assert not (desk.folder / ".runner").exists()
    assert "Nothing to do" in desk.runner("run", ".", "--state", state, "-v").err


def test_a_project_that_never_ran_has_an_empty_log(desk: Desk) -> None:
    assert desk.runner("log", "--format", "json").json == {"runs": []}
    assert desk.runner("log").code == 0
