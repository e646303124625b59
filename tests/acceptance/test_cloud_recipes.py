"""The cloud recipes that ship, run end to end by the command line against real servers."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from tests.acceptance.clouds import Cloud
from tests.acceptance.command_line import Desk, Done
from tests.server.storage.remote import Remote

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


def jpeg(width: int = 32) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, 24), "teal").save(written, "JPEG")
    return written.getvalue()


AZURE = [pytest.param("azure", marks=pytest.mark.xdist_group("blob"))]


def azure_recipe(account: str, *, name: str, stored: bool) -> str:
    """A picture out of an account's container, or a file that goes there, as `name`."""
    place = f'parameters = {{ container = "tests", file = "{name}" }}\n'
    place += f'credentials = {{ accountname = {account}, accountkey = {{ env = "AZURE_KEY" }} }}\n'
    if not stored:
        return f'[[input]]\ntype = "cloud"\nsource = "azure"\n{place}[[conversion]]\ntarget = "png"\n'
    upload = '[[input]]\ntype = "upload"\nsource = "pictures/mountains.jpg"\n[[conversion]]\ntarget = "png"\n'
    return f'{upload}[[conversion.output_target]]\ntype = "azure"\n{place}'


def at(desk: Desk, remote: Remote) -> Desk:
    """A shell with the account's name and key."""
    shell = {"AZURE_NAME": remote.credentials["accountname"], "AZURE_KEY": remote.credentials["accountkey"]}
    return replace(desk, more={**desk.more, **shell})


@pytest.mark.parametrize("provider", AZURE, indirect=True)
def test_the_same_name_in_two_accounts_is_two_pictures(pointed: Desk, cloud: Cloud) -> None:
    neighbor = cloud.remote.neighbor
    assert neighbor is not None
    for remote, width in ((cloud.remote, 11), (neighbor, 22)):
        remote.put("whose.jpg", jpeg(width))
        account = f'"{remote.credentials["accountname"]}"'
        pointed.write(f"recipes/w{width}.recipe.toml", azure_recipe(account, name="whose.jpg", stored=False))

    for remote, width in ((cloud.remote, 11), (neighbor, 22)):
        done = at(pointed, remote).runner("run", f"recipes/w{width}.recipe.toml", "--endpoint", "local")

        assert done.code == 0, done.err
        result = (pointed.folder / f"recipes/out/w{width}/whose.png").read_bytes()
        assert Image.open(io.BytesIO(result)).width == width


@pytest.mark.parametrize("provider", AZURE, indirect=True)
def test_an_account_behind_a_variable_is_another_when_the_variable_changes(pointed: Desk, cloud: Cloud) -> None:
    neighbor = cloud.remote.neighbor
    assert neighbor is not None
    told = azure_recipe('{ env = "AZURE_NAME" }', name="mine.png", stored=True)
    pointed.write("recipes/mine.recipe.toml", told)
    ask = ("recipes/mine.recipe.toml", "--endpoint", "local", "--format", "json")

    first = at(pointed, cloud.remote).runner("run", *ask)
    again = at(pointed, cloud.remote).runner("plan", *ask)
    moved = at(pointed, neighbor).runner("plan", *ask)
    second = at(pointed, neighbor).runner("run", *ask)
    guessed, unnamed = (pointed.runner(command, *ask) for command in ("plan", "run"))

    assert (first.code, second.code) == (0, 0), first.err + second.err
    for remote in (cloud.remote, neighbor):
        stored = remote.get("mine.png")
        assert stored is not None
        assert Image.open(io.BytesIO(stored)).format == "PNG"
    assert [job["action"] for job in again.json["jobs"]] == ["skip"]
    assert 'changed: the account that {"env": "AZURE_NAME"} names' in moved.json["jobs"][0]["reason"]
    assert (guessed.code, unnamed.code) == (0, 5)
    for done, severity in ((guessed, "warning"), (unnamed, "error")):
        said = f"{severity}: the environment variable 'AZURE_NAME' is not set, and whose storage it is"
        assert said in done.err
    log = b"".join(path.read_bytes() for path in pointed.folder.rglob(".runner/runs.db*"))
    assert neighbor.credentials["accountname"].encode() not in log
