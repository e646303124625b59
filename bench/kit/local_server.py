"""`runner serve` for a bench, and what it is asked by hand."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.kit.processes import RUNNER, serving
from runner.wire.values import Json, JsonObject, as_object


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalServer:
    base_url: str
    api_key: str = field(repr=False)
    pid: int

    @property
    def env(self) -> Mapping[str, str]:
        return {"API2CONVERT_API_KEY": self.api_key, "API2CONVERT_BASE_URL": self.base_url}

    def ask(self, method: str, path: str, body: JsonObject | None = None) -> Json:
        request = urllib.request.Request(
            f"{self.base_url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Api2convert-Api-Key": self.api_key, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            content: bytes = answer.read()
        return json.loads(content) if content else None

    def new_job(self) -> JsonObject:
        """A job that waits for its upload."""
        body = {"process": False, "conversion": [{"category": "image", "target": "jpg"}]}
        return as_object(self.ask("POST", "/jobs", body))


@contextmanager
def local_server(folder: Path) -> Iterator[LocalServer]:
    command = [RUNNER, "serve", "--port", "0", "--format", "json", "--state", str(folder / "server")]
    with serving(command, folder=folder) as (_, line):
        ready = json.loads(line)
        yield LocalServer(base_url=ready["base_url"], api_key=ready["api_key"], pid=ready["pid"])
