"""What the local server can't read, make or be told: said by `check` where it is written, by `plan` from the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from PIL import Image

from runner.cli.unmade import unread_here, untaken_here
from runner.server.converters.image_targets import PICTURES
from runner.server.converters.image_write import FORMATS
from runner.server.converters.sides import LONGEST_SIDE
from runner.wire.values import JsonObject

Runner = Callable[..., CompletedProcess[str]]


def _recipe(folder: Path, name: str, source: str, more: str = "") -> Path:
    file = folder / f"{name}.recipe.toml"
    file.write_text(f'[[input]]\ntype = "upload"\nsource = "{source}"\n[[conversion]]\ntarget = "png"\n{more}')
    return file


@pytest.mark.parametrize(
    ("entry", "target", "why"),
    [
        ({"type": "upload", "source": "a.docx"}, "pdf", "'a.docx' is docx by its ending"),
        ({"type": "upload", "source": "in/*.PDF"}, "png", "'in/*.PDF' is pdf by its ending"),
        ({"type": "cloud", "source": "ftp", "parameters": {"file": "a.csv"}}, "pdf", "'a.csv' is csv by its ending"),
        ({"type": "base64", "source": "aGk=", "filename": "x.txt"}, "png", "'x.txt' is txt by its ending"),
        ({"type": "base64", "source": "aGk="}, "png", ""),
        ({"source": "https://example.com/", "engine": "website"}, "pdf", "the engine 'website' gives html"),
        ({"source": "https://example.com/", "engine": "screenshot_pdf"}, "pdf", ""),
        ({"source": "https://example.com/", "engine": "screenshot"}, "pdf", ""),
        ({"source": "https://example.com/a.docx"}, "pdf", ""),
        ({"type": "upload", "source": "a.pdf"}, "pdf", ""),
        ({"type": "upload", "source": "a.jpe"}, "png", ""),
        ({"type": "upload", "source": "a.whatever"}, "png", ""),
        ({"type": "upload", "source": "noend"}, "png", ""),
        ({"type": "upload", "source": "in/*"}, "png", ""),
        ({"type": "upload", "source": "{item.stem}.docx"}, "png", ""),
        ({"type": "upload", "source": "a.docx"}, "mp4", ""),  # that it isn't made at all is told already
    ],
)
def test_an_input_that_cannot_be_read_is_known_by_its_ending_or_engine(
    entry: JsonObject, target: str, why: str
) -> None:
    found = unread_here(entry, {"target": target}, False)

    assert found == (why and f"{why}, and the local server makes no {target} from that")


@pytest.mark.parametrize(
    ("options", "several", "why"),
    [
        ({"quality": 50}, False, "it can't be changed here: leave out quality"),
        ({"quality": "85", "rotate": None, "merge": True}, False, ""),
        ({"merge": True}, True, "it can't be joined with others here"),
        ({"merge": False}, True, ""),
    ],
)
def test_a_pdf_that_was_to_be_changed_is_known_too(options: JsonObject, several: bool, why: str) -> None:
    found = unread_here({"type": "upload", "source": "a.pdf"}, {"target": "pdf", "options": options}, several)

    assert found == (why and f"'a.pdf' is pdf by its ending, and the local server delivers that as it is; {why}")


@pytest.mark.parametrize(
    ("target", "options", "wrong"),
    [
        ("png", {"quality": 80, "width": 8}, {"quality"}),
        ("jpg", {"quality": 80, "progressive": None}, set()),
        ("jpg", {"progressive": True}, {"progressive"}),
        ("mp4", {"anything": 1}, set()),
        ("ico", {"width": 300}, {"width"}),
        ("ico", {"width": "300", "resize_by": "px"}, {"width"}),
        ("ico", {"height": 257, "width": 300}, {"width", "height"}),
        ("ico", {"width": 300, "height": 100, "resize_handling": "stretch"}, {"width"}),
        ("ico", {"width": 300, "height": 100}, set()),  # a high one fits inside
        ("ico", {"width": 256}, set()),
        ("ico", {"width": 300, "resize_by": "perc"}, set()),
        ("ico", {"width": 300, "preset": "5ad9"}, set()),
        ("ico", {"width": "{item.width}"}, set()),
        ("webp", {"height": 16_384}, {"height"}),
        ("resize-image", {"width": 300, "resize_target": "ico"}, {"width"}),
        ("resize-image", {"width": 300, "resize_target": "ico", "aspect_ratio": "1:1"}, set()),
    ],
)
def test_options_that_the_local_server_would_refuse_are_known(
    target: str, options: dict[str, Any], wrong: set[str]
) -> None:
    assert set(untaken_here("", target, options)) == wrong


def test_the_sides_are_those_at_which_pictures_are_refused() -> None:
    widest = {target.target: target.options_schema["width"]["maximum"] for target in PICTURES}

    assert {name: FORMATS[name].side for name, most in widest.items() if FORMATS[name].side < most} == LONGEST_SIDE


def test_check_warns_and_plan_blocks_before_anything_is_bought(tmp_path: Path, runner: Runner) -> None:
    (tmp_path / "report.docx").write_text("no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    recipes = [
        _recipe(tmp_path, "read", "report.docx"),
        _recipe(tmp_path, "told", "a.jpg", "options = { quality = 80 }\n"),
        _recipe(tmp_path, "void", "b.jpg"),
    ]

    checked, plan, run = (runner(command, *recipes) for command in ("check", "plan", "run"))
    elsewhere = runner("check", *recipes, RUNNER_ENDPOINT="hosted")

    assert (checked.returncode, plan.returncode, run.returncode) == (0, 5, 5)
    assert "read.recipe.toml:3:10: warning: 'report.docx' is docx by its ending" in checked.stderr
    assert "told.recipe.toml:6:13: warning: the local server has no option 'quality' for png" in checked.stderr
    assert (
        "read.recipe.toml:3:10: error: 'report.docx' is txt, and the local server makes no png from that" in plan.stderr
    )
    assert "told.recipe.toml:6:13: error: the local server has no option 'quality' for png" in plan.stderr
    assert "void.recipe.toml:3:10: error: 'b.jpg' is empty, and nothing can be made of that" in plan.stderr
    assert "find out what left it empty" in plan.stderr
    assert "3 blocked" in plan.stdout
    assert (elsewhere.returncode, elsewhere.stderr) == (0, "")
    assert not (tmp_path / ".runner" / "server").exists()


def test_items_that_cannot_be_read_are_named(tmp_path: Path, runner: Runner) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"):
        (tmp_path / "in" / name).write_bytes(b"\0\0\0\x18ftypisom" + b"0" * 99)
    (tmp_path / "in" / "empty.jpg").write_bytes(b"")
    (tmp_path / "in" / "notes.docx").write_text("no picture")
    file = _recipe(tmp_path, "all", "{item.path}")
    file.write_text(f'[foreach]\nfiles = "in/*"\n{file.read_text()}')

    run = runner("run", file)

    assert run.returncode == 5
    assert "'in/a.mp4', 'in/b.mp4', 'in/c.mp4' and 2 more are mp4, and the local server makes no png" in run.stderr
    assert "error: 'in/notes.docx' is txt, and the local server makes no png from that" in run.stderr
    assert "error: 'in/empty.jpg' is empty, and nothing can be made of that" in run.stderr


def test_what_a_file_holds_counts_in_a_plan_and_not_what_it_is_called(tmp_path: Path, runner: Runner) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "picture.dat", format="PNG")
    (tmp_path / "drawing.txt").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    save = '[save]\npath = "made/{output.filename}"\n'
    recipes = [_recipe(tmp_path, "a", "picture.dat", save), _recipe(tmp_path, "b", "drawing.txt", save)]

    run = runner("run", *recipes)

    assert (run.returncode, run.stderr) == (0, "")
    with Image.open(tmp_path / "made" / "picture.png") as made:
        assert (made.size, made.convert("RGB").getpixel((4, 4))) == ((8, 8), (255, 0, 0))
    with Image.open(tmp_path / "made" / "drawing.png") as made:
        assert made.size == (9, 9)


def test_a_job_that_may_do_without_a_conversion_is_not_blocked_for_one(tmp_path: Path, runner: Runner) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    file = _recipe(tmp_path, "a", "a.pdf", '[[conversion]]\ntarget = "pdf"\n')
    blocked = runner("plan", file)
    file.write_text(f"fail_on_conversion_error = false\n{file.read_text()}")

    assert "'a.pdf' is pdf, and the local server makes no png from that" in blocked.stderr
    assert runner("plan", file).returncode == 0


def test_doctor_says_what_engines_give_and_what_is_only_passed_on(tmp_path: Path, runner: Runner) -> None:
    told = runner("doctor", cwd=tmp_path).stdout

    assert "engines screenshot (png), screenshot_pdf (pdf), website (html)" in told
    assert "html (from html), pdf\n" in told
