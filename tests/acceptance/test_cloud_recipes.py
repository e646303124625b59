"""The cloud recipes that ship, run end to end by the command line against real servers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.command_line import Desk, Done
from tests.server.storage.azurite import azurite
from tests.server.storage.gcs import google
from tests.server.storage.remote import Remote
from tests.server.storage.seaweed import seaweed
from tests.server.storage.vsftpd import vsftpd

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
BOTH = {
    "s3": ("s3-input", "s3-target"),
    "gcs": ("gcs-input", "gcs-target"),
    "azure": ("azure-input", "azure-target"),
    "ftp": ("ftp-input", "ftp-target"),
}


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A provider, and what a user sets to reach it: variables of the recipe, of the shell, and a key file."""

    remote: Remote
    sets: dict[str, Any]
    shell: dict[str, str]
    wrong: dict[str, str]
    keyfile: str = ""


def _s3(folder: Path) -> Iterator[Cloud]:
    with seaweed(folder) as remote:
        shell = {
            "AWS_ACCESS_KEY_ID": remote.credentials["accesskeyid"],
            "AWS_SECRET_ACCESS_KEY": remote.credentials["secretaccesskey"],
        }
        wrong = {"AWS_SECRET_ACCESS_KEY": "wrong-secret-of-nobody"}
        yield Cloud(remote=remote, sets={"bucket": "tests"}, shell=shell, wrong=wrong)


def _gcs(folder: Path) -> Iterator[Cloud]:
    with google(folder) as remote:
        keyfile = json.dumps(remote.credentials["keyfile"])
        other = json.dumps({**remote.credentials["keyfile"], "client_email": "somebody@else.example"})
        sets = {"bucket": "tests", "project": "tests"}
        yield Cloud(
            remote=remote,
            sets=sets,
            shell={"GOOGLE_KEYFILE": keyfile},
            wrong={"GOOGLE_KEYFILE": other},
            keyfile=keyfile,
        )


def _azure(folder: Path) -> Iterator[Cloud]:
    with azurite(folder / "data") as remote:
        shell = {
            "AZURE_STORAGE_ACCOUNT": remote.credentials["accountname"],
            "AZURE_STORAGE_KEY": remote.credentials["accountkey"],
        }
        wrong = {"AZURE_STORAGE_KEY": "d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZw=="}
        yield Cloud(remote=remote, sets={"container": "tests"}, shell=shell, wrong=wrong)


def _ftp(_: Path) -> Iterator[Cloud]:
    with vsftpd(secure=True) as remote:
        shell = {
            "FTP_USERNAME": str(remote.credentials["username"]),
            "FTP_PASSWORD": str(remote.credentials["password"]),
        }
        sets = {"host": "127.0.0.1", "port": remote.parameters["port"]}
        yield Cloud(remote=remote, sets=sets, shell=shell, wrong={"FTP_PASSWORD": "wrong-password"})


STARTERS: dict[str, Callable[[Path], Iterator[Cloud]]] = {"s3": _s3, "gcs": _gcs, "azure": _azure, "ftp": _ftp}
GROUPS = {"azure": "blob"}


def providers() -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.xdist_group(GROUPS.get(name, name))) for name in BOTH]


@pytest.fixture(scope="module", params=providers())
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Cloud]]:
    name: str = request.param
    for cloud in STARTERS[name](tmp_path_factory.mktemp(name)):
        yield name, cloud


@pytest.fixture
def cloud(provider: tuple[str, Cloud]) -> Cloud:
    return provider[1]


@pytest.fixture
def both(provider: tuple[str, Cloud]) -> tuple[str, str]:
    """The provider's recipes: for an input, and for a target."""
    return BOTH[provider[0]]


@pytest.fixture
def pointed(examples: Desk, cloud: Cloud) -> Desk:
    """A project that holds the recipes and points its local server at the provider."""
    endpoint = "".join(f'{name} = "{url}"\n' for name, url in cloud.remote.endpoint.items())
    examples.write("recipes/runner.toml", f'[local]\nallow_private = ["127.0.0.0/8"]\n{endpoint}')
    if cloud.keyfile:
        examples.write("recipes/secrets/google-keyfile.json", cloud.keyfile)
    return replace(examples, more={**examples.more, **cloud.shell})


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
