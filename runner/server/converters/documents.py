"""Documents: a pdf of pictures, and what is a pdf or html already, delivered as it is.

Nothing here looks into a document, so nothing can be changed in one either: what asks for that is refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from runner.server.converters import image_pdf
from runner.server.converters.document_targets import DOCUMENTS, not_as_it_is
from runner.server.converters.image_wishes import wishes_of
from runner.server.converters.images import product_name
from runner.server.converters.protocol import UNREADABLE, ConversionError, Product, Request, Source

CONTENT_TYPES = {target.target: target.content_type for target in DOCUMENTS}

# Source: PDF reference 1.7, appendix H, note 18: readers look for the end of the file there.
PDF_END, PDF_END_WITHIN = b"%%EOF", 1024


def convert(request: Request) -> list[Product]:
    """What is of the target's kind as it is; a pdf of all else."""
    own = [source for source in request.sources if source.kind == request.target]
    if own and (why := not_as_it_is(request.options, several=len(request.sources) > 1)):
        raise _refused(own[0], why)
    if request.target == "pdf" and not own:
        return image_pdf.convert(request)
    return [_as_it_is(request, index, source) for index, source in enumerate(request.sources)]


def _as_it_is(request: Request, index: int, source: Source) -> Product:
    _check(source, request)
    path = request.workdir / f"{index}.{request.target}"
    shutil.copyfile(source.path, path)
    return Product(
        path=path,
        filename=product_name(source.filename, request.target),
        content_type=CONTENT_TYPES[request.target],
        sources=(index,),
        warnings=tuple(_unwritten(source, request)),
    )


def _check(source: Source, request: Request) -> None:
    if source.kind != request.target:
        text = f"'{source.filename}' can't be made {request.target} here: it looks like {source.kind}."
        raise ConversionError(UNREADABLE, text, {"kind": source.kind})
    if wishes_of(request.metadata).clears:
        raise _refused(source, "keeps what it says of itself: leave out clear_all")
    if source.kind == "pdf" and not _is_whole(source):
        raise ConversionError(UNREADABLE, f"'{source.filename}' is cut off: a pdf has an end, and this one hasn't.")


def _is_whole(source: Source) -> bool:
    with source.path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - PDF_END_WITHIN))
        return PDF_END in file.read()


def _refused(source: Source, why: str) -> ConversionError:
    text = f"'{source.filename}' is {source.kind} already and delivered as it is; it {why}."
    return ConversionError(UNREADABLE, text, {"kind": source.kind})


def _unwritten(source: Source, request: Request) -> Iterator[str]:
    wishes = wishes_of(request.metadata)
    if wishes.texts or wishes.unknown:
        yield f"'{source.filename}' is delivered as it is, without the metadata that was asked for."
