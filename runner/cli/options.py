"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """Numbers that one can count to: "nan" and "inf" are none, whatever `float` makes of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number that can be counted to.", param, ctx)
        return number


def recipe_options(command: Command) -> Command:
    """RECIPES, --profile and --set: what is read, and how it is varied."""
    # What may not be read is a finding at its place, and not a matter of usage.
    recipes = click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
    return recipes(variation_options(command))


def variation_options(command: Command) -> Command:
    """--profile and --set: how recipes are varied."""
    for option in (
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="NAME=VALUE",
            callback=_overrides,
            help="Override a variable of [vars]; may be given several times.",
        ),
        click.option("--profile", metavar="NAME", help="Lay [profile.NAME] of each recipe over it."),
    ):
        command = option(command)
    return command


def voice_options(command: Command) -> Command:
    """--quiet and -v."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more, also without a terminal."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but what is wrong, also on a terminal."),
    ):
        command = option(command)
    return command


def endpoint_options(command: Command) -> Command:
    """--endpoint and --state: where work is done, and where what was done is remembered."""
    for option in (
        click.option(
            "--state",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the run log and of the local server. [default: .runner in the project]",
        ),
        click.option("--endpoint", metavar="NAME|URL", help="'hosted', 'local' or a base URL."),
    ):
        command = option(command)
    return command


def format_option(*styles: str) -> Callable[[Command], Command]:
    return click.option(
        "--format", "style", type=click.Choice(styles), default=styles[0], show_default=True, help="Form of the result."
    )


def _overrides(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Mapping[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise click.BadParameter("write NAME=VALUE", ctx=ctx, param=param)
    return {name: value for name, _, value in pairs}
