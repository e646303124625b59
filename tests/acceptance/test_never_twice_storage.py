"""What the disk can do to a run: it fills up, is read-only, or the run log is newer or damaged. Nothing is lost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw

from runner.server.book import read_book
from tests.execute.lab import picture

ROOT = Path(__file__).resolve().parents[2]


def project(folder: Path, *, pictures: int = 2, width: int = 400) -> Path:
    """A recipe that enlarges pictures, so that results are bigger than anything the run log writes."""
    (folder / "in").mkdir(parents=True)
    for number in range(pictures):
        (folder / "in" / f"{number}.png").write_bytes(picture(number + 1))
    recipe = {
        "recipe": 1,
        "name": "work",
        "foreach": {"files": "in/*.png"},
        "input": [{"type": "upload", "source": "{item.path}"}],
        "conversion": [{"category": "image", "target": "bmp", "options": {"width": width}}],
        "save": {"path": "out/{output.filename}"},
    }
    path = folder / "work.recipe.json"
    path.write_text(json.dumps(recipe))
    return path


def run(
    recipe: Path, *more: str, before: Callable[[], None] | None = None, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "API2"))}
    return subprocess.run(
        [*launcher, sys.executable, "-m", "runner", "run", str(recipe), "--format", "json", *more],
        cwd=ROOT,
        env=environment,
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def started_jobs(folder: Path) -> list[int]:
    return [entry.starts for entry in read_book(folder / ".runner" / "server").values()]


def small_files(size_bytes: int) -> Callable[[], None]:
    """A disk that is full for every file beyond a size; what Python then gets is EFBIG, as from a quota."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return limit


def test_a_log_that_cannot_grow_ends_the_run_with_a_message_and_the_next_run_finishes(tmp_path: Path) -> None:
    recipe = project(tmp_path, pictures=3, width=30)
    assert run(recipe, before=small_files(4096)).returncode == 5

    full = run(recipe, before=small_files(48 * 1024))
    again = run(recipe)

    assert full.returncode in (5, 8), full.stderr
    assert "Traceback" not in full.stderr
    assert "error: " in full.stderr
    assert again.returncode == 0, again.stderr
    assert sum(started_jobs(tmp_path)) == 3
    assert len(list((tmp_path / "out").glob("*.bmp"))) == 3


def test_a_read_only_folder_is_found_before_anything_is_bought(tmp_path: Path) -> None:
    recipe = project(tmp_path)
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    # Root without the right to write what forbids writing; anybody else has no such right to lose.
    rightless = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all") if os.geteuid() == 0 else ()

    refused = run(recipe, launcher=rightless)
    bought = (tmp_path / ".runner" / "server").exists()
    out.chmod(0o755)
    again = run(recipe, launcher=rightless)

    assert refused.returncode == 6, refused.stderr
    assert "Traceback" not in refused.stderr
    assert str(out) in refused.stderr
    assert "can't be written" in refused.stderr
    assert again.returncode == 0, again.stderr
    assert not bought
    assert {job["action"] for job in json.loads(again.stdout)["jobs"]} == {"run"}
    assert started_jobs(tmp_path) == [1, 1]


SMALL_DISK = 'mount -t tmpfs -o size=700k tmpfs "$0" && "$@"; code=$?; ls "$0" > "$0.list"; exit $code'


def test_a_full_disk_under_the_results_fails_what_does_not_fit_and_delivers_it_later(tmp_path: Path) -> None:
    recipe = project(tmp_path, pictures=3, width=400)
    out = tmp_path / "out"
    out.mkdir()
    private = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]

    full = run(recipe, launcher=(*private, "sh", "-c", SMALL_DISK, str(out)))
    there = (tmp_path / "out.list").read_text().split()
    again = run(recipe)

    assert full.returncode == 6, full.stderr
    assert "Traceback" not in full.stderr
    assert "No space left on device" in full.stderr
    assert there
    assert all(name.endswith(".bmp") for name in there)
    assert again.returncode == 0, again.stderr
    assert sum(started_jobs(tmp_path)) == 3
    assert len(list(out.glob("*.bmp"))) == 3


def test_nothing_more_is_bought_for_a_disk_that_is_full_and_work_for_others_goes_on(tmp_path: Path) -> None:
    recipe = project(tmp_path, pictures=6, width=400)
    out = tmp_path / "out"
    out.mkdir()
    other = json.loads(recipe.read_text()) | {"name": "zoo", "save": {"path": "other/{output.filename}"}}
    other["conversion"][0]["options"]["width"] = 500
    (tmp_path / "zoo.recipe.json").write_text(json.dumps(other))
    private = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]

    full = run(tmp_path, "--jobs", "1", launcher=(*private, "sh", "-c", SMALL_DISK, str(out)))
    jobs = json.loads(full.stdout)["jobs"]
    bought = sum(started_jobs(tmp_path))
    again = run(tmp_path)

    there = [job for job in jobs if job["address"].startswith("work") and job["status"] == "succeeded"]
    (failed,) = [job for job in jobs if job["status"] == "failed"]
    left = [job for job in jobs if job["status"] == "pending"]
    assert full.returncode == 6, full.stderr
    assert "No space left on device" in failed["errors"][0]["message"]
    assert len(left) == 6 - len(there) - 1 >= 3
    why = f"not begun, since another job met this: {failed['errors'][0]['message']}"
    assert {job["errors"][0]["message"] for job in left} == {why}
    assert [job["status"] for job in jobs if job["address"].startswith("zoo")] == ["succeeded"] * 6
    assert bought == 12 - len(left)
    assert again.returncode == 0, again.stderr
    assert sum(started_jobs(tmp_path)) == 12
    assert len(list(out.glob("*.bmp"))) == 6


def test_a_log_of_a_newer_version_is_refused_with_advice(tmp_path: Path) -> None:
    recipe = project(tmp_path)
    assert run(recipe).returncode == 0
    connection = apsw.Connection(str(tmp_path / ".runner" / "runs.db"))
    connection.execute("PRAGMA user_version = 999")
    connection.close()

    refused = run(recipe)

    assert refused.returncode == 5
    assert "written by a newer runner" in refused.stderr
    assert "pip install --upgrade" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_damaged_page_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    recipe = project(tmp_path)
    assert run(recipe).returncode == 0
    log = tmp_path / ".runner" / "runs.db"
    connection = apsw.Connection(str(log))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(log.read_bytes())
    content[4096:8192] = bytes(range(256)) * 16
    log.write_bytes(content)

    refused = run(recipe)

    assert refused.returncode == 5
    assert f"{log}: the run log is damaged" in refused.stderr
    assert "restore it from a backup" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert sum(started_jobs(tmp_path)) == 2
