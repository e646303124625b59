"""Sources as items: every object of a cloud folder is a job, and what changed there is done again."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.clouds import Cloud
from tests.acceptance.command_line import ROOT, Desk, Done, web

NAME = "recipes/folder.recipe.json"


def picture(color: str, form: str = "JPEG") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(written, form)
    return written.getvalue()


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def recipe(cloud: Cloud, prefix: str, **foreach: Any) -> str:
    """A recipe over `prefix`; its secrets are where the shell of the test has them."""
    remote = cloud.remote
    parameters = {name: value for name, value in remote.parameters.items() if name != "file"}
    variables = {value: name for name, value in cloud.shell.items()}
    credentials = {
        name: {"env": variables[value if isinstance(value, str) else json.dumps(value)]}
        for name, value in remote.credentials.items()
    }
    place = {"source": remote.provider, "parameters": parameters, "credentials": credentials}
    bucket = {**place, "parameters": {**parameters, "prefix": prefix}, "match": "**/*.jpg"}
    return json.dumps(
        {
            "foreach": {"bucket": bucket, **foreach},
            "input": [{"type": "cloud", **place, "parameters": {**parameters, "file": "{item.path}"}}],
            "conversion": [{"target": "png"}],
            "save": {"path": "out/{item.dir}/{output.filename}"},
        }
    )


def run(desk: Desk, command: str = "run", *more: str) -> Done:
    return desk.runner(command, NAME, "--endpoint", "local", "--format", "json", *more)


def actions(done: Done) -> dict[str, str]:
    return {job["address"]: job["action"] for job in done.json["jobs"] if job["action"] != "orphan"}


def test_every_object_is_a_job_and_only_what_changed_is_done_again(pointed: Desk, cloud: Cloud) -> None:
    cloud.remote.put("album/a b.jpg", picture("red"))
    cloud.remote.put("album/deep/ü+c.jpg", picture("green"))
    cloud.remote.put("album/notes.txt", b"no picture")
    pointed.write(NAME, recipe(cloud, "album/"))

    first = run(pointed)
    again = run(pointed)
    cloud.remote.put("album/a b.jpg", picture("blue") + b"\n")
    cloud.remote.put("album/new.jpg", picture("white"))
    planned = run(pointed, "plan")
    third = run(pointed)

    changed, kept, new = "folder[album/a b.jpg]", "folder[album/deep/ü+c.jpg]", "folder[album/new.jpg]"
    assert (first.code, first.json["summary"]["succeeded"]) == (0, 2), first.err + first.out
    assert (again.code, again.json["summary"]["skipped"]) == (0, 2)
    assert actions(planned) == {changed: "run", kept: "skip", new: "run"}
    reasons = {job["address"]: job["reason"] for job in planned.json["jobs"]}
    assert reasons[changed].startswith("changed: input[0] content: ")
    assert (third.code, third.json["summary"]["succeeded"], third.json["summary"]["skipped"]) == (0, 2, 1)
    out = pointed.folder / "recipes/out/album"
    assert opened(out / "a b.png").convert("RGB").getpixel((5, 5)) == pytest.approx((0, 0, 255), abs=3)
    assert opened(out / "deep/ü+c.png").size == (32, 24)
    assert opened(out / "new.png").size == (32, 24)


def test_objects_whose_results_would_share_a_name_are_refused_before_anything_is_bought(
    pointed: Desk, cloud: Cloud
) -> None:
    cloud.remote.put("twins/plain.jpg", picture("red"))
    cloud.remote.put("twins/plain.png", picture("red", "PNG"))
    document = json.loads(recipe(cloud, "twins/"))
    document["foreach"]["bucket"]["match"] = ["**/*.jpg", "**/*.png"]
    pointed.write(NAME, json.dumps(document))
    shared = run(pointed)
    document["save"] = tomllib.loads((ROOT / "docs/examples/bucket.recipe.toml").read_text())["save"]
    pointed.write(NAME, json.dumps(document))

    apart = run(pointed)

    assert (shared.code, shared.json["summary"]["succeeded"]) == (5, 0), shared.out
    assert "folder[twins/plain.jpg], folder[twins/plain.png] would all be saved as" in shared.err
    assert (apart.code, apart.json["summary"]["succeeded"]) == (0, 2), apart.err
    out = pointed.folder / "recipes/out/bucket/twins"
    assert sorted(path.name for path in out.iterdir()) == ["plain.jpg.png", "plain.png.png"]


def test_a_bucket_that_grew_too_much_stops_before_anything_is_bought(pointed: Desk, cloud: Cloud) -> None:
    for number in range(4):
        cloud.remote.put(f"grown/{number}.jpg", picture("red"))
    pointed.write(NAME, recipe(cloud, "grown/", max_items=2))

    done = run(pointed)

    assert done.code == 5
    assert "there are at least 3 items, more than max_items = 2" in done.err
    assert done.json["summary"]["succeeded"] == 0


def test_a_folder_that_cant_be_listed_is_told_at_its_line_without_a_secret(pointed: Desk, cloud: Cloud) -> None:
    pointed.write(NAME, recipe(cloud, "album/"))
    wronged = Desk(folder=pointed.folder, home=pointed.home, more={**pointed.more, **cloud.wrong})

    done = run(wronged, "plan")

    assert done.code == 5
    assert "folder.recipe.json:1:" in done.err
    assert "prefix 'album/'" in done.err
    for value in cloud.wrong.values():
        if not value.startswith("{"):
            assert value not in done.out + done.err


def test_check_lists_nothing(desk: Desk) -> None:
    recipes = desk.folder / "recipes"
    recipes.mkdir()
    (recipes / "bucket.recipe.toml").write_text((ROOT / "docs/examples/bucket.recipe.toml").read_text())

    checked = desk.runner("check", "--strict", "recipes/bucket.recipe.toml")

    assert checked.said == (0, "", "")


def test_a_missing_secret_of_a_bucket_is_named_by_the_plan(desk: Desk) -> None:
    (desk.folder / "bucket.recipe.toml").write_text((ROOT / "docs/examples/bucket.recipe.toml").read_text())

    planned = desk.runner("plan", "bucket.recipe.toml")

    assert planned.code == 5
    assert "bucket.recipe.toml:11:" in planned.err
    assert "the environment variable 'AWS_ACCESS_KEY_ID' is not set" in planned.err


def test_a_remote_source_is_asked_whether_it_changed(desk: Desk, tmp_path: Path) -> None:
    body = {"source": "", "revalidate": True}
    desk.write("runner.toml", '[local]\nallow_private = ["127.0.0.0/8"]\n')
    pages: dict[str, bytes] = {"/a.jpg": picture("red")}
    with web(pages, headers=lambda path: {"ETag": f'"{hash(pages[path])}"'}) as base:
        body["source"] = f"{base}/a.jpg"
        desk.write("page.recipe.json", json.dumps({"input": [body], "conversion": [{"target": "png"}]}))
        codes = []
        for color in ("red", "red", "blue"):
            pages["/a.jpg"] = picture(color)
            done = desk.runner("run", "page.recipe.json", "--format", "json")
            codes.append((done.code, done.json["jobs"][0]["action"]))

        assert codes == [(0, "run"), (0, "skip"), (0, "run")]
        assert opened(desk.folder / "out/page/a.png").convert("RGB").getpixel((5, 5)) == pytest.approx(
            (0, 0, 255), abs=3
        )

    gone = desk.runner("plan", "page.recipe.json")

    assert gone.code == 5
    assert "page.recipe.json:1:" in gone.err
    assert "its server could not be asked" in gone.err


def test_a_server_that_tells_no_version_is_told_by_the_plan(desk: Desk) -> None:
    with web({"/a.jpg": picture("red")}) as base:
        source = {"source": f"{base}/a.jpg", "revalidate": True}
        desk.write("page.recipe.json", json.dumps({"input": [source], "conversion": [{"target": "png"}]}))

        planned = desk.runner("plan", "page.recipe.json")

    assert planned.code == 5
    assert "tells neither ETag nor Last-Modified" in planned.err
