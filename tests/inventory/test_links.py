"""Where folders really are, with links on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.inventory import linked_folders


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place without links on the way to it."""
    return Path(os.path.realpath(tmp_path))


def test_only_what_a_link_leads_elsewhere_is_told(place: Path) -> None:
    (place / "in" / "deep").mkdir(parents=True)
    (place / "out").symlink_to("in")
    (place / "in" / "deep" / "up").symlink_to(place / "far")
    names = ("in", "in/deep", "out", "out/deep", "out/deep/up/x", "new/folder", "out/new/folder", "out/../x")

    found = linked_folders([str(place), "/", "", *(f"{place}/{name}" for name in names)])

    assert {path.removeprefix(f"{place}/"): there.removeprefix(f"{place}/") for path, there in found.items()} == {
        "out": "in",
        "out/deep": "in/deep",
        "out/deep/up/x": "far/x",
        "out/new/folder": "in/new/folder",
        "out/../x": "x",
    }


def test_it_is_what_the_system_says_whatever_lies_there(place: Path) -> None:
    (place / "file").touch()
    (place / "loop").symlink_to("loop")
    (place / "root").symlink_to("/")
    deep = "/".join(["a"] * 1500)
    folders = [f"{place}/{name}" for name in ("file/x", "loop", "loop/x", "root", "root/usr", "root/root/usr", deep)]

    found = linked_folders(folders)

    assert [found.get(folder, folder) for folder in folders] == [os.path.realpath(folder) for folder in folders]


def test_each_folder_is_looked_at_once_however_many_lie_below(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    is_link = os.path.islink

    def noted(path: str) -> bool:
        looks.append(path)
        return is_link(path)

    monkeypatch.setattr(os.path, "islink", noted)

    linked_folders(f"{place}/{number % 100}/{number}" for number in range(10_000))

    assert len(looks) == len(set(looks)) <= 10_000 + 100 + len(place.parts)
