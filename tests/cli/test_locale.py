"""Names of files in a locale that isn't UTF-8: the same addresses, results and answers as anywhere else."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.cli.conftest import CHECKOUT, in_terminal

Runner = Callable[..., CompletedProcess[str]]
PICTURE = CHECKOUT / "recipes" / "pictures" / "badge.png"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
RECIPE = """\
foreach.files = "*.png"
input = [{ type = "upload", source = "{item.path}" }, { type = "upload", source = "x ü.png" }]
conversion = [{ target = "pdf", options = { merge = true } }]
"""


@pytest.fixture(scope="session")
def latin_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale as old machines have it, made here: today's come with UTF-8 alone."""
    folder = tmp_path_factory.mktemp("locales")
    made = folder / "de_DE.ISO-8859-1"
    subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", made], check=True)
    return {"LOCPATH": str(folder), "LC_ALL": made.name}


@pytest.fixture(params=["ascii", "latin-1"])
def elsewhere(request: pytest.FixtureRequest, latin_1: dict[str, str]) -> dict[str, str]:
    return ASCII if request.param == "ascii" else latin_1


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("x ü.png", "x 😀.png"):
        shutil.copy(PICTURE, tmp_path / name)
    (tmp_path / "shop.recipe.toml").write_text(RECIPE)
    return tmp_path


def test_addresses_and_keys_are_the_same_in_every_locale(runner: Runner, shop: Path, elsewhere: dict[str, str]) -> None:
    there = runner("compile", "shop.recipe.toml", "--format", "json", cwd=shop, **elsewhere)
    here = runner("compile", "shop.recipe.toml", "--format", "json", cwd=shop, LC_ALL="C.UTF-8")

    assert (there.returncode, there.stderr) == (0, "")
    assert [job["address"] for job in json.loads(there.stdout)] == ["shop[x ü.png]", "shop[x 😀.png]"]
    assert there.stdout == here.stdout


def test_a_run_there_makes_results_that_a_run_elsewhere_knows(
    runner: Runner, shop: Path, elsewhere: dict[str, str]
) -> None:
    run = runner("run", "shop.recipe.toml", cwd=shop, **elsewhere)
    again = runner("plan", "shop.recipe.toml", "--detailed-exitcode", cwd=shop, LC_ALL="C.UTF-8")

    assert (run.returncode, run.stderr, again.returncode) == (0, "", 0)
    assert {file.name for file in (shop / "out" / "shop").iterdir()} == {"x ü.pdf", "x 😀.pdf"}


def test_a_name_given_to_a_command_is_found(runner: Runner, shop: Path, elsewhere: dict[str, str]) -> None:
    (shop / "shop.recipe.toml").rename(shop / "größe.recipe.toml")

    done = runner("check", "größe.recipe.toml", "-v", cwd=shop, **elsewhere)

    assert done.returncode == 0, done.stderr


def test_a_terminal_there_is_spoken_to_in_its_own_encoding(shop: Path, latin_1: dict[str, str]) -> None:
    seen = in_terminal("run", "shop.recipe.toml", cwd=shop, columns=80, **latin_1)

    assert "shop[x ü.png]".encode("latin-1") in seen
    assert b"shop[x \\U0001f600.png]" in seen
    assert b"\\u280b" not in seen
    assert b"2 succeeded in " in seen


def test_an_interpreter_that_is_told_its_mode_is_started_again_but_once(runner: Runner, shop: Path) -> None:
    done = runner("plan", "shop.recipe.toml", cwd=shop, python=("-X", "utf8=0"), **ASCII)

    assert (done.returncode, done.stderr) == (0, "")
    assert "shop[x 😀.png]" in done.stdout
