"""`runner check`: every problem in recipes, at its place. Reads recipes and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from runner import resources
from runner.cli.findings import print_findings
from runner.cli.options import format_option, recipe_options, voice_options
from runner.cli.terminal import is_terminal, wants_color
from runner.cli.unserved import abilities_for
from runner.errors import ExitCode, Problem
from runner.recipe.check import Checked, check_recipes
from runner.wire.catalog import Catalog


@click.command(epilog="Example: runner check recipes/ --strict")
@recipe_options
@format_option("text", "json")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@voice_options
def check(
    recipes: tuple[Path, ...],
    profile: str | None,
    overrides: Mapping[str, str],
    style: str,
    strict: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Find every problem in RECIPES, files or folders, without sending anything.

    A problem comes as file:line:column with what is wrong and what to do. Input files are not looked at. Every
    profile is checked, too, unless --profile or --set says what is meant.

    Exits 0 when the recipes are fine and 5 when one is not; warnings count only with --strict.
    """
    catalog = Catalog.read(resources.catalog_document())
    checked = check_recipes(
        recipes,
        catalog=catalog,
        profile=profile,
        overrides=overrides,
        abilities=abilities_for(recipes),
    )
    if style == "json":
        print_findings(checked.problems, checked.checked)
    else:
        _print_text(checked, quiet=quiet, verbose=verbose)
    if any(_counts(problem, strict=strict) for problem in checked.problems):
        sys.exit(ExitCode.INVALID)


def _counts(problem: Problem, *, strict: bool) -> bool:
    return problem.severity == "error" or (strict and problem.severity == "warning")


def _print_text(checked: Checked, *, quiet: bool, verbose: bool) -> None:
    shown = [problem for problem in checked.problems if verbose or problem.severity != "note"]
    if shown:
        from runner.report.findings import findings_text

        text = findings_text(shown, checked=checked.checked, color=wants_color(sys.stderr), base=Path.cwd())
        click.echo(text, err=True, nl=False)
    elif verbose or (is_terminal(sys.stdout) and not quiet):
        count = checked.checked
        click.echo("1 recipe is fine." if count == 1 else f"{count:,} recipes are fine.")
