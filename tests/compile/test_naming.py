"""Names that come from a server, made safe, and names that the server will give, foreseen."""

from __future__ import annotations

from typing import Any

import pytest

from runner.compile.naming import bought_stem, names_of, own_name, parted, result_ending, safe_name


@pytest.mark.parametrize(
    ("entry", "stem"),
    [
        ({"type": "upload", "filename": "a.png"}, "a"),
        ({"type": "upload", "filename": 'q"x.png'}, 'q"x'),
        ({"type": "upload", "filename": "q%22x.png"}, 'q"x'),
        ({"type": "upload", "filename": "back\\slash.png"}, "slash"),
        ({"type": "upload", "filename": "a\u202eb.png"}, "ab"),
        ({"type": "upload", "filename": "new\nline.png"}, "new%0Aline"),
        ({"type": "upload", "filename": "\udcff.png"}, "ÿ"),
        ({"type": "upload", "filename": "\t"}, "file"),
        ({"type": "remote", "filename": "q%22x.png"}, "q%22x"),
        ({"type": "remote", "source": "http://x/a.png"}, ""),
        ({"type": "cloud", "parameters": {"file": "n/deep/a b.tar.png"}}, "a b.tar"),
        ({"type": "cloud", "parameters": {"file": "n/a.png"}, "filename": "mine.png"}, "mine"),
        ({"type": "cloud", "parameters": {"file": "n/{run.date}.png"}}, ""),
        ({"type": "cloud", "parameters": {"file": {"env": "FILE"}}}, ""),
    ],
)
def test_outputs_are_named_after_what_the_server_makes_of_the_first_input(entry: dict[str, Any], stem: str) -> None:
    assert bought_stem({"input": [entry]}) == stem


def test_equal_work_bought_under_a_cleaned_name_still_gets_its_own() -> None:
    bought = bought_stem({"input": [{"type": "upload", "filename": "back\\slash.png"}]})

    assert own_name("slash.webp", bought_as=bought, wanted="mine") == "mine.webp"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../x", "x"),
        ("a\\b", "b"),
        ("\x1b[2J", "[2J"),
        ("..", "output-1"),
        (".0123456789ab-0-01234567.part", "0123456789ab-0-01234567.part"),  # else taken for a half file, and removed
    ],
)
def test_a_name_from_a_server_is_the_name_of_one_file(name: str, safe: str) -> None:
    assert safe_name(name, fallback="output-1") == safe


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.png", ("a", ".png")),
        ("a.tar.gz", ("a.tar", ".gz")),
        (".bashrc", (".bashrc", "")),
        ("a.", ("a.", "")),
        ("a", ("a", "")),
        ("", ("", "")),
    ],
)
def test_a_name_is_parted_at_its_last_dot(name: str, parts: tuple[str, str]) -> None:
    assert parted(name) == parts


@pytest.mark.parametrize(
    ("conversion", "source", "ending"),
    [
        ({"target": "JPEG"}, "png", "jpg"),
        ({"target": "compress"}, "PNG", "PNG"),
        ({"target": "compress"}, "", ""),
        ({"target": "resize-image", "options": {"width": 9}}, "JPEG", "jpg"),
        ({"target": "resize-image", "options": {"width": 9}}, "heic", "png"),
        ({"target": "resize-image", "options": {"resize_target": "webp"}}, "png", "webp"),
        ({"target": "thumbnail"}, "pdf", "png"),
        ({"target": "thumbnail", "options": {"thumbnail_target": "jpg"}}, "pdf", "jpg"),
    ],
)
def test_what_an_operation_makes_is_called_after_what_it_is_done_to(
    conversion: dict[str, Any], source: str, ending: str
) -> None:
    assert result_ending(conversion, source=source) == ending


@pytest.mark.parametrize(
    "name",
    ["x" * 400 + ".jpg", "é" * 200 + ".jpg", "x." + "e" * 300, "." + "e" * 300, "x" * 254 + ".", "x" * 250 + ".jpg"],
)
def test_names_that_are_too_long_are_cut_and_stay_apart(name: str) -> None:
    names = names_of([name] * 12, bought_as="", wanted="")

    assert len(set(names)) == 12
    assert max(len(one.encode()) for one in names) <= 255
    assert all(one.endswith(".jpg") == name.endswith(".jpg") for one in names)


def test_what_is_cut_is_no_half_file_either() -> None:
    name = ".0123456789ab-" + "0" * 227 + "-01234567.part" + "e" * 40

    assert not safe_name(name, fallback="output-1").startswith(".")


def test_a_name_that_gets_another_stem_is_cut_for_it() -> None:
    (name,) = names_of(["a" * 100 + ".jpg"], bought_as="a", wanted="b" * 250)

    assert (len(name), name[-4:]) == (255, ".jpg")
