"""Every test gets a project of its own, made as a user would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.command_line import Desk, copy_examples, new_desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty project under git, and a shell that knows nothing of the outer one's settings."""
    return new_desk(tmp_path)


@pytest.fixture
def examples(desk: Desk) -> Desk:
    """A project that holds the recipes that ship."""
    copy_examples(desk)
    return desk
