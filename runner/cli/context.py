"""Where things live for a set of recipes: the project, its settings file and its state.

Never decided by the current folder, which cron changes, but by the recipes themselves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

SETTINGS_FILE = "runner.toml"
STATE_FOLDER = ".runner"
RUN_LOG = "runs.db"


def find_settings_file(paths: Sequence[Path]) -> Path | None:
    """The nearest `runner.toml` above the first recipe."""
    return next((above / SETTINGS_FILE for above in _above(paths) if (above / SETTINGS_FILE).is_file()), None)


def find_project(paths: Sequence[Path]) -> Path:
    """The folder of the nearest `runner.toml`, else the root of the git repository, else the recipe's folder."""
    settings = find_settings_file(paths)
    if settings is not None:
        return settings.parent
    folders = _above(paths)
    return next((above for above in folders if (above / ".git").exists()), folders[0])


def find_state(paths: Sequence[Path], state: Path | None, env: Mapping[str, str] = os.environ) -> Path:
    """The state folder: `--state`, then RUNNER_STATE, then `.runner` in the project of the recipes."""
    said = state or (Path(env["RUNNER_STATE"]) if env.get("RUNNER_STATE") else None)
    if said is not None:
        return Path(os.path.abspath(said))
    return find_project(paths) / STATE_FOLDER


def state_above(server: Path) -> Path:
    """The state folder that a server's own lies in; that itself where it lies elsewhere."""
    return server.parent if server.parent.name == STATE_FOLDER else server


def keep_out_of_git(state: Path) -> None:
    """State is not for git, wherever the project keeps it. What can't be written here is told when it matters."""
    with suppress(OSError):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (state / ".gitignore").open("x", encoding="ascii") as file:
            file.write("*\n")


def _above(paths: Sequence[Path]) -> list[Path]:
    start = Path(os.path.abspath(paths[0])) if paths else Path.cwd()
    folder = start if start.is_dir() else start.parent
    return [folder, *folder.parents]
