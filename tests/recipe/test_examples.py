"""Every file in tests/recipes/valid passes; every one in invalid gives exactly the findings beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import Problem
from runner.recipe.check import check_recipes
from runner.recipe.load import load_recipes
from runner.report.findings import findings_json, findings_text
from runner.wire.catalog import Catalog

RECIPES = Path(__file__).parent.parent / "recipes"


def _names(folder: str) -> list[str]:
    names = [path.name for path in sorted((RECIPES / folder).glob("*.recipe.*"))]
    assert names
    return names


def _found(file: Path, catalog: Catalog) -> list[str]:
    problems = check_recipes([file], catalog=catalog).problems
    return [f"{_elsewhere(p, file)}{p.place.line}:{p.place.column} {p.severity} {p.code}" for p in problems]


def _elsewhere(problem: Problem, file: Path) -> str:
    return "" if problem.place.file == file else f"{problem.place.file.name}:"


@pytest.mark.parametrize("name", _names("valid"))
def test_valid_recipe_passes_without_error_or_warning(name: str, catalog: Catalog) -> None:
    loaded = load_recipes([RECIPES / "valid" / name], catalog=catalog)

    assert [problem for problem in loaded.problems if problem.severity != "note"] == []
    assert len(loaded.recipes) == 1


@pytest.mark.parametrize("name", _names("invalid"))
def test_invalid_recipe_gives_the_expected_findings(name: str, catalog: Catalog) -> None:
    expected = (RECIPES / "invalid" / f"{name.partition('.recipe.')[0]}.{name.rpartition('.')[2]}.expected").read_text()

    assert _found(RECIPES / "invalid" / name, catalog) == expected.splitlines()


@pytest.mark.parametrize("name", _names("invalid"))
def test_no_secret_of_a_recipe_reaches_the_findings(name: str, catalog: Catalog) -> None:
    problems = check_recipes([RECIPES / "invalid" / name], catalog=catalog).problems

    text = findings_text(problems, checked=1, color=True) + repr(findings_json(problems, 1)) + repr(problems)
    assert "hunter2" not in text


def test_checking_finds_what_loading_finds_and_what_is_wrong_in_profiles(catalog: Catalog) -> None:
    folder = [RECIPES]

    checked = check_recipes(folder, catalog=catalog).problems
    plain = tuple(problem for problem in checked if not problem.message.startswith("in profile "))

    assert plain == load_recipes(folder, catalog=catalog).problems
    assert len(plain) < len(checked)
