"""Inputs, names and folders as they really are. One that can't be used is told; the other jobs are done."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.command_line import RUNNER, Desk, Done, new_desk, one_file, png, recipe_of, serving

# Root may read and write everything, unless it gives that up.
RIGHTLESS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", str(RUNNER))
WITHOUT_RIGHTS = RIGHTLESS if os.geteuid() == 0 else (str(RUNNER),)


def huge_png(pixels: int) -> bytes:
    """A whole PNG of `pixels` x `pixels`, one bit each, in some kilobytes."""
    packed = zlib.compressobj(9)
    row = b"\0" + bytes(pixels // 8)
    rows = b"".join(packed.compress(row * 1000) for _ in range(pixels // 1000)) + packed.flush()
    head = struct.pack(">IIBBBBB", pixels, pixels, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def noise_jpg(path: Path) -> bytes:
    Image.frombytes("RGB", (200, 120), random.Random(1).randbytes(200 * 120 * 3)).save(path)
    return path.read_bytes()


def test_pictures_that_are_none_fail_alone_and_the_server_lives(desk: Desk, tmp_path: Path) -> None:
    desk.write("pics/good.png", png())
    desk.write("pics/text.jpg", "hello, I am no picture")
    desk.write("pics/empty.png", b"")
    desk.write("pics/cut.jpg", noise_jpg(tmp_path / "a.jpg")[:9000])
    desk.write("pics/header.png", png()[:30])
    desk.write("pics/huge.png", huge_png(50_000))
    desk.write("pics/liar.png", b"%PDF-1.7\n")
    desk.write("a.recipe.toml", recipe_of("pics/*"))

    done = desk.runner("run", "a.recipe.toml", "--format", "json")

    status = {job["address"][7:-1]: job["status"] for job in done.json["jobs"]}
    wrong = {job["address"][7:-1]: job["errors"][0]["message"] for job in done.json["jobs"] if job["errors"]}
    assert done.code == 5  # that of the empty one, which is known before it is bought
    assert status.pop("good.png") == "succeeded"
    assert status.pop("empty.png") == "blocked"
    assert set(status.values()) == {"failed"}
    assert desk.delivered() == {"good.webp"}
    assert "plain text" in wrong["text.jpg"]
    assert "error: 'pics/empty.png' is empty, and nothing can be made of that" in done.err
    assert "it is cut off" in wrong["cut.jpg"]
    assert "50000 x 50000" in wrong["huge.png"]
    assert done.err.count("failed: a[pics/") == 5
    assert sum(job["spent"] for job in done.json["jobs"]) == 1

    again = desk.runner("run", "a.recipe.toml")  # a failure is not bought again by itself
    assert again.code == 5
    assert "--retry-failed" in again.err
    assert len(desk.book()) == 6


def test_of_several_patterns_a_misspelt_name_is_refused_and_an_idle_glob_warned_of(desk: Desk) -> None:
    desk.write("in/a.png", png())
    recipe = recipe_of("in/a.png").replace('"in/a.png"', '["in/a.png",\n"in/*.gif"]')
    desk.write("idle.recipe.toml", recipe)
    desk.write("gone.recipe.toml", recipe.replace("in/*.gif", "in/b.png"))

    idle, gone = desk.runner("plan", "idle.recipe.toml"), desk.runner("run", "gone.recipe.toml")

    assert idle.code == 0
    assert f"idle.recipe.toml:2:1: warning: 'in/*.gif' matches no file in {desk.folder}\n" in idle.err
    assert gone.code == 5
    assert "gone.recipe.toml:2:1: error: 'in/b.png' isn't there\n" in gone.err
    assert desk.delivered() == {"a.webp"}
    assert desk.runner("run", "idle.recipe.toml").said == (0, "", "")


def test_one_server_goes_on_after_every_bad_input(desk: Desk) -> None:
    desk.write("bad.png", huge_png(50_000))
    desk.write("good.png", png())
    desk.write("bad.recipe.toml", one_file("bad.png"))
    desk.write("good.recipe.toml", one_file("good.png"))

    with serving(desk) as server:
        known = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": server["api_key"]})
        endpoint = ("--endpoint", server["base_url"])
        assert known.runner("run", "bad.recipe.toml", *endpoint).code == 6
        assert known.runner("run", "good.recipe.toml", *endpoint).said == (0, "", "")


NAMES = [
    "with blank.png",
    " leading and trailing .png",
    "quo'te.png",
    'double"quote.png',
    "new\nline.png",
    "tab\t.png",
    "-dash.png",
    "--help.png",
    ".hidden.png",
    "ünï☃🎨.png",
    "cafe\u0301.png",
    "[x]*?.png",
    "{item.path}.png",
    "a%20b&c=d;e#f.png",
    "back\\slash.png",
    "$(touch gotcha).png",
    "n" * 240 + ".png",
    "noextension",
]


def test_files_may_be_called_anything(desk: Desk) -> None:
    for number, name in enumerate(NAMES):
        desk.write(f"pics/{name}", png(size=(10 + number, 10)))
    desk.write("a.recipe.toml", recipe_of("pics/*") + "on_conflict = 'error'\n")
    desk.write("b.recipe.toml", recipe_of("pics/.hidden.png", save="hidden/{output.filename}"))

    done = desk.runner("run", "a.recipe.toml", "b.recipe.toml", "--format", "json")

    assert (done.code, done.err) == (0, "")
    assert {job["address"] for job in done.json["jobs"]} == {
        f"a[pics/{name}]" for name in NAMES if name != ".hidden.png"
    } | {"b[pics/.hidden.png]"}
    for job in done.json["jobs"]:
        number = NAMES.index(job["address"].removeprefix("a[pics/").removeprefix("b[pics/")[:-1])
        with Image.open(job["outputs"][0]["path"]) as made:
            assert (made.format, made.width) == ("WEBP", 10 + number)
    assert len(desk.delivered()) == len(NAMES) - 1
    assert not any(set("/\n\t\\") & set(name) for name in desk.delivered())
    assert not (desk.folder / "gotcha").exists()
    assert "Nothing to do" in desk.runner("run", ".", "-v").err


def test_a_name_that_is_not_utf8_is_refused_by_name_and_the_rest_done(desk: Desk) -> None:
    desk.write("pics/good.png", png())
    (Path(os.fsdecode(os.fsencode(desk.folder / "pics") + b"/\xff\xfe.png"))).write_bytes(png(color="red"))
    desk.write("a.recipe.toml", recipe_of("pics/*"))

    done = desk.runner("run", ".")

    assert done.code == 5
    assert "a.recipe.toml:1:17: error: 'pics/\\xff\\xfe.png' has a name that is not UTF-8" in done.err
    assert desk.delivered() == {"good.webp"}


def test_a_file_that_is_refused_points_at_the_pattern_that_named_it(desk: Desk, tmp_path: Path) -> None:
    desk.write("pics/good.png", png())
    (tmp_path / "outside.png").write_bytes(png())
    (desk.folder / "more").mkdir()
    (desk.folder / "more/out.png").symlink_to(tmp_path / "outside.png")
    text = recipe_of("pics/*").replace('"pics/*"', '["pics/*", "more/*"]')
    desk.write("a.recipe.toml", text)

    done = desk.runner("plan", ".")

    assert done.code == 5
    assert "a.recipe.toml:1:28: error: 'more/out.png'" in done.err


UNUSABLE = {
    "gone.png": "'gone.png' isn't there",
    "pics": "'pics' is a folder",
    "pics/out.png": "leads out of the project",
    "pics/dangling.png": "link to something that isn't there",
    "pics/pipe.png": "not a regular file",
    "none/*.png": "matches no file",
    "locked.png": "Permission denied",
    "closed/a.png": "Permission denied",
}


@dataclass(frozen=True, slots=True)
class Told:
    desk: Desk
    planned: Done
    done: Done


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A recipe for every source that can't be used and one good one, in one run without root's rights."""
    desk = new_desk(tmp_path_factory.mktemp("sources"))
    _awkward_files(desk, tmp_path_factory.mktemp("outside"))
    for number, source in enumerate(UNUSABLE):
        desk.write(f"recipes/bad{number}.recipe.toml", one_file(f"../{source}"))
    desk.write("recipes/good.recipe.toml", one_file("../pics/good.png"))
    planned, done = (desk.runner(command, "recipes", launcher=WITHOUT_RIGHTS) for command in ("plan", "run"))
    yield Told(desk, planned, done)
    (desk.folder / "closed").chmod(0o755)


