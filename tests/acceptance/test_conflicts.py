"""What lies where a result belongs: what `save.on_conflict` keeps from its place, and what is said."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.command_line import RUNNER, Desk, one_file, png

SEVERAL = """\
[[input]]
type = "upload"
source = "src/*.png"
[[conversion]]
target = "jpg"
options = { allow_multiple_outputs = true }
[save]
path = "out/PATH"
on_conflict = "POLICY"
"""
TWO_FORMATS = """\
foreach.files = "src/*.png"
[[input]]
type = "upload"
source = "{item.path}"
[[conversion]]
target = "jpg"
[[conversion]]
target = "webp"
[save]
path = "out/{item.stem}.{output.ext}"
on_conflict = "POLICY"
"""


def several(desk: Desk, *, path: str, policy: str) -> None:
    for name, color in (("a", "teal"), ("b", "red")):
        desk.write(f"src/{name}.png", png(color=color))
    desk.write("m.recipe.toml", SEVERAL.replace("PATH", path).replace("POLICY", policy))


def two_formats(desk: Desk, *names: str) -> None:
    for name in names:
        desk.write(f"src/{name}.png", png(color="teal"))
    desk.write("t.recipe.toml", TWO_FORMATS.replace("POLICY", "skip"))


def format_of(path: Path) -> str | None:
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return image.format


@pytest.mark.parametrize("policy", ["error", "skip", "overwrite"])
def test_several_results_of_one_conversion_that_save_path_gives_one_name_are_found_before(
    policy: str, desk: Desk
) -> None:
    several(desk, path="all.{output.ext}", policy=policy)

    plan, done = desk.runner("plan", "."), desk.runner("run", ".")

    assert (plan.code, done.code) == (5, 5)
    assert f"several results of m would all be saved as '{desk.folder}/out/all.jpg'" in done.err
    assert not (desk.folder / ".runner/server/server.db").exists()


@pytest.mark.parametrize(("path", "policy"), [("{output.index}.jpg", "error"), ("all.jpg", "rename")])
def test_several_results_of_one_conversion_that_get_names_of_their_own_are_all_delivered(
    path: str, policy: str, desk: Desk
) -> None:
    several(desk, path=path, policy=policy)

    done = desk.runner("run", ".")

    assert done.code == 0, done.err
    assert [format_of(desk.folder / "out" / name) for name in desk.delivered()] == ["JPEG", "JPEG"]


def test_skip_leaves_no_result_out_for_another_result_of_the_same_job(desk: Desk) -> None:
    """Several pages of one picture: how many there are is known only when they are made."""
    pages = [Image.new("RGB", (24, 16), color) for color in ("teal", "red")]
    written = io.BytesIO()
    pages[0].save(written, "TIFF", save_all=True, append_images=pages[1:])
    desk.write("src/a.tiff", written.getvalue())
    desk.write("m.recipe.toml", SEVERAL.replace("*.png", "*.tiff").replace("PATH", "all.jpg").replace("POLICY", "skip"))

    refused = desk.runner("run", ".")
    desk.write("m.recipe.toml", (desk.folder / "m.recipe.toml").read_text().replace("all.jpg", "{output.index}.jpg"))
    done = desk.runner("run", ".")

    assert refused.code == 6
    assert "all.jpg holds the result of m, another output of the same job" in refused.err
    assert done.code == 0, done.err
    assert {"0.jpg", "1.jpg"} <= desk.delivered()
    assert [entry.starts for entry in desk.book()] == [1]


def test_skip_leaves_one_name_that_is_taken_and_delivers_the_others(desk: Desk) -> None:
    two_formats(desk, "a")
    taken = desk.write("out/a.webp", "mine")

    plan = desk.runner("plan", ".")
    done = desk.runner("run", ".")
    again = desk.runner("run", ".", "-v")

    assert "out/a.webp exists, which on_conflict = skip leaves alone" in plan.out
    assert (done.code, again.code) == (0, 0), done.err
    assert (format_of(desk.folder / "out/a.jpg"), taken.read_text()) == ("JPEG", "mine")
    assert "Nothing to do: 1 done before." in again.err
    assert [entry.starts for entry in desk.book()] == [1]


def test_skip_buys_nothing_where_all_names_are_taken_and_does_not_call_it_done(desk: Desk) -> None:
    two_formats(desk, "a")
    for ending in ("jpg", "webp"):
        desk.write(f"out/a.{ending}", "mine")

    done = desk.runner("run", ".", "-v")

    assert done.code == 0
    assert "Nothing to do: 1 left out, since files lie in place of the results (on_conflict = skip)." in done.err
    assert not (desk.folder / ".runner/server/server.db").exists()


@pytest.mark.parametrize(
    ("policy", "kept", "made"),
    [
        ("error", "a.webp.changed", {"a.webp": "WEBP"}),
        ("overwrite", "a.webp.changed", {"a.webp": "WEBP"}),
        ("rename", "a.webp", {"a-1.webp": "WEBP"}),
        ("skip", "a.webp", {}),
    ],
)
def test_what_somebody_made_of_a_result_is_never_lost_when_it_is_delivered_again(
    policy: str, kept: str, made: dict[str, str], desk: Desk
) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png") + f'[save]\npath = "out/a.webp"\non_conflict = "{policy}"\n')
    assert desk.runner("run", ".").code == 0

    edited = desk.write("out/a.webp", "edited")
    done = desk.runner("run", ".", "--format", "json")

    assert done.code == 0, done.err
    (job,) = done.json["jobs"]
    where = edited.with_name(kept)
    assert where.read_text() == "edited"
    assert bool(job["warnings"]) is (where != edited)
    results = {path.name: format_of(path) for path in edited.parent.iterdir() if path != where}
    assert results == made


@pytest.mark.parametrize("policy", ["error", "overwrite"])
def test_a_folder_where_a_result_was_is_called_one_by_plan_and_run(policy: str, desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png") + f'[save]\npath = "out/a.webp"\non_conflict = "{policy}"\n')
    assert desk.runner("run", ".").code == 0
    (desk.folder / "out/a.webp").unlink()
    (desk.folder / "out/a.webp").mkdir()

    plan = json.loads(desk.runner("plan", ".", "--format", "json").out)["jobs"]
    done = desk.runner("run", ".")

    assert [job["action"] for job in plan] == ["blocked"]
    assert "out/a.webp is a folder; it is bought already" in plan[0]["reason"]
    assert done.code == 6
    assert "out/a.webp is a folder; it is bought already" in done.err


def test_a_disk_that_is_read_only_is_called_that_before_anything_is_bought(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png") + '[save]\npath = "out/a.webp"\n')
    out = desk.folder / "out"
    out.mkdir()
    private = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
    read_only = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'

    done = desk.runner("run", ".", launcher=(*private, "sh", "-c", read_only, str(out), str(RUNNER)))

    assert done.code == 6
    assert f"{out} can't be written: Read-only file system; nothing was bought" in done.err
    assert not (desk.folder / ".runner/server/server.db").exists()
