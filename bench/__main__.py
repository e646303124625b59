"""`python -m bench [NAME...] [--quick]`: measure, print a line for each figure, exit 1 where a goal was missed.

Every module beside this one is a bench; its docstring says what is measured, against what, and the goal. A ratio
is always of one run: both sides take turns, and the median of the rounds' ratios counts.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import bench
from bench.kit.figures import Figure
from bench.kit.plan import Setup


class Bench(Protocol):
    __doc__: str | None

    def measure(self, setup: Setup) -> Iterator[Figure]: ...


def main(arguments: Sequence[str] | None = None) -> int:
    known = [found.name for found in pkgutil.iter_modules(bench.__path__) if found.name not in ("kit", "__main__")]
    asked = _parse(arguments, known)
    if asked.list:
        print("\n".join(f"{name:14} {_module(name).__doc__ or ''}".rstrip() for name in known))
        return 0
    missed = [what for name in asked.names or known for what in _run(name, quick=asked.quick)]
    if missed:
        print(f"{len(missed)} missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _parse(arguments: Sequence[str] | None, known: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=bench.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*known, []], help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="fewer and smaller: for a look, not for a record")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    return parser.parse_args(arguments)


def _module(name: str) -> Bench:
    module: Bench = importlib.import_module(f"bench.{name}")
    return module


def _run(name: str, *, quick: bool) -> list[str]:
    """What was missed."""
    module = _module(name)
    print(f"{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
    missed = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for figure in module.measure(Setup(folder=Path(folder), quick=quick)):
            print(f"  {figure}", flush=True)
            if not figure.met:
                missed.append(f"{name} ({figure.what})")
    return missed


if __name__ == "__main__":
    sys.exit(main())