@pytest.mark.parametrize(("number", "words"), list(enumerate(UNUSABLE.values())), ids=list(UNUSABLE))
def test_a_source_that_cannot_be_used_is_named_at_its_place(told: Told, number: int, words: str) -> None:
    place = f"{told.desk.folder}/recipes/bad{number}.recipe.toml:3:10: error: "

    for one in (told.planned, told.done):
        (line,) = [line for line in one.err.splitlines() if line.startswith(place)]
        assert words.replace("'gone", "'../gone").replace("'pics", "'../pics") in line


def test_sources_that_cannot_be_used_do_not_hold_up_the_good_one(told: Told) -> None:
    assert told.planned.code == told.done.code == 5
    assert told.done.err.endswith("8 problems in 9 recipes. Their items were left out.\n")
    assert told.desk.delivered("recipes/out") == {"good/good.webp"}
    assert len(told.desk.book()) == 1


def _awkward_files(desk: Desk, outside: Path) -> None:
    desk.write("pics/good.png", png())
    (outside / "outside.png").write_bytes(png())
    (desk.folder / "pics/out.png").symlink_to(outside / "outside.png")
    (desk.folder / "pics/dangling.png").symlink_to("nowhere")
    os.mkfifo(desk.folder / "pics/pipe.png")
    desk.write("locked.png", png()).chmod(0o000)
    desk.write("closed/a.png", png()).parent.chmod(0o000)


