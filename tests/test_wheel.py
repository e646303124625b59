"""What is in the wheel: built from a copy of the checkout that was worked in, and looked into."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from runner import __version__

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    _copy_checkout(folder / "copy")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=folder / "copy", check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> frozenset[str]:
    return frozenset(wheel.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(_dist_info(wheel, "METADATA"))


def _dist_info(wheel: zipfile.ZipFile, name: str) -> str:
    return wheel.read(f"conversion_runner-{__version__}.dist-info/{name}").decode()


def _copy_checkout(to: Path) -> None:
    """What git keeps, and what lies about after a day's work."""
    rubbish = ("recipes/out/a.pdf", "recipes/.runner/runs.db", ".runner/runs.db", "runner/__pycache__/errors.pyc")
    for name in (*_kept("."), *rubbish):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        if name in rubbish:
            (to / name).write_bytes(b"rubbish")
        else:
            shutil.copyfile(CHECKOUT / name, to / name)


def _shipped(folder: str) -> set[str]:
    """What git keeps below a folder of the checkout, as it lies in the package."""
    return {f"runner/{name}" for name in _kept(folder)}


def _kept(folder: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    return {name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()}


@pytest.mark.parametrize("folder", ["schemas", "recipes"])
def test_schemas_and_example_recipes_ship_inside_the_package(names: frozenset[str], folder: str) -> None:
    shipped = _shipped(folder)

    assert len(shipped) > 3
    assert {name for name in names if name.startswith(f"runner/{folder}/")} == shipped


def test_every_module_is_there_and_says_that_it_is_typed(names: frozenset[str]) -> None:
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "runner").rglob("*.py")}

    assert modules <= names
    assert "runner/py.typed" in names


def test_nothing_else_is_there(names: frozenset[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    strange = [
        name
        for name in names
        if any(part in name for part in ("__pycache__", ".pyc", "/tests/", "/.runner/", "/out/", ".venv", ".db"))
    ]

    assert tops == {"runner", f"conversion_runner-{__version__}.dist-info"}
    assert strange == []


def test_the_command_is_called_runner(wheel: zipfile.ZipFile) -> None:
    assert _dist_info(wheel, "entry_points.txt") == "[console_scripts]\nrunner = runner.__main__:main\n"


def test_the_licence_and_the_readme_come_along(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT"
    assert "MIT License" in _dist_info(wheel, "licenses/LICENSE")
    assert str(metadata.get_payload()).strip() == (CHECKOUT / "README.md").read_text(encoding="utf-8").strip()


def test_name_version_and_python_are_said(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("conversion-runner", __version__)
    assert metadata["Requires-Python"] == ">=3.11"


def test_it_works_from_the_wheel_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    shown = subprocess.run(
        [sys.executable, "-P", "-c", "import runner.resources as r; print(r.folder('schemas'), len(r.schema_names()))"],
        cwd="/",
        env={"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert shown.stdout == f"{tmp_path}/runner/schemas {len(list((CHECKOUT / 'schemas').glob('*.schema.json')))}\n"
