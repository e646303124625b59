from __future__ import annotations

import json
import math
import multiprocessing
import os
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.recipe.gaps import GAP
from runner.recipe.read import MAX_BYTES, MAX_DEPTH, Read, read_bytes, read_file


def _codes(read: Read) -> list[str]:
    return [finding.code for finding in read.findings]


def test_missing_file_is_said(tmp_path: Path) -> None:
    assert _codes(read_file(tmp_path / "gone.recipe.toml")) == ["no-such-file"]


def test_folder_is_not_a_recipe(tmp_path: Path) -> None:
    assert _codes(read_file(tmp_path)) == ["not-a-file"]


def test_pipe_nobody_writes_to_does_not_hang_a_check(tmp_path: Path) -> None:
    pipe = tmp_path / "x.recipe.toml"
    os.mkfifo(pipe)

    read = read_file(pipe)

    assert read.findings[0].message == "is a pipe, not a file"


def test_device_and_socket_are_turned_down(tmp_path: Path) -> None:
    name = str(tmp_path / "s.toml")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)

        assert read_file(Path(name)).value is None

    assert _codes(read_file(Path("/dev/zero"))) == ["not-a-file"]


def test_name_that_no_system_takes_is_said() -> None:
    assert _codes(read_file(Path("a\0b.toml"))) == ["not-readable"]


def test_link_that_leads_to_itself_is_said(tmp_path: Path) -> None:
    loop = tmp_path / "x.recipe.toml"
    loop.symlink_to(loop)

    assert _codes(read_file(loop)) == ["not-readable"]


def test_huge_file_is_turned_down_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "x.recipe.toml"
    with huge.open("wb") as opened:
        opened.truncate(100 * 1024 * 1024)

    read = read_file(huge)

    assert read.findings[0].message == f"is 104,857,600 bytes long; a recipe may have {MAX_BYTES:,}"


def test_file_without_the_right_to_read_is_said(tmp_path: Path) -> None:
    closed = tmp_path / "x.recipe.toml"
    closed.write_text("name = 'x'")
    closed.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)

    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_read_without_rights, args=(closed, send))
    child.start()
    child.join()

    assert receive.recv() == ["not-readable"]


def _read_without_rights(file: Path, send: object) -> None:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    send.send(_codes(read_file(file)))  # type: ignore[attr-defined] # the pipe's type has no public name


@pytest.mark.parametrize(
    ("name", "data", "code", "line", "column"),
    [
        ("x.toml", b"", "empty-file", 1, 1),
        ("x.toml", b"a = 1\nb = caf\xe9", "not-utf-8", 2, 8),
        ("x.toml", "a = '漢'\nb = 'é".encode() + b"\xff'", "not-utf-8", 2, 7),
        ("x.toml", b"\xef\xbb\xbfa = 1", "byte-order-mark", 1, 1),
        ("x.toml", b"a = 1\na = 2", "duplicate-key", 2, 1),
        ("x.toml", b"[conversion\n", "syntax", 1, 12),
        ("x.toml", b"\na = [" + b"[" * 9999, "too-deep", 2, 68),
        ("x.toml", b"\n[" + b".".join([b"a"] * 9999) + b"]", "too-deep", 2, 2),
        ("x.toml", b"a = " + b"{a = " * 9999, "too-deep", 1, 320),
        ("x.toml", b'a = "' + b"[" * 99 + b'"\nb = ' + b"[" * 70 + b"]" * 70, "too-deep", 2, 68),
        ("x.json", b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too-deep", 1, 69),
        ("x.json", b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "too-deep", 1, 69),
        ("x.json", b'{"a": {"b": 1,\n "b": 2}}', "duplicate-key", 2, 2),
        ("x.json", b'{"a": 1,}', "syntax", 1, 8),
        ("x.json", b'{"a": [1,\n]}', "syntax", 1, 9),
        ("x.json", b'{"a": [1,,2]}', "syntax", 1, 10),
        ("x.json", b'{"NaN": 1,\n "b": NaN}', "syntax", 2, 7),
        ("x.json", b'{"b": ' + b"9" * 5000 + b"}", "syntax", 1, 7),
        ("x.json", b"3", "wrong-type", 1, 1),
    ],
)
def test_what_can_not_be_parsed_is_said_at_its_place(name: str, data: bytes, code: str, line: int, column: int) -> None:
    read = read_bytes(Path(name), data)

    assert (read.value is None) == (name == "x.toml" or code != "duplicate-key")  # in JSON the last one stands
    assert _codes(read) == [code]
    span = read.findings[0].span
    assert (span.line, span.column) == (line, column) if span else (line, column) == (1, 1)


def test_syntax_error_in_a_file_with_a_written_out_secret_hides_the_line() -> None:
    data = b'[input.credentials]\npassword = "hunter2\n'

    assert [finding.secret for finding in read_bytes(Path("x.toml"), data).findings] == [True]


def test_syntax_error_beside_secret_references_shows_the_line() -> None:
    data = b'password = { env = "X" }\nname = "x\n'

    assert [finding.secret for finding in read_bytes(Path("x.toml"), data).findings] == [False]


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "-inf",
        "9007199254740993",
        "0xffffffffffffffff",
        "-9_007_199_254_740_993",
        "0b" + "1" * 60,
        "2026-01-31",
        "10:30:00",
        "2026-01-31T10:30:00Z",
    ],
)
def test_number_or_time_that_json_can_not_carry_is_an_error(text: str) -> None:
    read = read_bytes(Path("x.toml"), f"a = [{{ b = {text} }}]".encode())

    assert [(finding.code, finding.path) for finding in read.findings] == [("not-json", ("a", 0, "b"))]


def test_json_number_that_overflows_is_an_error() -> None:
    assert _codes(read_bytes(Path("x.json"), b'{"a": 1e999}')) == ["not-json"]


def test_deepest_document_that_is_allowed_passes() -> None:
    inner = MAX_DEPTH - 2
    data = json.dumps({"a": json.loads("[" * inner + "1" + "]" * inner)}).encode()

    assert read_bytes(Path("x.json"), data).findings == ()


@given(st.binary(max_size=200), st.sampled_from(["x.toml", "x.json"]))
@example(b"\x00", "x.toml")
@example(b'"', "x.json")
def test_no_bytes_make_the_reader_raise(data: bytes, name: str) -> None:
    read = read_bytes(Path(name), data)

    assert (read.value is None) == bool(read.findings)


@given(st.text("[]{}.='\"a1\n, :\\-é漢\t#", max_size=60), st.sampled_from(["x.toml", "x.json"]))
def test_no_text_that_is_nearly_a_document_makes_the_reader_raise(text: str, name: str) -> None:
    read = read_bytes(Path(name), text.encode())

    assert (read.value is None) == bool(read.findings)


@given(st.one_of(st.integers(), st.floats()))
def test_numbers_pass_exactly_when_json_carries_them(number: float) -> None:
    text = {math.inf: "inf", -math.inf: "-inf"}.get(number, repr(number)) if number == number else "nan"
    read = read_bytes(Path("x.toml"), f"a = {text}".encode())

    carried = abs(number) <= 2**53 - 1 if isinstance(number, int) else math.isfinite(number)
    assert (read.findings == ()) == carried
    assert read.value == {"a": number if carried else GAP}
