"""Converters that misbehave, imported by the workers' own process under the name `hostile`."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.server.converters.protocol import ConversionError, Guards, Product, Request, Source, Target


def _product(request: Request, path: Path, sources: tuple[int, ...] = (0,)) -> list[Product]:
    return [Product(path=path, filename=path.name, content_type="text/plain", sources=sources)]


def _wrote(request: Request, text: str) -> list[Product]:
    path = request.workdir / "result.txt"
    path.write_text(text)
    return _product(request, path)


def _attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "allowed"


def copy(request: Request) -> list[Product]:
    return _wrote(request, "".join(source.path.read_text() for source in request.sources))


def segfault(request: Request) -> list[Product]:
    ctypes.string_at(0)
    return []


def endless(request: Request) -> list[Product]:
    while True:
        pass


def asleep(request: Request) -> list[Product]:
    time.sleep(3600)
    return []


def hog(request: Request) -> list[Product]:
    bytearray(64 * 1024**3)
    return []


def flood(request: Request) -> list[Product]:
    with (request.workdir / "big").open("wb") as file:
        for _ in range(1024):
            file.write(bytes(1024 * 1024))
    return []


def refuses(request: Request) -> list[Product]:
    raise ConversionError(6005, "it lacks a heart", {"text_1": "a heart"})


def fails(request: Request) -> list[Product]:
    raise KeyError("oops")


def exits(request: Request) -> list[Product]:
    sys.exit(3)


def vanishes(request: Request) -> list[Product]:
    os._exit(0)


def nothing(request: Request) -> list[Product]:
    return []


def empty(request: Request) -> list[Product]:
    return _wrote(request, "")


def elsewhere(request: Request) -> list[Product]:
    return _product(request, Path("/etc/passwd"))


def folder(request: Request) -> list[Product]:
    path = request.workdir / "folder"
    path.mkdir()
    return _product(request, path)


def no_such_source(request: Request) -> list[Product]:
    return _product(request, _wrote(request, "x")[0].path, sources=(7,))


def talkative(request: Request) -> list[Product]:
    raise ConversionError(6005, "x" * 32 * 1024 * 1024)


def rights(request: Request) -> list[Product]:
    """What it was allowed, a line each."""
    outside = Path(str(request.options["outside"]))
    port = int(request.options["port"])
    attempts: dict[str, Callable[[], object]] = {
        "read a file of the system": Path("/etc/passwd").read_text,
        "read a file outside": outside.read_text,
        "list a folder outside": lambda: list(outside.parent.iterdir()),
        "write beside": lambda: (outside.parent / "mine").write_text("x"),
        "overwrite the source": lambda: request.sources[0].path.write_text("x"),
        "connect": lambda: socket.create_connection(("127.0.0.1", port), timeout=5),
        "kill its maker": lambda: os.kill(os.getppid(), 0),
        "write in its folder": lambda: (request.workdir / "own").write_text("x"),
        "read its source": request.sources[0].path.read_text,
        "read the standard library": Path(os.__file__).read_text,
    }
    return _wrote(request, "\n".join(f"{name}: {_attempt(action)}" for name, action in attempts.items()))


def belongings(request: Request) -> list[Product]:
    """Its variables and open files, a line each."""
    files = [f"fd {number}: {_kind(number)}" for number in range(64) if _is_open(number)]
    return _wrote(request, "\n".join([*(f"{name}={value}" for name, value in os.environ.items()), *files]))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _kind(number: int) -> str:
    try:
        return socket.socket(fileno=os.dup(number)).family.name
    except OSError:
        return "file"


def leaves_a_child(request: Request) -> list[Product]:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    return _wrote(request, str(other.pid))


def main_module(request: Request) -> list[Product]:
    return _wrote(request, f"{sys.modules['__main__'].__spec__} {'__mp_main__' in sys.modules}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hostile:
    run: Callable[[Request], list[Product]]
    programs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def targets(self) -> tuple[Target, ...]:
        row = Target(
            id="1",
            category="test",
            target=self.name,
            extension="txt",
            content_type="text/plain",
            options_schema={},
            sources=frozenset(),
        )
        return (row,)

    def convert(self, request: Request) -> list[Product]:
        return self.run(request)

    def facts(self, source: Source, guards: Guards) -> dict[str, str]:
        raise LookupError(f"nothing is known of {source.filename} within {guards}")


CONVERTERS = tuple(
    Hostile(run=run)
    for run in (
        *(copy, segfault, endless, asleep, hog, flood, refuses, fails, exits, vanishes, nothing, empty),
        *(elsewhere, folder, no_such_source, talkative, rights, belongings, leaves_a_child, main_module),
    )
)
