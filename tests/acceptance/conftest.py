"""Every test gets a project of its own, made as a user would."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command_line import ROOT, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty project under git, and a shell that knows nothing of the outer one's settings."""
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return Desk(folder=folder, home=home)


@pytest.fixture
def examples(desk: Desk) -> Desk:
    """A project that holds the recipes that ship."""
    shutil.copytree(ROOT / "recipes", desk.folder / "recipes", ignore=shutil.ignore_patterns("out", ".runner"))
    return desk
