"""Every test gets a project of its own, made as a user would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.clouds import BOTH, STARTERS, Cloud, pointed_at, providers
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


@pytest.fixture(scope="session", params=providers())
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
    return pointed_at(examples, cloud)
