"""What this machine converts, and how it is said."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest

from runner import resources
from runner.server.converters.catalog import conversions, converter_of, default_category, find
from runner.server.converters.image_source import FORMATS
from runner.server.converters.image_targets import SOURCES
from runner.server.converters.images import DRAWINGS
from runner.server.converters.table import CONVERTERS
from runner.wire.catalog import Catalog

PICTURES = {"jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "ico"}


def test_rows_have_the_shape_of_the_api() -> None:
    rows = [row.as_json() for row in conversions()]

    assert {"id": "59", "target": "png", "category": "image"}.items() <= rows[
        [r["target"] for r in rows].index("png")
    ].items()
    assert all(set(row) == {"id", "target", "category", "options"} for row in rows)
    assert all(row["id"].isdigit() for row in rows)
    assert json.loads(json.dumps(rows)) == rows


def test_ids_and_names_are_unique() -> None:
    rows = conversions()

    assert len({row.id for row in rows}) == len(rows)
    assert len({(row.category, row.target) for row in rows}) == len(rows)


def test_the_targets_of_pictures_are_there() -> None:
    names = {row.target for row in conversions() if row.category == "image"}

    assert names == PICTURES
    assert find(None, "pdf") == find("document", "pdf")
    assert find("ebook", "pdf") is None
    assert find(None, "docx") is None


def test_every_option_has_a_description_and_a_default_that_fits() -> None:
    for row in conversions():
        for schema in row.options.values():
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["description"]
            if "default" in schema:
                jsonschema.validate(schema["default"], schema)


def test_what_the_catalog_knows_from_this_server_is_so() -> None:
    said = [
        (row, name, schema)
        for row in Catalog.read(resources.catalog_document()).rows
        for name, schema in row.options.items()
        if schema.get("evidence", row.evidence) == "local server"
    ]

    assert {row.target for row, _, _ in said} == {"html", "pdf", *PICTURES}
    for row, name, schema in said:
        target = find(row.category, row.target)
        assert target is not None, row.target
        accepted = target.options_schema.get(name)
        assert accepted is not None, (row.target, name)
        words = ("type", "enum", "minimum", "maximum", "pattern")
        assert {word: schema.get(word) for word in words} == {word: accepted.get(word) for word in words}
        assert schema.get("default") in (None, accepted.get("default"))


def test_common_options_are_everywhere() -> None:
    common = {"allow_multiple_outputs", "allow_multiple_outputs_threshold", "download_password"}

    assert all(common <= set(row.options) for row in conversions())


@pytest.mark.parametrize(
    ("target", "kind", "category"),
    [("jpg", "png", "image"), ("pdf", "jpg", "document"), ("pdf", None, "document"), ("nope", "jpg", None)],
)
def test_a_missing_category_is_filled_in(target: str, kind: str | None, category: str | None) -> None:
    assert default_category(target, kind) == category


def test_every_row_has_its_converter_and_every_converter_loads() -> None:
    assert all(converter_of(row.category, row.target) for row in conversions())
    assert converter_of("image", "nope") is None
    assert [converter.name for converter in CONVERTERS] == ["images", "documents", "image-operations"]


def test_every_kind_has_its_reader_and_none_is_postscript() -> None:
    assert set(FORMATS) | DRAWINGS == SOURCES
    assert not any("EPS" in readers for readers in FORMATS.values())


def test_the_catalog_loads_no_image_library() -> None:
    script = (
        "import sys, runner.server.converters.catalog, runner.server.converters.sniff, runner.server.workers.pool;"
        "print([name for name in ('PIL', 'pi_heif', 'resvg_py', 'img2pdf') if name in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"
