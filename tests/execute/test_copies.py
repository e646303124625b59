"""Which output is which, where a server says little of them; and that a copy is held against all that it says."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from runner.execute.copies import as_noted, places_of
from runner.execute.deliver import _copied
from runner.execute.disk import record_of
from runner.execute.shown import output_records
from runner.wire.job import Job, JobOutput, read_job

BYTES = b"the bytes of a result"


def job(*outputs: dict[str, object]) -> Job:
    return read_job({"id": "j1", "status": {"code": "completed"}, "output": list(outputs)})


def output(name: str, **more: object) -> dict[str, object]:
    return {"id": name, "filename": f"{name}.webp", "uri": f"http://x/{name}", "size": 9, "checksum": "", **more}


ALIKE = {"id": None, "filename": "a.webp"}
SIGNED = ALIKE | {"uri": "http://x/get?***"}
SIGNED_ANEW = ALIKE | {"uri": "http://x/get?2"}


@pytest.mark.parametrize(
    ("known", "shown", "places"),
    [
        ([output("a"), output("b")], [output("b"), output("a")], {0: 1, 1: 0}),
        ([output("a"), output("b")], [output("b", uri="http://y", filename="c")], {1: 0}),
        ([output("a", id=None), output("b", id=None)], [output("b", id=None), output("a", id=None)], {0: 1, 1: 0}),
        ([output("a", id="x"), output("b", id="x")], [output("b", id="x"), output("a", id="x")], {0: 1, 1: 0}),
        ([output("a", **ALIKE), output("b", **ALIKE)], [output("c", **ALIKE), output("d", **ALIKE)], {}),
        ([output("a", **ALIKE), output("b", **ALIKE)], [output("a", **ALIKE), output("b", **ALIKE)], {0: 0, 1: 1}),
        ([output("a", **SIGNED), output("b", **SIGNED)], [output("b", **SIGNED_ANEW), output("a", **SIGNED)], {}),
        ([output("a", id="", uri="http://x/a?1")], [output("a", id="", uri="http://x/a?2")], {0: 0}),
    ],
)
def test_an_output_is_the_one_whose_id_it_alone_has_or_that_is_alike_in_all(
    known: list[dict[str, object]], shown: list[dict[str, object]], places: dict[int, int]
) -> None:
    assert places_of(output_records(job(*known)), job(*shown).outputs) == places


def test_outputs_are_in_the_order_in_which_they_were_bought_and_what_is_new_comes_last() -> None:
    known = output_records(job(output("a"), output("b")))
    shown = job(output("c"), output("b"), output("a")).outputs

    assert [one.id for one in as_noted(known, shown)] == ["a", "b", "c"]
    assert as_noted(known, shown[:2]) == shown[:2]


def announced(*, size_bytes: int = len(BYTES), checksum: str = "") -> JobOutput:
    return JobOutput(
        id="", filename="a", uri="", size_bytes=size_bytes, checksum=checksum, status="", conversion="", inputs=()
    )


@pytest.mark.parametrize(
    ("output", "is_it"),
    [
        (announced(), True),
        (announced(size_bytes=0), True),
        (announced(size_bytes=5), False),
        *((announced(checksum=hashlib.new(kind, BYTES).hexdigest()), True) for kind in ("md5", "sha1", "sha256")),
        *((announced(checksum=hashlib.new(kind, b"").hexdigest()), False) for kind in ("md5", "sha1", "sha256")),
        (announced(checksum="crc32:12345678"), True),
    ],
)
def test_a_copy_is_what_was_announced_by_size_and_any_checksum(
    tmp_path: Path, output: JobOutput, *, is_it: bool
) -> None:
    (tmp_path / "a").write_bytes(BYTES)
    copy, into = record_of(tmp_path / "a"), io.BytesIO()
    assert copy is not None

    assert _copied(copy, output, into) is is_it
    assert into.getvalue() == (BYTES if is_it else b"")
