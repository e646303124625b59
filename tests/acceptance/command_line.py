"""What a user has: a shell with little in it, a project of their own, files of every kind, a web server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from runner.server.book import BookEntry, read_book

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(sys.executable).with_name("runner")
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def said(self) -> tuple[int, str, str]:
        return self.code, self.out, self.err


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """A project folder and a shell in it. Every command must end without a traceback, whatever it was given."""

    folder: Path
    home: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **self.more}

    def runner(self, *args: str | Path, cwd: Path | None = None, launcher: tuple[str, ...] = ()) -> Done:
        command = [*(launcher or (str(RUNNER),)), *map(str, args)]
        ended = subprocess.run(
            command, cwd=cwd or self.folder, env=self.env, capture_output=True, timeout=PATIENCE_S, check=False
        )
        done = Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
        assert "Traceback" not in done.out + done.err, done.err
        return done

    @contextlib.contextmanager
    def start(self, *args: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on meanwhile; it is killed at the end of the block if it is still there."""
        with subprocess.Popen(
            [str(RUNNER), *map(str, args)],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def book(self, state: str = ".runner/server") -> tuple[BookEntry, ...]:
        """What the server that keeps its state there says it was asked for."""
        return tuple(read_book(self.folder / state).values())

    def delivered(self, folder: str = "out") -> set[str]:
        base = self.folder / folder
        return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}


def new_desk(place: Path) -> Desk:
    folder, home = place / "project", place / "home"
    folder.mkdir()
    home.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return Desk(folder=folder, home=home)


def copy_examples(desk: Desk) -> None:
    shutil.copytree(ROOT / "recipes", desk.folder / "recipes", ignore=shutil.ignore_patterns("out", ".runner"))


def png(*, size: tuple[int, int] = (24, 16), color: str = "teal") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, color).save(written, "PNG")
    return written.getvalue()


def recipe_of(files: str, *, target: str = "webp", save: str = "out/{output.filename}") -> str:
    """A recipe for every file that the glob `files` names."""
    return (
        f'foreach.files = {json.dumps(files)}\n[[input]]\ntype = "upload"\nsource = "{{item.path}}"\n'
        f'[[conversion]]\ntarget = "{target}"\n[save]\npath = {json.dumps(save)}\n'
    )


def one_file(source: str, *, target: str = "webp", more: str = "") -> str:
    return f'{more}[[input]]\ntype = "upload"\nsource = {json.dumps(source)}\n[[conversion]]\ntarget = "{target}"\n'


@contextlib.contextmanager
def web(pages: Mapping[str, bytes], *, headers: Callable[[str], Mapping[str, str]] = lambda _: {}) -> Iterator[str]:
    """Serves `pages` by path (without the query) on loopback, with more headers by path; anything else is 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            path = self.path.partition("?")[0]
            body = pages.get(path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            for name, value in headers(path).items() if body is not None else ():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(pages.get(self.path.partition("?")[0]) or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def serving(desk: Desk, *args: str | Path) -> Iterator[Mapping[str, Any]]:
    """`runner serve` as a script starts it: the line it prints when ready."""
    with desk.start("serve", "--port", "0", "--format", "json", *args) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def until(true: Callable[[], bool], *, what: str) -> None:
    """Wait for something outside of this process. Raises AssertionError when it doesn't come."""
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up, f"waited in vain for {what}"
        time.sleep(0.01)
