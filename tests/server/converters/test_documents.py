"""What is a pdf or html already: delivered as it is, or refused where it was to be another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]  # ships no types
import pytest
from PIL import Image

from runner.server.converters import document_targets
from runner.server.converters.catalog import find
from runner.server.converters.protocol import ConversionError, Product
from runner.server.converters.schemas import GEOMETRY

Convert = Callable[..., list[Product]]
HTML = "<!doctype html><title>t</title><p>Grüße"


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    """Two pages."""
    page = Image.new("RGB", (80, 60), "red")
    page.save(tmp_path / "two.pdf", append_images=[page], save_all=True)
    return tmp_path / "two.pdf"


@pytest.fixture
def html(tmp_path: Path) -> Path:
    (tmp_path / "page.htm").write_text(HTML, encoding="utf-8")
    return tmp_path / "page.htm"


def test_a_pdf_is_delivered_as_it_is(convert: Convert, pdf: Path) -> None:
    (product,) = convert("pdf", pdf, merge=True, metadata={})

    assert (product.filename, product.content_type, product.warnings) == ("two.pdf", "application/pdf", ())
    assert product.path.read_bytes() == pdf.read_bytes()
    document = pypdfium2.PdfDocument(product.path)
    assert len(document) == 2
    document.close()


def test_html_is_delivered_as_it_is(convert: Convert, html: Path) -> None:
    (product,) = convert("html", html, metadata={})

    assert (product.filename, product.content_type) == ("page.html", "text/html")
    assert product.path.read_text(encoding="utf-8") == HTML


@pytest.mark.parametrize(
    "options", [{"width": 10}, {"rotate": 90}, {"color": "gray"}, {"dpi": 300}, {"quality": 20}, {"height": 5}]
)
def test_an_option_that_would_change_a_pdf_is_refused(convert: Convert, pdf: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConversionError, match=f"leave out {next(iter(options))}") as refused:
        convert("pdf", pdf, **options)

    assert refused.value.code == 6005


def test_every_option_of_pictures_is_one_that_a_pdf_refuses() -> None:
    pictures = {*GEOMETRY, "quality"}

    assert pictures - {"resize_by", "resize_handling"} == set(document_targets.OF_PICTURES)


def test_metadata_stays_as_it_is_and_is_not_said_to_be_gone(convert: Convert, pdf: Path) -> None:
    with pytest.raises(ConversionError, match="leave out clear_all"):
        convert("pdf", pdf, metadata={"clear_all": True})
    (product,) = convert("pdf", pdf, metadata={"title": "Mine"})

    assert product.warnings == ("'two.pdf' is delivered as it is, without the metadata that was asked for.",)


def test_a_pdf_is_joined_with_nothing(convert: Convert, pdf: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")

    for others in ([pdf], [tmp_path / "a.png"]):
        with pytest.raises(ConversionError, match=r"'two\.pdf' .* can't be joined with others"):
            convert("pdf", *others, pdf, merge=True)


def test_half_a_pdf_is_none(convert: Convert, pdf: Path) -> None:
    pdf.write_bytes(pdf.read_bytes()[:-200])

    with pytest.raises(ConversionError, match=r"'two\.pdf' is cut off"):
        convert("pdf", pdf)


def test_nothing_else_becomes_html(convert: Convert, pdf: Path) -> None:
    with pytest.raises(ConversionError, match=r"'two\.pdf' can't be made html here: it looks like pdf"):
        convert("html", pdf)


def test_the_catalog_says_what_they_are_made_from() -> None:
    pdf, html = find("document", "pdf"), find(None, "html")

    assert pdf is not None
    assert html is not None
    assert {"pdf", "jpg", "svg"} <= pdf.sources
    assert html.sources == {"html"}
