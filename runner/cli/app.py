"""The command line's frame: commands are loaded when they run, errors end in one place."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click

from runner.cli.streams import settle_streams
from runner.errors import ExitCode, InvalidError, InvalidInput, InvalidSettings, RunnerError

COMMANDS = {
    "check": ("runner.cli.check", "Find every problem in recipes, without sending anything."),
    "compile": ("runner.cli.compile", "Print the job documents that recipes compile to."),
    "plan": ("runner.cli.plan", "Say what a run would do, why, and what it may cost."),
    "run": ("runner.cli.run", "Do what is left to do."),
    "status": ("runner.cli.status", "Say what was spent and what is under way."),
    "log": ("runner.cli.log", "List earlier runs, or show one."),
    "doctor": ("runner.cli.doctor", "Say what works here, what is missing, and how to get it."),
    "sweep": ("runner.cli.sweep", "Delete unstarted leftovers of killed runs."),
    "serve": ("runner.cli.serve", "Serve the API on this machine."),
    "listen": ("runner.cli.listen", "Receive callbacks, and wake the runs that wait."),
    "schema": ("runner.cli.schema", "Print a JSON Schema for editors and scripts."),
    "catalog": ("runner.cli.catalog", "List the targets and options that are known."),
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs: what isn't needed isn't paid for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(ExitCode.OK) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}{_near_miss(args)}", ctx) from None


def _near_miss(args: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(args[0], COMMANDS, n=1) if args else []
    return f" Did you mean '{near[0]}'?" if near else ""


@click.group(
    cls=LazyGroup,
    # `color`: whoever makes a text decides whether it is coloured; click must not strip what FORCE_COLOR asked for.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "color": True},
    epilog="Start with: runner check recipes/ && runner plan recipes/ && runner run recipes/",
)
@click.version_option(package_name="conversion-runner", prog_name="runner", message="%(prog)s %(version)s")
def cli() -> None:
    """File conversion as code: a recipe says what to convert, a run does only what is left of it.

    Without any setting, work is done by the local server on this machine: no account, no network.
    With API2CONVERT_API_KEY set it is done by the API2Convert API.
    """


def run_cli(args: list[str] | None = None) -> None:
    """Entry point. The one place where an error becomes a message and an exit code."""
    settle_streams()
    try:
        cli.main(args=args, standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except InvalidInput as error:
        _show_findings(error)
        sys.exit(error.exit_code)
    except RunnerError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except FileNotFoundError:
        if _is_somewhere():
            raise
        show_error(InvalidError("the current folder is gone", hint="change to one that is there, and try again"))
        sys.exit(ExitCode.INVALID)


def _is_somewhere() -> bool:
    """Whether there is a current folder: a release that was swapped takes it from under a shell, or cron."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def show_error(error: RunnerError) -> None:
    click.echo(f"error: {error}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def _show_findings(error: InvalidInput) -> None:
    from runner.cli.terminal import wants_color
    from runner.report.findings import findings_text

    recipes = len({problem.place.file for problem in error.problems})
    closing = not isinstance(error, InvalidSettings)
    text = findings_text(error.problems, checked=recipes, color=wants_color(sys.stderr), closing=closing)
    click.echo(text, err=True, nl=False)
