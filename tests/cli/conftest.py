"""The command line as a person has it: a process of its own, in an environment that says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]
CHECKOUT = Path(__file__).parents[2]


def run_runner(*args: str | Path, cwd: Path | None = None, python: tuple[str, ...] = (), **env: str) -> Done:
    """`runner ARGS`, with nothing of our own environment but `env`; `python` are options of the interpreter."""
    return subprocess.run(
        [sys.executable, *python, "-m", "runner", *map(str, args)],
        cwd=cwd or "/",
        env={"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": str(CHECKOUT)} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="session")
def runner() -> Callable[..., Done]:
    return run_runner
