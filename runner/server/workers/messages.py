"""Requests to a child and its answers, as JSON.

Not pickle: a child that a hostile file took over may answer what it likes, and reading the answer must
not run anything. For the same reason every product is looked at before it counts.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from runner.server.converters.protocol import FACTS, Guards, Product, Request, Source
from runner.server.workers.outcome import Limits, Refused
from runner.wire.values import Json, as_int, as_list, as_object, as_text

ANSWER_BYTES = 8 * 1024 * 1024
_MOST_DIGITS = 12
_MOST_WARNINGS, _WARNING_LETTERS = 20, 1000


class BadAnswerError(ValueError):
    """A child's answer makes no sense; the text says how."""


def pack_request(request: Request, limits: Limits) -> bytes:
    """Raises TypeError or ValueError where options or metadata are no JSON."""
    document = {"request": asdict(request), "limits": asdict(limits)}
    return json.dumps(document, default=_as_text, ensure_ascii=True).encode()


def _as_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def unpack_request(content: bytes) -> tuple[Request, Limits]:
    document = json.loads(content)
    request, limits = document["request"], document["limits"]
    sources = tuple(Source(**{**row, "path": Path(row["path"])}) for row in request.pop("sources"))
    workdir, guards = Path(request.pop("workdir")), Guards(**request.pop("guards"))
    limits["guards"] = Guards(**limits["guards"])
    return Request(**request, sources=sources, workdir=workdir, guards=guards), Limits(**limits)


def pack_products(products: Sequence[Product], facts: Sequence[Mapping[str, str]] = ()) -> bytes:
    """`facts` are what is known of the sources, one for each."""
    answer = {"products": [asdict(product) for product in products], "facts": [dict(one) for one in facts]}
    return json.dumps(answer, default=_as_text).encode()


def pack_refusal(refused: Refused) -> bytes:
    document = {"code": int(refused.code), "message": refused.message, "details": dict(refused.details)}
    return json.dumps({"refused": document}, default=str).encode()


def unpack_answer(content: bytes, request: Request) -> tuple[Product, ...] | Refused:
    """What the child says. Raises BadAnswerError when it can't be so."""
    try:
        answer = as_object(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise BadAnswerError("it is no JSON") from error
    if refused := as_object(answer.get("refused")):
        return Refused(
            code=as_int(refused.get("code")),
            message=as_text(refused.get("message")),
            details=as_object(refused.get("details")),
        )
    products = tuple(_product(as_object(row), request) for row in as_list(answer.get("products")))
    if not products:
        raise BadAnswerError("it made no file")
    return products


def unpack_facts(content: bytes, request: Request) -> tuple[Mapping[str, str], ...]:
    """What the child, which answered with products, says of its sources; what makes no sense is left out."""
    rows = as_list(as_object(json.loads(content)).get("facts"))[: len(request.sources)]
    return tuple(
        {name: as_text(value) for name, value in as_object(row).items() if _is_fact(name, value)} for row in rows
    )


def _is_fact(name: str, value: Json) -> bool:
    return name in FACTS and isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isdecimal()


def _product(row: dict[str, Json], request: Request) -> Product:
    path = Path(as_text(row.get("path")))
    sources = tuple(as_int(index) for index in as_list(row.get("sources")))
    if path.parent != request.workdir:
        raise BadAnswerError("its file lies outside of its folder")
    if any(index not in range(len(request.sources)) for index in sources):
        raise BadAnswerError("it names a source that isn't there")
    _check_file(path)
    return Product(
        path=path,
        filename=as_text(row.get("filename")),
        content_type=as_text(row.get("content_type")),
        sources=sources,
        metadata=as_object(row.get("metadata")),
        warnings=tuple(as_text(one)[:_WARNING_LETTERS] for one in as_list(row.get("warnings"))[:_MOST_WARNINGS]),
    )


def _check_file(path: Path) -> None:
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        raise BadAnswerError("its file isn't there") from error
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:  # a link could point at anything
        raise BadAnswerError("its file is no plain file")
    if not found.st_size:
        raise BadAnswerError("its file is empty")
