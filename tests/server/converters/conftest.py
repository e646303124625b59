from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.server.converters.catalog import converter_of, expand_options, find
from runner.server.converters.protocol import Guards, Product, Request, Source
from runner.server.converters.sniff import sniff

Convert = Callable[..., list[Product]]


def convert_files(
    folder: Path,
    target: str,
    *paths: Path,
    guards: Guards | None = None,
    metadata: dict[str, object] | None = None,
    **options: object,
) -> list[Product]:
    """As the server does it: sniffed sources, expanded options, the converter of the table."""
    row = find(None, target)
    assert row is not None
    expanded = expand_options(row, options)
    assert not expanded.problems
    sources = tuple(
        Source(path=path, filename=path.name, content_type=found.content_type, kind=found.kind)
        for path in paths
        for found in [sniff(path, path.name)]
    )
    converter = converter_of(row.category, row.target)
    assert converter is not None
    request = Request(
        category=row.category,
        target=row.target,
        options=expanded.options,
        metadata=metadata if metadata is not None else {"title": "A title"},
        sources=sources,
        workdir=folder,
        guards=guards or Guards(),
    )
    return converter.convert(request)


@pytest.fixture(scope="session")
def convert_into() -> Convert:
    """For property tests, which make a folder of their own for each example."""
    return convert_files


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    numbers = itertools.count()

    def run(
        target: str,
        *paths: Path,
        guards: Guards | None = None,
        metadata: dict[str, object] | None = None,
        **options: object,
    ) -> list[Product]:
        folder = tmp_path / f"work-{next(numbers)}"
        folder.mkdir()
        return convert_files(folder, target, *paths, guards=guards, metadata=metadata, **options)

    return run
