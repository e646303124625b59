"""The house's own law: who may import whom. The table is ARCHITECTURE.md's; there are no exceptions in functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "runner"
EVERYTHING = {part.stem for part in PACKAGE.iterdir()} - {"py", "__init__", "__pycache__"}

MAY_IMPORT: dict[str, set[str]] = {
    "wire": set(),
    "state": {"wire"},
    "errors": set(),
    "resources": set(),
    "settings": {"errors"},
    "recipe": {"wire", "errors", "resources"},
    "compile": {"wire", "recipe", "errors"},
    "plan": {"wire", "compile", "state", "errors"},
    "runlog": {"wire", "state", "errors"},
    "inventory": {"recipe", "runlog", "errors"},
    "client": {"wire", "errors"},
    "execute": {"wire", "state", "plan", "runlog", "inventory", "client", "errors"},
    "report": {"wire", "state", "recipe", "plan", "execute", "errors"},
    "server": {"wire", "resources"},
    "cli": EVERYTHING,
    "__main__": {"cli"},
}


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""
            if node.module == "runner":
                yield from ((node.lineno, f"runner.{name.name}") for name in node.names)


def test_every_part_of_the_package_is_in_the_table() -> None:
    assert {_part(path) for path in PACKAGE.rglob("*.py")} - {"__init__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_a_part_imports_only_what_the_table_allows(part: str) -> None:
    allowed = MAY_IMPORT[part] | {part}

    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in PACKAGE.rglob("*.py")
        if _part(path) == part
        for line, name in _imports(path)
        if name.startswith("runner.") and name.split(".")[1] not in allowed | {"__version__"}
    ]

    assert wrong == []


def test_imports_stand_at_the_top_of_a_module() -> None:
    hidden = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if _part(path) not in ("cli", "__main__")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert hidden == []
