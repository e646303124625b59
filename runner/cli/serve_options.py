"""What `runner serve` may be told beside where and for whom: rehearsals, assumptions, callbacks, limits, its log."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
from click.core import ParameterSource

from runner.cli.options import FiniteRange
from runner.cli.seal_key import default_seal_key
from runner.errors import InvalidError
from runner.server.config import Assumptions, ServerConfig
from runner.server.faults import BadFaults, read_faults
from runner.server.operating.logs import Level

Command = Callable[..., Any]

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operating:
    faults: Sequence[str]
    assume: Sequence[str]
    callback_secret: str | None
    callback_secret_file: Path | None
    max_disk: str
    seal_key: Path | None
    retention: float
    log_level: Level

    def applied(self, config: ServerConfig) -> ServerConfig:
        """`config` with what was asked for; raises InvalidError with what can't be read."""
        spec = "; ".join(self.faults)
        try:
            read_faults(spec)
        except BadFaults as error:
            raise InvalidError(f"--faults: {error}", hint="docs/faults.md shows examples") from None
        return replace(
            config,
            faults=spec,
            assumptions=_assumptions(self.assume),
            callbacks=replace(config.callbacks, secret=self._secret()),
            contract=replace(config.contract, retention_s=self.retention * 3600),
            max_disk_bytes=size_bytes(self.max_disk, option="--max-disk"),
            seal_key=self.seal_key or default_seal_key(),
        )

    def _secret(self) -> str:
        if self.callback_secret_file is None:
            return self.callback_secret or ""
        return read_secret(self.callback_secret_file)


def operating_options(command: Command) -> Command:
    """Adds the options and gives them to `command` as one value, `operating`."""

    @functools.wraps(command)
    def with_operating(**given: Any) -> Any:
        own = {field.name: given.pop(field.name) for field in fields(Operating)}
        return command(**given, operating=Operating(**own))

    wrapped: Command = with_operating
    for option in (
        click.option(
            "--log-level",
            type=click.Choice(["error", "warning", "info"]),
            default="warning",
            show_default=True,
            help="What is logged on stderr, as JSON lines; 'info' has every request and every status.",
        ),
        click.option(
            "--retention",
            default=24.0,
            show_default=True,
            metavar="HOURS",
            type=FiniteRange(min=0, min_open=True),
            help="How long files are kept after a job's end, and jobs that nobody starts.",
        ),
        click.option(
            "--seal-key",
            metavar="FILE",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Key that seals secrets of jobs, outside of --state; made where there is none. Default: "
            "$XDG_STATE_HOME/conversion-runner/seal.key, in ~/.local/state.",
        ),
        click.option("--max-disk", default="", metavar="SIZE", help="What files of jobs may take: 500M, 20G."),
        click.option(
            "--callback-secret-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Sign callbacks (X-Oc-Signature) with the secret in this file, or in RUNNER_SERVE_CALLBACK_SECRET.",
        ),
        click.option(
            "--callback-secret", envvar="RUNNER_SERVE_CALLBACK_SECRET", hidden=True, callback=environment_only
        ),
        click.option(
            "--assume",
            multiple=True,
            metavar="NAME=VALUE",
            help=f"Answer as the hosted API perhaps does: {_assumption_words()}.",
        ),
        click.option(
            "--faults",
            multiple=True,
            metavar="SPEC",
            help="Let requests go wrong on purpose: 'WHERE FAULT[=VALUE] [WHEN]; ...'.",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped


def environment_only(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A secret on the command line would stand in the list of processes, for everybody to read."""
    if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
        raise click.BadParameter("give it in a file or in the environment: processes are listed", ctx=ctx, param=param)
    return value


def read_secret(path: Path) -> str:
    """The secret in a file, without the line break at its end; raises InvalidError where there is none."""
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidError(f"the callback secret can't be read from {path}: {reason}") from error
    if not secret:
        raise InvalidError(f"the callback secret in {path} is empty", hint="an empty secret would sign nothing")
    return secret


def assumption_choices() -> dict[str, tuple[str, ...]]:
    return {name: get_args(kind) for name, kind in get_type_hints(Assumptions).items()}


def _assumption_words() -> str:
    return ", ".join(f"{name.replace('_', '-')}={'|'.join(values)}" for name, values in assumption_choices().items())


def _assumptions(given: Sequence[str]) -> Assumptions:
    chosen: dict[str, Any] = {}
    for one in given:
        name, _, value = one.partition("=")
        known = assumption_choices().get(name.replace("-", "_"))
        if known is None or value not in known:
            near = difflib.get_close_matches(name, [word.replace("_", "-") for word in assumption_choices()], n=1)
            hint = f"did you mean {near[0]}?" if near and known is None else f"there are {_assumption_words()}"
            raise InvalidError(f"--assume '{one}' is no assumption", hint=hint)
        chosen[name.replace("-", "_")] = value
    return Assumptions(**chosen)


def size_bytes(text: str, *, option: str) -> int:
    """`text`, such as 500M or 20G, in bytes; 0 for nothing. Raises InvalidError for what is no size."""
    if not text:
        return 0
    number, unit = text.upper().removesuffix("B").removesuffix("I"), ""
    if number and number[-1] in "KMGT":
        number, unit = number[:-1], number[-1]
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise InvalidError(f"{option} '{text}' is no size", hint="write it like 500M or 20G")
    return size