def test_a_glob_that_matches_nothing_is_an_error_and_not_silence(desk: Desk) -> None:
    desk.write("a.recipe.toml", recipe_of("pics/**/*.tif"))

    done = desk.runner("run", ".")

    assert done.code == 5
    assert "a.recipe.toml:1:17: error: 'pics/**/*.tif' gives no items" in done.err
    assert done.err.endswith("Nothing was sent.\n")


def test_a_recipe_and_a_folder_that_may_not_be_read_are_named(desk: Desk) -> None:
    desk.write("locked.recipe.toml", one_file("a.png")).chmod(0o000)
    desk.write("closed/a.recipe.toml", one_file("a.png")).parent.chmod(0o000)

    done = desk.runner("check", "locked.recipe.toml", "closed", launcher=WITHOUT_RIGHTS)

    (desk.folder / "closed").chmod(0o755)
    assert done.code == 5
    assert "locked.recipe.toml:1:1: error: " in done.err
    assert "closed:1:1: error: can't be listed: Permission denied" in done.err
    assert done.err.endswith("2 problems in 1 recipe. Nothing was sent.\n")


def test_links_within_the_project_are_followed(desk: Desk) -> None:
    desk.write("pics/real.png", png())
    desk.write("a.recipe.toml", recipe_of("links/*"))
    (desk.folder / "links").mkdir()
    (desk.folder / "links/alias.png").symlink_to("../pics/real.png")

    assert desk.runner("run", ".").said == (0, "", "")
    assert desk.delivered() == {"alias.webp"}


