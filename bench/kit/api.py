"""The small API server, started and asked."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.kit.processes import PYTHON, cpu_s, serving
from runner.wire.values import JsonObject, as_int, as_list, as_object

KEY = "bench-key-0001"


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeApi:
    base_url: str
    server: str
    pid: int

    @property
    def env(self) -> Mapping[str, str]:
        return {"API2CONVERT_API_KEY": KEY, "API2CONVERT_BASE_URL": self.base_url}

    def requests(self) -> Mapping[str, int]:
        return {what: as_int(count) for what, count in as_object(self._book()["requests"]).items()}

    def delays(self) -> Sequence[float]:
        return [float(delay) for delay in as_list(self._book()["delays"])]

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def _book(self) -> JsonObject:
        with urllib.request.urlopen(f"{self.base_url}/bench/book") as answer:
            return as_object(json.load(answer))


@contextmanager
def fake_api(folder: Path, *, length_s: float = 0.0, output_bytes: int = 1024) -> Iterator[FakeApi]:
    """A server with an empty book."""
    command = [PYTHON, "-m", "bench.kit.fake_api", "--length", str(length_s), "--output-bytes", str(output_bytes)]
    with serving(command, folder=folder) as (_, line):
        yield FakeApi(**json.loads(line))
