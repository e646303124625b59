"""Settings: flags, then environment, then `runner.toml`, then defaults.

Only commands that reach an endpoint import this: pydantic-settings costs more to import than `check` takes.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from runner.errors import InvalidError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SETTINGS_FILE = "runner.toml"


def _named_as_a_schema(name: str) -> str:
    """`name`, where PostgreSQL takes it as it stands: it cuts off what is longer, and keeps pg_ for itself."""
    if not re.fullmatch(r"(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,62}", name):
        raise PydanticCustomError(
            "schema_name",
            "must be a name of at most 63 letters (a to z), digits and _, without a digit or pg_ in front",
        )
    return name


SchemaName = Annotated[str, AfterValidator(_named_as_a_schema)]


class LocalSettings(BaseModel):
    """`[local]`: the embedded server, as flags set it for `serve`."""

    model_config = ConfigDict(extra="forbid")

    workers: int | None = Field(default=None, ge=1, le=256)
    allow_private: tuple[str, ...] = ()
    s3_endpoint: str | None = None
    gcs_endpoint: str | None = None
    azure_endpoint: str | None = None


class Settings(BaseSettings):
    """
    endpoint  "hosted", "local" or a base URL; None decides by what else is set
    api_key   of the account at the endpoint
    jobs      how many jobs are under way at once
    state     where the run log and the local server keep theirs
    run_log   a postgresql:// URL for the run log, for machines that come and go; better in the
              environment (RUNNER_RUN_LOG) than in a file, since it may hold a password
    run_log_schema  the schema of that database that holds it: projects that share a database need one each
    """

    model_config = SettingsConfigDict(
        env_prefix="RUNNER_", extra="forbid", env_nested_delimiter="__", populate_by_name=True
    )

    endpoint: str | None = None
    # No alias without a prefix: API_KEY and BASE_URL in the environment belong to somebody else.
    api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("API2CONVERT_API_KEY", "RUNNER_API_KEY")
    )
    base_url: str | None = Field(default=None, validation_alias=AliasChoices("API2CONVERT_BASE_URL", "RUNNER_BASE_URL"))
    jobs: int = Field(default=8, ge=1, le=1024)
    state: Path | None = None
    run_log: SecretStr | None = None
    run_log_schema: SchemaName | None = None
    local: LocalSettings = Field(default_factory=LocalSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


_ALIASES = {"API2CONVERT_API_KEY": "api_key", "API2CONVERT_BASE_URL": "base_url"}
KNOWN: Mapping[tuple[str, ...], frozenset[str]] = {
    (): frozenset(Settings.model_fields) - {"api_key"},
    ("local",): frozenset(LocalSettings.model_fields),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A setting that can't be: its path in `runner.toml`, pydantic's name for the fault and what it says of it."""

    path: tuple[str | int, ...]
    kind: str
    said: str
    bounds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variable(self) -> str:
        """The variable of the environment that gave the value, which goes before a file; empty where none did."""
        ours = "RUNNER_" + "__".join(map(str, self.path)).upper()
        names = (f"API2CONVERT_{self.path[0]}".upper(), ours, f"RUNNER_{self.path[0]}".upper())
        return next((name for name in names if name in os.environ), "")


class WrongSettings(InvalidError):
    """Settings that can't be used; whoever has the words and the places for them says so."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, one.path))}: {one.said}" for one in faults))
        self.faults = tuple(faults)


def load_settings(file: Path | None, **flags: Any) -> Settings:
    """The settings as `file` (a runner.toml, or None), the environment and `flags` give them.

    Raises WrongSettings with every wrong setting, never a value, and InvalidError for a file that can't be read.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_secrets(file)

    class _Here(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        return _Here(**given)
    except ValidationError as error:
        raise WrongSettings([_fault(row) for row in error.errors(include_input=False)]) from None
    except (ValueError, OSError) as error:
        raise InvalidError(f"{file} can't be read: {error}") from None


def _fault(row: ErrorDetails) -> Fault:
    first, *others = row["loc"]
    name = first if first in Settings.model_fields else _ALIASES.get(str(first), first)
    return Fault(path=(name, *others), kind=row["type"], said=row["msg"], bounds=row.get("ctx", {}))


def _refuse_secrets(file: Path | None) -> None:
    """A settings file lies in git, so no key may stand in it."""
    try:
        names = set() if file is None else set(tomllib.loads(file.read_text(encoding="utf-8")))
    except (ValueError, OSError):
        return  # said with its place when it is read
    literal = sorted(names & {"api_key", "API2CONVERT_API_KEY", "RUNNER_API_KEY"})
    if literal:
        raise InvalidError(
            f"{file}: {literal[0]} is a secret and must not stand in a file",
            hint="set the environment variable API2CONVERT_API_KEY instead, and revoke the key if the file was shared",
        )
