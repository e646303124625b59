"""The cloud recipes that ship, run end to end by the command line against real servers."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from tests.acceptance.clouds import Cloud
from tests.acceptance.command_line import Desk, Done

RECIPES = (
    "s3-input",
    "s3-target",
    "gcs-input",
    "gcs-target",
    "azure-input",
    "azure-target",
    "ftp-input",
    "ftp-target",
)
SOURCES = {"s3-input": "2026/summer pictures/DSC_0013.jpg"}
RESULTS = {"s3-input": "harbour.webp"}
STORED = {"ftp-target": "converted/2026/mountains.png"}


def run(desk: Desk, cloud: Cloud, recipe: str) -> Done:
    sets = [part for name, value in cloud.sets.items() for part in ("--set", f"{name}={value}")]
    return desk.runner("run", f"recipes/{recipe}.recipe.toml", *sets, "--endpoint", "local", "--format", "json")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_cloud_recipe_passes_check_without_any_variable_set(examples: Desk, recipe: str) -> None:
    checked = examples.runner("check", "--strict", f"recipes/{recipe}.recipe.toml")

    assert (checked.code, checked.err) == (0, "")


def test_a_picture_comes_from_storage(pointed: Desk, cloud: Cloud, both: tuple[str, str]) -> None:
    recipe, _ = both
    cloud.remote.put(SOURCES.get(recipe, "2026/harbour.jpg"), jpeg())

    done = run(pointed, cloud, recipe)

    assert (done.code, done.json["summary"]["succeeded"]) == (0, 1), done.err + done.out
    result = pointed.folder / f"recipes/out/{recipe}/{RESULTS.get(recipe, 'harbour.webp')}"
    assert Image.open(io.BytesIO(result.read_bytes())).format == "WEBP"
    assert [output["path"] for output in done.json["jobs"][0]["outputs"]] == [str(result)]


def test_a_result_goes_to_storage_once_and_is_not_overwritten(
    pointed: Desk, cloud: Cloud, both: tuple[str, str]
) -> None:
    _, recipe = both
    name = STORED.get(recipe, "converted/mountains.png")

    first = run(pointed, cloud, recipe)
    stored = cloud.remote.get(name)
    again = run(pointed, cloud, recipe)
    elsewhere = run_from_scratch(pointed, cloud, recipe)

    assert (first.code, first.json["summary"]["succeeded"]) == (0, 1), first.err + first.out
    assert stored is not None
    assert Image.open(io.BytesIO(stored)).format == "PNG"
    assert (again.code, again.json["summary"]["skipped"]) == (0, 1)
    assert elsewhere.code == 6
    assert elsewhere.json["jobs"][0]["errors"][0]["code"] == 409
    assert "the name is taken" in elsewhere.json["jobs"][0]["errors"][0]["message"]
    assert cloud.remote.get(name) == stored


def test_wrong_credentials_end_with_6_and_are_told_nowhere(pointed: Desk, cloud: Cloud, both: tuple[str, str]) -> None:
    recipe, _ = both

    failed = run(replace(pointed, more={**pointed.more, **cloud.wrong}), cloud, recipe)

    error = failed.json["jobs"][0]["errors"][0]
    assert (failed.code, failed.json["summary"]["failed"], error["code"]) == (6, 1, 17)
    told = (
        failed.out
        + failed.err
        + "".join(
            path.read_bytes().decode(errors="replace")
            for path in pointed.folder.rglob(".runner/**/*")
            if path.is_file()
        )
    )
    for value in (*cloud.shell.values(), *cloud.wrong.values()):
        if value not in (cloud.remote.credentials.get("username"), cloud.remote.credentials.get("accountname")):
            assert secret_part(value) not in told


def run_from_scratch(desk: Desk, cloud: Cloud, recipe: str) -> Done:
    """The same by somebody whose run log knows of nothing."""
    sets = [part for name, value in cloud.sets.items() for part in ("--set", f"{name}={value}")]
    state = desk.folder / "somebody-else"
    return desk.runner(
        "run", f"recipes/{recipe}.recipe.toml", *sets, "--endpoint", "local", "--format", "json", "--state", state
    )


def secret_part(value: str) -> str:
    """What nobody may see of a value: of a key file, a line of the key."""
    return json.loads(value)["private_key"].splitlines()[3] if value.startswith("{") else value


def jpeg() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (32, 24), "teal").save(written, "JPEG")
    return written.getvalue()
