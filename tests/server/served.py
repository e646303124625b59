"""The server as people start it: `runner serve` in a process of its own, on a port of loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RUNNER = (sys.executable, "-m", "runner")
KEY = "key-of-the-tests"


@dataclass(frozen=True)
class Served:
    base_url: str
    api_key: str
    state: Path
    pid: int


@contextmanager
def serving(state: Path, *options: str) -> Iterator[Served]:
    """A server with its state in `state`; stopped as a person would at the end, and without a word on stderr."""
    command = [*RUNNER, "serve", "--state", str(state), "--format", "json", "--allow-private", "127.0.0.0/8", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RUNNER_SERVE_KEY": KEY},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        ready = json.loads(line)
        yield Served(base_url=ready["base_url"], api_key=ready["api_key"], state=state, pid=ready["pid"])
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
        assert (process.returncode, out, errors) == (0, "", ""), errors
    finally:
        process.kill()
        process.communicate()
