"""What the example recipes compile to, held byte by byte.

After a change that is meant: `RENEW_GOLDEN=1 pytest tests/golden`, and read the difference before committing it.
A changed key buys everything again for everybody who has bought it: that is a change of the key scheme.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
RECIPES = sorted(CHECKOUT.glob("recipes/*.recipe.*"))
RENEW = os.environ.get("RENEW_GOLDEN") == "1"
ELSEWHERE = [
    pytest.param({"LC_ALL": "C", "PYTHONHASHSEED": "1"}, id="C"),
    pytest.param({"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii", "PYTHONHASHSEED": "2"}, id="ascii"),
    pytest.param({"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "3"}, id="far-east"),
    pytest.param({"PYTHONIOENCODING": "latin-1", "TZ": "Etc/GMT+12", "NO_COLOR": "1", "COLUMNS": "20"}, id="latin-1"),
]


def compiled(recipe: Path, *, cwd: Path, env: dict[str, str]) -> bytes:
    """The output of `runner compile`, the checkout's own path replaced."""
    done = subprocess.run(
        [sys.executable, "-m", "runner", "compile", str(recipe), "--endpoint", "local"],
        cwd=cwd,
        env={"PATH": os.defpath, "HOME": str(cwd), "PYTHONPATH": str(CHECKOUT)} | env,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.replace(str(recipe.parent.parent).encode(), b"/checkout")


def golden(recipe: Path) -> Path:
    return Path(__file__).parent / f"{recipe.name}.compiled.json"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_an_example_compiles_to_what_it_always_did(recipe: Path, tmp_path: Path) -> None:
    got = compiled(recipe, cwd=tmp_path, env={})
    if RENEW:
        golden(recipe).write_bytes(got)

    assert got.decode() == golden(recipe).read_text(encoding="utf-8")


@pytest.mark.parametrize("env", ELSEWHERE)
def test_locale_zone_folder_and_hash_seed_change_nothing(env: dict[str, str], tmp_path: Path) -> None:
    """The example with the most in it, with a name that no small character set has."""
    shutil.copytree(CHECKOUT / "recipes", tmp_path / "recipes", ignore=shutil.ignore_patterns("out", ".runner"))
    recipe = tmp_path / "recipes" / "quickstart.recipe.toml"
    shutil.copy(tmp_path / "recipes/pictures/badge.png", tmp_path / "recipes/pictures/Łódź 日本 é.png")

    here = compiled(recipe, cwd=CHECKOUT, env={"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"})
    there = compiled(recipe, cwd=tmp_path, env=env)

    assert there == here
    assert "Łódź 日本 é.png" in there.decode()


def test_every_golden_file_belongs_to_an_example() -> None:
    assert {path.name for path in Path(__file__).parent.glob("*.json")} == {golden(one).name for one in RECIPES}
