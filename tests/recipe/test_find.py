from __future__ import annotations

import os
import subprocess
from pathlib import Path

from runner.recipe.find import find_recipes


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_recipes([folder]).files]


def test_recipes_below_a_folder_come_in_order_without_results_and_caches(tmp_path: Path) -> None:
    _touch(tmp_path, "b.recipe.toml", "a/z.recipe.json", "a/B.recipe.toml", "x.toml", "y.json", "漢 字\n.recipe.toml")
    _touch(tmp_path, *(f"{name}/x.recipe.toml" for name in ("out", "a/.git", ".venv", ".runner")))

    assert _names(tmp_path) == ["a/B.recipe.toml", "a/z.recipe.json", "b.recipe.toml", "漢 字\n.recipe.toml"]


def test_what_git_ignores_is_skipped(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _touch(tmp_path, "a.recipe.toml", "build/b.recipe.toml", "sub/c.recipe.toml", "ü ä.recipe.toml")
    (tmp_path / ".gitignore").write_text("build/\nü*\n")

    assert _names(tmp_path) == ["a.recipe.toml", "sub/c.recipe.toml"]
    assert _names(tmp_path / "sub") == ["c.recipe.toml"]


def test_folder_that_git_ignores_as_a_whole_is_meant_when_it_is_named(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _touch(tmp_path, "build/b.recipe.toml")
    (tmp_path / ".gitignore").write_text("build/\n")

    assert _names(tmp_path / "build") == ["b.recipe.toml"]


def test_folder_whose_recipes_are_all_ignored_has_none(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _touch(tmp_path, "sub/b.recipe.toml")
    (tmp_path / ".gitignore").write_text("*.recipe.toml\n")

    assert _names(tmp_path / "sub") == _names(tmp_path) == []


def test_file_that_is_named_is_a_recipe_whatever_git_thinks(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _touch(tmp_path, "a.toml")
    (tmp_path / ".gitignore").write_text("*\n")

    assert find_recipes([tmp_path / "a.toml"]).files == (tmp_path / "a.toml",)


def test_links_that_lead_in_circles_do_not_hang(tmp_path: Path) -> None:
    _touch(tmp_path, "a/a.recipe.toml")
    (tmp_path / "a/loop").symlink_to(tmp_path)

    assert _names(tmp_path) == ["a/a.recipe.toml"]


def test_file_named_twice_counts_once(tmp_path: Path) -> None:
    _touch(tmp_path, "a.recipe.toml")

    assert find_recipes([tmp_path, tmp_path / "a.recipe.toml"]).files == (tmp_path / "a.recipe.toml",)


def test_folder_without_recipes_is_said(tmp_path: Path) -> None:
    assert [problem.code for problem in find_recipes([tmp_path]).problems] == ["no-recipes"]


def test_other_file_is_not_taken_for_a_recipe(tmp_path: Path) -> None:
    _touch(tmp_path, "photo.jpg")

    assert [problem.code for problem in find_recipes([tmp_path / "photo.jpg"]).problems] == ["not-a-recipe"]


def test_name_that_is_not_utf_8_is_found(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.recipe.toml")).write_text("")

    assert len(find_recipes([tmp_path]).files) == 1
