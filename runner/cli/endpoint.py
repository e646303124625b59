"""Which endpoint a command talks to: chosen so that cron, which loses its environment, can't convert elsewhere."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.context import RUN_LOG, find_project, find_settings_file, find_state
from runner.compile import HOSTED, LOCAL, endpoint_name
from runner.compile.endpoints import HOSTED_URL
from runner.errors import AuthenticationError, InvalidError
from runner.runlog import DEFAULT_SCHEMA, RunLog, open_log

if TYPE_CHECKING:
    from runner.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenEndpoint:
    """
    name      as it stands in keys
    base_url  "" for the embedded server
    said      whether somebody chose it by name or address: a flag or a setting
    by_key    whether nothing but a key says so, which may lie in an environment for other reasons
    run_log   URL of a database that holds the run log, or path of a file, instead of the file in `state`
    run_log_schema  the schema of that database, where one is named
    local     the [local] settings, for the embedded server
    """

    name: str
    base_url: str
    api_key: str = field(repr=False)
    said: bool
    by_key: bool = False
    project: Path
    state: Path
    jobs: int = 8
    run_log: str = field(default="", repr=False)
    run_log_schema: str = ""
    local: Mapping[str, object] = field(default_factory=dict)

    @property
    def embedded(self) -> bool:
        return not self.base_url

    @property
    def log_place(self) -> Path | str:
        """Where the run log is: a file in the state folder, or the URL or file that the setting `run_log` names.

        Raises InvalidError where a schema is named and no database: a log that is made elsewhere knows nothing, and
        cron loses its environment.
        """
        if self.run_log_schema and not self.run_log:
            raise InvalidError(
                f"run_log_schema is '{self.run_log_schema}', but no run_log (RUNNER_RUN_LOG) says in which database "
                "that is; nothing was done",
                hint="set RUNNER_RUN_LOG to the postgresql:// URL, or to .runner/runs.db if that file is meant",
            )
        return self.run_log if "://" in self.run_log else self.state / (self.run_log or RUN_LOG)

    @property
    def log_said(self) -> str:
        """`log_place` for people: a URL may hold a password."""
        place = self.log_place
        if isinstance(place, str):
            return f"the database of RUNNER_RUN_LOG, schema {self.run_log_schema or DEFAULT_SCHEMA}"
        return f"{place} (a file: run_log_schema says nothing)" if self.run_log_schema else str(place)

    def open_log(self, *, read_only: bool = False) -> RunLog:
        """Raises what opening a run log raises, and what `log_place` does."""
        return open_log(self.log_place, schema=self.run_log_schema or DEFAULT_SCHEMA, read_only=read_only)

    @property
    def account(self) -> str:
        """A fingerprint of the key: tells accounts apart, and tells nothing of the key."""
        if self.embedded:
            return LOCAL
        return hashlib.sha256(b"conversion-runner account\0" + self.api_key.encode()).hexdigest()[:16]

    def check_against(self, log: RunLog) -> None:
        """Raises AuthenticationError where nobody chose an endpoint and this log has spoken to another one.

        A key alone chooses where the log has worked before, or an empty log: it doesn't move the work of a project.
        """
        known = frozenset() if self.said else log.endpoints()
        others = sorted(known - {self.name})
        if others and self.by_key and self.name not in known:
            there = LOCAL if LOCAL in others else "and the address"
            raise AuthenticationError(
                f"API2CONVERT_API_KEY is set, but runs of this log went to {', '.join(others)} and never to "
                f"{self.name}, where all would be bought anew; nothing was done",
                hint=f"give --endpoint {self.name} once (or set endpoint = '{self.name}' in runner.toml) if that is "
                f"meant, or --endpoint {there} to go on there",
            )
        if others and not self.by_key:
            raise AuthenticationError(
                f"no endpoint is configured, but runs of this log went to {', '.join(others)}; nothing was done",
                hint="set API2CONVERT_API_KEY, or give --endpoint local (or set endpoint = 'local' in "
                "runner.toml) if converting on this machine is meant",
            )


def choose_endpoint(
    paths: Sequence[Path], *, endpoint: str | None, state: Path | None, need_key: bool = True
) -> ChosenEndpoint:
    """The endpoint by flag, environment, runner.toml, in this order; `local` where nothing says otherwise.

    Raises AuthenticationError where a key is needed and missing, InvalidError for settings that can't be read.
    """
    file = find_settings_file(paths)
    project, where = find_project(paths), find_state(paths, state)
    if not _anything_said(file, endpoint):
        said = endpoint is not None
        return ChosenEndpoint(name=LOCAL, base_url="", api_key="", said=said, project=project, state=where)
    settings = _settings(file, endpoint)
    key = _key(settings.api_key.get_secret_value() if settings.api_key else "")
    base_url = _base_url(settings.endpoint, settings.base_url, has_key=bool(key))
    if base_url and not key and need_key:
        raise AuthenticationError(
            f"the endpoint is {endpoint_name(base_url)}, but there is no API key; nothing was done",
            hint="set API2CONVERT_API_KEY, or give --endpoint local to convert on this machine",
        )
    return ChosenEndpoint(
        name=endpoint_name(base_url) if base_url else LOCAL,
        base_url=base_url,
        api_key=key if base_url else "",
        said=bool(settings.endpoint or settings.base_url),
        by_key=bool(key) and not (settings.endpoint or settings.base_url),
        project=project,
        state=where
        if state or os.environ.get("RUNNER_STATE") or not settings.state
        else Path(os.path.abspath(project / settings.state)),
        jobs=settings.jobs,
        run_log=_run_log(settings.run_log.get_secret_value() if settings.run_log else "", project),
        run_log_schema=settings.run_log_schema or "",
        local=settings.local.model_dump(exclude_none=True),
    )


def _settings(file: Path | None, endpoint: str | None) -> Settings:
    from runner.settings import WrongSettings, load_settings

    try:
        return load_settings(file, endpoint=endpoint)
    except WrongSettings as error:
        from runner.cli.wrong_settings import in_our_words

        raise in_our_words(error, file) from None
    except InvalidError as error:
        from runner.cli.wrong_settings import unreadable

        raise unreadable(error, file) from None


def _run_log(text: str, project: Path) -> str:
    """A URL, or the path of a database. Raises InvalidError for what is neither, without it: it may hold a password."""
    if not text or "://" in text:
        return text
    path = project / text
    if path.suffix != ".db" and not path.is_file():
        raise InvalidError(
            "run_log (RUNNER_RUN_LOG) is neither a postgresql:// URL nor a database; nothing was done",
            hint="write postgresql://HOST/DATABASE, or the path of a file that ends in .db",
        )
    return str(path)


def _key(text: str) -> str:
    """`text` without the blanks around it. Raises AuthenticationError for what no header can carry, without it."""
    key = text.strip()
    if not key.isascii() or not key.isprintable():
        raise AuthenticationError(
            "the API key holds a character that no key has; nothing was done",
            hint="set API2CONVERT_API_KEY again, without quotes and line breaks",
        )
    return key


def _anything_said(file: Path | None, endpoint: str | None) -> bool:
    """Whether settings have to be read at all: reading them costs more than a run with nothing to do."""
    if file is not None or endpoint not in (None, LOCAL):
        return True
    return any(name.startswith(("RUNNER_", "API2CONVERT_")) and name != "RUNNER_STATE" for name in os.environ)


def _base_url(endpoint: str | None, base_url: str | None, *, has_key: bool) -> str:
    if endpoint == LOCAL:
        return ""
    if endpoint == HOSTED:
        return (base_url or HOSTED_URL).rstrip("/")
    if endpoint is not None:
        if "://" not in endpoint:
            raise InvalidError(f"'{endpoint}' is not an endpoint", hint="write 'hosted', 'local' or a base URL")
        return endpoint.rstrip("/")
    if base_url:
        return base_url.rstrip("/")
    return HOSTED_URL if has_key else ""


def say_endpoint(chosen: ChosenEndpoint, *, aloud: bool) -> None:
    """On a terminal, the first line says where work is done when nobody chose."""
    if aloud and not chosen.said and not chosen.by_key and sys.stderr.isatty():
        click.echo("No endpoint is configured: converting on this machine (--endpoint local says the same).", err=True)
