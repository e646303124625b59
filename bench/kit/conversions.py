"""A run through the local server, and the bare library over the same files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, RUNNER, Spent, spend
from bench.kit.recipes import convert_files

PROCESSES = len(os.sched_getaffinity(0))


def through_the_server(setup: Setup, *, pattern: str) -> Spent:
    """`runner run` from nothing: the start of the server, uploads, conversions, downloads, the end of the server."""
    shutil.rmtree(setup.folder / ".runner", ignore_errors=True)
    shutil.rmtree(setup.folder / "out", ignore_errors=True)
    recipe = convert_files(setup.folder, name="pictures", pattern=pattern, target="webp")
    spent = spend([RUNNER, "run", str(recipe), "--endpoint", "local"], folder=setup.folder)
    _check(setup.folder / "out" / "pictures", setup.folder / Path(pattern).parent)
    return spent


def bare(setup: Setup, *, source: Path) -> Spent:
    into = setup.folder / "bare"
    shutil.rmtree(into, ignore_errors=True)
    command = [PYTHON, "-m", "bench.kit.pillow_loop", str(PROCESSES), str(source), str(into)]
    spent = spend(command, folder=setup.folder)
    _check(into, source)
    return spent


def _check(made: Path, source: Path) -> None:
    """Whoever converts less is faster."""
    have, want = len(list(made.iterdir())), len(list(source.iterdir()))
    if have != want:
        raise AssertionError(f"{have} of {want} pictures in {made}")
