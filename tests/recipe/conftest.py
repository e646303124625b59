from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.recipe.load import load_recipes
from runner.recipe.model import Loaded
from runner.resources import catalog_document
from runner.wire.catalog import Catalog

FETCH = '[[input]]\nsource = "https://example.com/a.jpg"\n[[conversion]]\ntarget = "webp"\n'

Load = Callable[..., Loaded]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.read(catalog_document())


@pytest.fixture
def load(tmp_path: Path, catalog: Catalog) -> Load:
    """Writes files (name -> text) into a folder of its own and loads the recipes among them."""

    def write_and_load(profile: str | None = None, sets: dict[str, str] | None = None, **files: str | bytes) -> Loaded:
        for name, text in files.items():
            path = tmp_path / name.replace("__", ".")
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_recipes([tmp_path], catalog=catalog, profile=profile, overrides=sets or {})

    return write_and_load


@pytest.fixture
def fetch() -> str:
    """The least recipe there is."""
    return FETCH
