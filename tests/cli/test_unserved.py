"""Providers whose clients aren't installed, told before a run finds out."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.unserved import HERE, abilities_for, unserved_here, unserved_jobs
from runner.compile import Item, drafts_of, jobs_of
from runner.recipe.model import Recipe


@pytest.mark.parametrize(
    ("toml", "env", "is_local"),
    [
        (None, {}, True),
        ("jobs = 2", {}, True),
        ('endpoint = "local"', {"API2CONVERT_API_KEY": "k"}, True),
        (None, {"RUNNER_ENDPOINT": "local", "API2CONVERT_API_KEY": "k"}, True),
        (None, {"API2CONVERT_API_KEY": "k"}, False),
        ('endpoint = "hosted"', {}, False),
        ('base_url = "http://127.0.0.1:1/v2"', {}, False),
        ('endpoint = "local"', {"RUNNER_ENDPOINT": "hosted"}, False),
    ],
)
def test_only_work_that_is_done_here_is_warned_of(
    tmp_path: Path, toml: str | None, env: dict[str, str], is_local: bool
) -> None:
    if toml is not None:
        (tmp_path / "runner.toml").write_text(toml)

    assert (abilities_for([tmp_path / "a.recipe.toml"], env) is HERE) is is_local


def test_what_is_served_without_an_extra_or_not_at_all_needs_none() -> None:
    assert (unserved_here("ftp"), unserved_here("youtube"), unserved_here("nothing")) == ("", "", "")


def test_what_others_fetch_is_not_judged_here(tmp_path: Path) -> None:
    here, there = abilities_for([tmp_path], {}), abilities_for([tmp_path], {"RUNNER_ENDPOINT": "hosted"})
    assert [there.unfetched("ftp"), here.unfetched("https")] == ["", ""]
    assert here.unfetched("ftp") != ""


def test_jobs_that_need_what_is_missing_are_told_with_the_command_that_gets_it() -> None:
    document = {
        "input": [{"type": "cloud", "source": "ftp"}],
        "conversion": [{"target": "webp", "output_target": [{"type": "amazons3"}]}],
    }
    recipe = Recipe(file=Path("/r/a.recipe.toml"), folder=Path("/r"), name="a", job=document)
    (draft,) = drafts_of(recipe, [Item()])
    job, _ = jobs_of(draft, [], endpoint="local")
    assert job is not None

    ((_, problem),) = unserved_jobs([job], lambda name: "pip install x" if name == "amazons3" else "")

    assert problem.message == "the local server has no client for amazons3: pip install x"
    assert list(unserved_jobs([job], lambda _: "")) == []
