"""Help that teaches: every command has an example that works, its exit codes, and every option says what it is for."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from runner.cli.app import COMMANDS, cli
from tests.acceptance.command_line import ROOT, Desk


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def examples(text: str) -> list[list[str]]:
    """The command lines of a help text that begin with `runner`, without what comes after a pipe."""
    lines = re.findall(r"(?:Examples?:|&&|^)\s*(?:\w+=\S+ (?:.*?\) )?)?(runner [^\n|>&]+)", text, re.MULTILINE)
    return [shlex.split(line.replace("$(", "").replace(")", "")) for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_an_example(desk: Desk, name: str) -> None:
    shown = desk.runner(name, "--help")

    assert (shown.code, shown.err) == (0, "")
    assert re.search(r"^\s*Examples?:", shown.out, re.MULTILINE)
    assert any(line[:2] == ["runner", name] for line in examples(shown.out)), shown.out
    assert "xits" in shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_use_options_that_are_there(name: str) -> None:
    of_command = command(name)
    options = {flag for one in of_command.params for flag in (*one.opts, *one.secondary_opts)}

    for line in examples(of_command.get_help(click.Context(of_command, info_name=f"runner {name}"))):
        if line[1] == name:
            assert {word.partition("=")[0] for word in line if word.startswith("--")} <= options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    of_command = command(name)

    silent = [one.name for one in of_command.params if isinstance(one, click.Option) and not (one.help or one.hidden)]

    assert silent == []


def test_help_of_the_whole_lists_every_command_and_a_first_step(desk: Desk) -> None:
    shown = desk.runner("--help")

    assert all(re.search(rf"^  {name}\b", shown.out, re.MULTILINE) for name in COMMANDS)
    assert "runner check recipes/" in shown.out
    assert desk.runner("-h").out == shown.out


def test_the_readme_names_every_command_and_every_exit_code() -> None:
    readme = (ROOT / "README.md").read_text()

    assert [name for name in COMMANDS if f"`runner {name}" not in readme] == []
    assert [code for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 75) if f"\n| {code} |" not in readme] == []


def test_the_version_is_one_line(desk: Desk) -> None:
    shown = desk.runner("--version")

    assert re.fullmatch(r"runner \d+\.\d+\.\d+\S*\n", shown.out)