def test_two_items_with_one_output_path_are_found_before_anything_is_bought(desk: Desk) -> None:
    desk.write("pics/a.png", png())
    desk.write("pics/a.jpg", png(color="red"))
    desk.write("pics/b.png", png(color="blue"))
    desk.write("a.recipe.toml", recipe_of("pics/*"))

    done = desk.runner("run", ".")

    assert done.code == 5
    assert done.err.count("would all be saved as") == 1
    assert "a.recipe.toml:8:8: error: a[pics/a.jpg], a[pics/a.png] would all be saved as" in done.err
    assert desk.delivered() == {"b.webp"}
    assert len(desk.book()) == 1


def test_two_conversions_to_one_target_get_names_of_their_own(desk: Desk) -> None:
    desk.write("a.png", png(size=(40, 20)))
    job = '{"input": {"type": "upload", "source": "a.png"}, "conversion": [%s]}'
    each = ", ".join(f'{{"target": "jpg", "options": {{"width": {width}}}}}' for width in (20, 10))
    desk.write("a.recipe.json", job % each)

    assert desk.runner("run", ".").said == (0, "", "")
    for name, width in {"a.jpg": 20, "a-2.jpg": 10}.items():
        with Image.open(desk.folder / "out/a" / name) as made:
            assert (made.format, made.width) == ("JPEG", width)
    assert len(desk.delivered()) == 2
    assert desk.runner("plan", ".", "--format", "json").json["summary"]["skip"] == 1


