"""Many jobs and few files that may be open."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.execute.lab import ROOT, picture

ASK = (
    "import resource\n"
    "from runner.cli.open_files import jobs_with_room\n"
    "print(jobs_with_room(60), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
)
RECIPE = """
foreach = { files = "*.png" }
input = [{ type = "upload", source = "{item.path}" }]
conversion = [{ target = "bmp" }]
save = { path = "out/{output.filename}" }
"""


def limited(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("soft", "hard", "jobs", "raised"),
    [
        (50, 1000, 60, 288),
        (300, 1000, 60, 300),
        (50, 288, 60, 288),
        (50, 287, 59, 287),
        (88, 88, 10, 88),
        (40, 40, 1, 40),
    ],
)
def test_the_limit_is_raised_to_what_the_jobs_need_or_as_far_as_it_may_be(
    soft: int, hard: int, jobs: int, raised: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=limited(soft, hard),
    )

    assert ended.stdout.split() == [str(jobs), str(raised), str(hard)]


@pytest.mark.parametrize(("hard", "warned"), [(60, True), (1000, False)])
def test_a_run_of_many_jobs_ends_well_with_few_open_files(tmp_path: Path, *, hard: int, warned: bool) -> None:
    (tmp_path / "runner.toml").touch()
    (tmp_path / "r.recipe.toml").write_text(RECIPE, encoding="utf-8")
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "API2CONVERT_"))
    }

    ended = subprocess.run(
        [sys.executable, "-m", "runner", "run", "r.recipe.toml", "--jobs", "60"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=limited(60, hard),
    )

    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / "out").iterdir())) == 30
    assert ("warning: this process may open too few files for --jobs 60: 3 at once instead" in ended.stderr) is warned
