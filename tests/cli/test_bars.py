"""Progress in terminals of several widths: how many are done, and which job is which, stay legible."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from runner.cli.bars import Bars, shortened
from runner.plan import Action, Plan, Step
from tests.cli.conftest import CHECKOUT, in_terminal

PICTURE = CHECKOUT / "recipes" / "pictures" / "badge.png"
FOLDER = "catalogue-2026/spring-summer"
NAMES = [f"product-photo-{number:07}.png" for number in range(3)]
COLOR = re.compile(r"\x1b\[[0-9;]*m")
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def shown(width: int, *, encoding: str = "utf-8", state: str = "converting") -> list[str]:
    """The lines of a run of 1,000 jobs, three of them under way."""
    steps = [Step(address=f"long[{FOLDER}/{name}]", key=name, action=Action.RUN, reason="new") for name in NAMES]
    others = [Step(address=str(number), key="", action=Action.RUN, reason="new") for number in range(997)]
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=screen, width=width, color_system="standard", force_terminal=True)
    bars = Bars(Plan(steps=(*steps, *others)), console=console)
    for step in steps:
        bars.begun(step)
        bars.state(step, state)
    with console.capture() as captured:
        bars.draw()
    return COLOR.sub("", captured.get()).splitlines()


@pytest.mark.parametrize("state", ["converting", "waiting for a place"])
@pytest.mark.parametrize("width", [200, 120, 80, 60, 40, 30, 20])
def test_every_line_fits_and_says_what_matters(width: int, state: str) -> None:
    whole, *jobs = shown(width, state=state)

    assert "0/1000" in whole
    assert ("converting" in whole) == (width >= 30)
    assert [line.count(f"{number}.png]") for number, line in enumerate(jobs)] == [1, 1, 1]
    assert all(cell_len(line) <= width for line in (whole, *jobs))


def test_what_has_room_is_whole_and_the_bar_is_as_wide_as_it_was() -> None:
    whole, *jobs = shown(120)

    assert whole.count("━") == 24
    assert "0:00:0" in whole
    assert all(f"long[{FOLDER}/{name}] converting" in line for name, line in zip(NAMES, jobs, strict=True))


def test_at_80_columns_the_middle_of_an_address_gives_way_and_the_bar_keeps_its_width() -> None:
    whole, first, *_ = shown(80)

    assert whole.count("━") == 24
    assert re.search(r"long\[catalogue\S+…\S+/product-photo-0000000.png\] converting +0:00:0", first)


def test_a_terminal_that_knows_no_utf_8_gets_no_characters_that_it_lacks() -> None:
    assert all(line.isascii() for line in shown(60, encoding="iso-8859-1"))
    assert "..." in shown(60, encoding="iso-8859-1")[1]


@pytest.mark.parametrize(
    ("text", "cells", "short"),
    [
        ("abcdefghij", 10, "abcdefghij"),
        ("abcdefghij", 9, "ab…efghij"),
        ("abcdefghij", 3, "…ij"),
        ("abcdefghij", 2, "ij"),
        ("製品写真製品", 7, "製…製品"),
    ],
)
def test_a_text_is_shortened_in_its_middle(text: str, cells: int, short: str) -> None:
    assert shortened(text, cells) == short
    assert cell_len(short) <= cells


def test_a_real_terminal_of_40_columns_shows_how_many_and_which(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    for name in NAMES:
        shutil.copy(PICTURE, tmp_path / FOLDER / name)
    job = 'foreach.files = "**/*.png"\ninput = [{ type = "upload", source = "{item.path}" }]\n'
    (tmp_path / "long.recipe.toml").write_text(f'{job}conversion = [{{ target = "webp" }}]\n')

    lines = STEERING.sub(
        "\n", COLOR.sub("", in_terminal("run", "long.recipe.toml", cwd=tmp_path, columns=40).decode())
    ).splitlines()

    assert any(re.search(r"converting .*━.* \d/3 0:00:\d\d", line) for line in lines)
    assert any(re.search(r"long\[\S*…0*2\.png\] \w+", line) for line in lines)
