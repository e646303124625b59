"""Requests survive the way to the child; answers of a child are checked, never trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.server.converters.protocol import Guards, Product, Request
from runner.server.workers.messages import (
    BadAnswerError,
    pack_products,
    pack_refusal,
    pack_request,
    unpack_answer,
    unpack_facts,
    unpack_request,
)
from runner.server.workers.outcome import Limits, Refused

Requests = Callable[..., Request]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(options=st.dictionaries(st.text(), JSON, max_size=4))
def test_a_request_arrives_as_it_was_sent(options: dict[str, object], request_for: Requests) -> None:
    request = replace(request_for("copy"), options=options, guards=Guards(pixels=7))
    limits = Limits(wall_s=1.5, guards=Guards(frames=3))

    assert unpack_request(pack_request(request, limits)) == (request, limits)


def test_products_arrive_as_they_were_made(request_for: Requests) -> None:
    request = request_for("copy")
    path = request.workdir / "a b.txt"
    path.write_text("x")
    product = Product(
        path=path,
        filename="ä\n.txt",
        content_type="text/plain",
        sources=(0,),
        metadata={"n": 1},
        warnings=("It is without a title.",),
    )

    assert unpack_answer(pack_products([product]), request) == (product,)


def test_warnings_of_a_child_are_few_and_short(request_for: Requests) -> None:
    request = request_for("copy")
    path = request.workdir / "a.txt"
    path.write_text("x")
    row = {"path": str(path), "filename": "a.txt", "sources": [0], "warnings": ["x" * 10_000, 5, None, *"y" * 100]}

    answer = unpack_answer(json.dumps({"products": [row]}).encode(), request)

    assert not isinstance(answer, Refused)
    (product,) = answer
    assert len(product.warnings) == 20
    assert product.warnings[:3] == ("x" * 1000, "5", "")


def test_what_a_child_says_of_its_sources_is_numbers_by_known_names_and_nothing_else(request_for: Requests) -> None:
    good = {"width": "640", "height": "480", "pages": "3", "frames": "12"}
    odd = {"width": "-1", "height": 5, "pages": "9" * 13, "frames": "1 OR 1", "author": "7", "": "7"}

    request = request_for("copy")
    assert unpack_facts(pack_products([], [good, good]), request) == (good,)
    assert unpack_facts(json.dumps({"facts": [odd]}).encode(), request) == ({},)
    for answer in ({}, {"facts": 5}, {"facts": [None]}, {"facts": ["x"]}):
        assert not any(unpack_facts(json.dumps(answer).encode(), request))


def test_a_refusal_arrives_as_it_was_given(request_for: Requests) -> None:
    refused = Refused(code=6037, message="too large", details={"text_1": "9 x 9"})

    assert unpack_answer(pack_refusal(refused), request_for("copy")) == refused


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(content=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_answer_however_odd_is_taken_for_a_product(content: bytes, request_for: Requests) -> None:
    try:
        answer = unpack_answer(content, request_for("copy"))
    except BadAnswerError:
        return
    assert isinstance(answer, Refused)


def test_a_link_is_no_product(request_for: Requests) -> None:
    request = request_for("copy")
    soft, hard = request.workdir / "soft", request.workdir / "hard"
    soft.symlink_to("/etc/passwd")
    hard.hardlink_to(request.sources[0].path)

    for path in (soft, hard):
        product = Product(path=path, filename="x", content_type="text/plain", sources=(0,))
        with pytest.raises(BadAnswerError, match="no plain file"):
            unpack_answer(pack_products([product]), request)


@pytest.mark.parametrize("path", ["/etc/passwd", "result", "", "WORK/../x", "WORK/a/b", "WORK/gone", "WORK/\x00"])
def test_a_product_lies_in_the_folder_of_its_conversion(path: str, request_for: Requests) -> None:
    request = request_for("copy")
    row = {"path": path.replace("WORK", str(request.workdir)), "filename": "x", "sources": [0]}

    with pytest.raises(BadAnswerError):
        unpack_answer(json.dumps({"products": [row]}).encode(), request)


def test_paths_are_paths_again(request_for: Requests) -> None:
    request, _ = unpack_request(pack_request(request_for("copy"), Limits()))

    assert isinstance(request.workdir, Path)
    assert isinstance(request.sources[0].path, Path)