def test_an_output_filename_that_climbs_is_told_as_what_it_is(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png") + 'options = { output_filename = "../../../evil" }\n')
    desk.write("out/a/evil.webp", "somebody's own")

    checked = desk.runner("check", ".")
    in_the_way = desk.runner("plan", ".", "--format", "json")
    (desk.folder / "out/a/evil.webp").unlink()
    done = desk.runner("run", ".")

    assert checked.code == 0
    assert "a.recipe.toml:6:31: warning: output_filename '../../../evil' is a path" in checked.err
    assert "out/a/evil.webp is in the way" in in_the_way.json["jobs"][0]["reason"]
    assert (done.code, desk.delivered()) == (0, {"a/evil.webp"})  # the server makes a name of it


def test_a_file_that_is_not_ours_is_never_overwritten_nor_bought_around(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    desk.write("out/a/a.webp", "somebody's own")

    done = desk.runner("run", ".")

    assert done.code == 6
    assert "in the way" in done.err
    assert (desk.folder / "out/a/a.webp").read_text() == "somebody's own"
    assert not (desk.folder / ".runner/server/server.db").exists() or desk.book() == ()


def test_a_link_below_what_the_recipe_wrote_out_does_not_lead_results_away(desk: Desk, tmp_path: Path) -> None:
    desk.write("pics/a.png", png())
    desk.write("b.png", png(color="red"))
    desk.write("a.recipe.toml", recipe_of("pics/*", save="out/{item.dir}/{output.filename}"))
    desk.write("b.recipe.toml", one_file("b.png"))
    (tmp_path / "elsewhere").mkdir()
    (desk.folder / "out").mkdir()
    (desk.folder / "out/pics").symlink_to(tmp_path / "elsewhere")

    done = desk.runner("run", ".")

    assert done.code == 6
    assert "is a link that leads out of" in done.err
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert desk.delivered("out/b") == {"b.webp"}


def test_a_read_only_output_folder_is_found_before_anything_is_bought(desk: Desk) -> None:
    desk.write("pics/a.png", png())
    desk.write("b.png", png(color="red"))
    desk.write("a.recipe.toml", recipe_of("pics/*", save="locked/{output.filename}"))
    desk.write("b.recipe.toml", one_file("b.png"))
    (desk.folder / "locked").mkdir(mode=0o555)

    plan = desk.runner("plan", ".", launcher=WITHOUT_RIGHTS)
    done = desk.runner("run", ".", launcher=WITHOUT_RIGHTS)

    why = f"{desk.folder / 'locked'} can't be written: Permission denied; nothing was bought"
    assert why in plan.out
    assert done.code == 6
    assert why in done.err
    assert desk.delivered("out/b") == {"b.webp"}
    assert len(desk.book()) == 1

    (desk.folder / "locked").chmod(0o755)
    assert desk.runner("run", ".").said == (0, "", "")
    assert desk.delivered("locked") == {"a.webp"}
    assert len(desk.book()) == 2


@pytest.mark.parametrize("on_conflict", ["error", "overwrite", "rename"])
def test_a_read_only_output_folder_is_found_also_where_the_results_of_before_lie_in_it(
    desk: Desk, on_conflict: str
) -> None:
    def recipe(width: int) -> str:
        save = f'[save]\npath = "locked/{{output.filename}}"\non_conflict = "{on_conflict}"\n'
        return f"{one_file('a.png')}options = {{ width = {width} }}\n{save}"

    desk.write("a.png", png())
    desk.write("a.recipe.toml", recipe(7))
    assert desk.runner("run", ".").code == 0
    (desk.folder / "locked").chmod(0o555)
    unchanged = desk.runner("run", ".", launcher=WITHOUT_RIGHTS)
    (desk.folder / "a.recipe.toml").rename(desk.folder / "b.recipe.toml")
    renamed = desk.runner("run", ".", launcher=WITHOUT_RIGHTS)
    desk.write("b.recipe.toml", recipe(8))

    plan = desk.runner("plan", ".", launcher=WITHOUT_RIGHTS)
    done = desk.runner("run", ".", launcher=WITHOUT_RIGHTS)

    assert (unchanged.said, renamed.said) == ((0, "", ""), (0, "", ""))
    why = f"{desk.folder / 'locked'} can't be written: Permission denied; nothing was bought"
    assert why in plan.out
    assert done.code == 6
    assert why in done.err
    assert len(desk.book()) == 1


def test_a_read_only_output_folder_is_found_also_where_only_the_server_knows_the_names(desk: Desk) -> None:
    remote = '[[input]]\ntype = "remote"\nsource = "http://127.0.0.1:9/a"\n[[conversion]]\ntarget = "webp"\n'
    desk.write("a.recipe.toml", f'{remote}[save]\npath = "locked/{{output.filename}}"\n')
    (desk.folder / "locked").mkdir(mode=0o555)

    done = desk.runner("run", ".", launcher=WITHOUT_RIGHTS)

    assert done.code == 6
    assert f"{desk.folder / 'locked'} can't be written: Permission denied; nothing was bought" in done.err
    assert not (desk.folder / ".runner/server").exists()


def test_a_file_where_the_output_folder_should_be_is_found_before_anything_is_bought(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    desk.write("out", "no folder")

    done = desk.runner("run", ".")

    assert done.code == 6
    assert f"{desk.folder / 'out'} is in the way, and isn't a folder; nothing was bought" in done.err
    assert not (desk.folder / ".runner/server/server.db").exists()


def test_a_full_disk_costs_nothing_twice(desk: Desk) -> None:
    noise = Image.frombytes("RGB", (300, 200), random.Random(2).randbytes(300 * 200 * 3))
    (desk.folder / "pics").mkdir()
    noise.save(desk.folder / "pics/big.png")
    desk.write("b.png", png(color="red"))
    desk.write("a.recipe.toml", recipe_of("pics/*", target="bmp", save="full/{output.filename}"))
    desk.write("b.recipe.toml", one_file("b.png"))
    (desk.folder / "full").mkdir()

    with serving(desk, "--state", desk.folder / "server") as server:
        known = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": server["api_key"]})
        command = ("run", ".", "--endpoint", server["base_url"])
        done = known.runner(*command, launcher=_without_room(desk.folder / "full"))
        assert done.code == 6
        assert "full/big.bmp" in done.err
        assert "No space left on device" in done.err or "File too large" in done.err
        assert desk.delivered("out/b") == {"b.webp"}
        assert desk.delivered("full") == set()

        assert known.runner(*command).said == (0, "", "")
    with Image.open(desk.folder / "full/big.bmp") as made:
        assert made.size == (300, 200)
    assert [one.starts for one in desk.book("server")] == [1, 1]


def _without_room(folder: Path) -> tuple[str, ...]:
    """A command's beginning that gives `folder` 64 KiB, or every file 150 KB where nothing may be mounted."""
    mounted = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=64k none "{folder}" && exec "$0" "$@"',
    )
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode == 0:
        return (*mounted, str(RUNNER))
    return ("prlimit", "--fsize=150000", str(RUNNER))


def test_a_state_folder_that_cannot_be_written_is_said_in_one_line(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    (desk.folder / ".runner").mkdir(mode=0o555)

    done = desk.runner("run", ".", launcher=WITHOUT_RIGHTS)

    assert done.code == 5
    assert str(desk.folder / ".runner") in done.err
    assert len(done.err.splitlines()) <= 2


def test_a_state_that_is_a_file_is_said(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    desk.write(".runner", "I am a file")

    done = desk.runner("run", ".")

    assert done.code == 5
    assert str(desk.folder / ".runner") in done.err


def test_a_row_that_lacks_a_name_is_left_out_alone_and_named(desk: Desk) -> None:
    rows = ['{"file": "a.png", "to": "one"}', '{"file": "a.png"}', "", '{"to": "four"}', '{"file": "a.png", "to": "5"}']
    desk.write("rows.jsonl", "\n".join(rows))
    desk.write("a.png", png())
    body = {"input": [{"type": "upload", "source": "{item.file}"}], "conversion": [{"target": "webp"}]}
    save = {"save": {"path": "out/{item.to}.webp"}}
    desk.write("rows.recipe.json", json.dumps({"foreach": {"rows": "rows.jsonl"}, **body, **save}))

    done = desk.runner("run", ".")

    assert done.code == 5
    assert desk.delivered() == {"one.webp", "5.webp"}
    assert "error: rows.jsonl:2: the row has no 'to'\n" in done.err
    assert "error: rows.jsonl:4: the row has no 'file'\n" in done.err
    assert "commas" not in done.err


def test_a_column_that_a_table_doesnt_have_is_told_at_its_place_and_others_go_on(desk: Desk) -> None:
    desk.write("rows.csv", "file;width\na.png;10\n")
    desk.write("a.png", png())
    body = {"input": [{"type": "upload", "source": "{item.file}"}], "conversion": [{"target": "webp"}]}
    desk.write("rows.recipe.json", json.dumps({"foreach": {"rows": "rows.csv"}, **body}))
    good = {"input": [{"type": "upload", "source": "a.png"}], "conversion": [{"target": "webp"}]}
    desk.write("good.recipe.json", json.dumps(good))

    done = desk.runner("run", ".", "--format", "json")

    assert (done.code, done.json["summary"]["succeeded"]) == (5, 1)
    assert "rows.recipe.json:1:" in done.err
    assert "{item.file} does not exist" in done.err
    assert "parted by commas" in done.err


def test_a_table_that_isnt_there_says_where_paths_start(desk: Desk) -> None:
    desk.write("lib/rows.csv", "file\na.png\n")
    desk.write("lib/rows.toml", '[foreach]\nrows = "rows.csv"\n')
    upload = '[[input]]\ntype = "upload"\nsource = "{item.file}"\n'
    desk.write("a.recipe.toml", f'include = "lib/rows.toml"\n{upload}[[conversion]]\ntarget = "webp"\n')

    done = desk.runner("plan", "a.recipe.toml")

    assert done.code == 5
    assert "rows.csv can't be read: No such file or directory" in done.err
    assert f"paths are relative to {desk.folder}, also in a file that is included" in done.err
