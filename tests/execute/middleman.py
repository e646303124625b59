"""Somebody between a run and its server who passes on everything, and changes answers as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

# Method, path below /v2, and the document that was answered; what comes back is answered instead of it.
Change = Callable[[str, str, Any], Any]


@dataclass(frozen=True)
class Refusal:
    """What a change may give instead of a document."""

    status: int
    document: Any


def honest(_method: str, _path: str, document: Any) -> Any:
    return document


@dataclass
class Middleman:
    """`base_url` stands for that of the server; `change` may be another one between two runs.

    refused  paths that are answered with a status alone, and never passed on
    """

    server: str
    base_url: str = ""
    change: Change = honest
    refused: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def _changed(man: Middleman, method: str, path: str, answer: httpx.Response) -> tuple[int, Any]:
    changed = man.change(method, path, answer.json())
    return (changed.status, changed.document) if isinstance(changed, Refusal) else (answer.status_code, changed)


@contextmanager
def between(server_base_url: str) -> Iterator[Middleman]:
    man = Middleman(server=server_base_url)
    client = httpx.Client(timeout=60)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            path = self.path.removeprefix("/v2")
            man.asked.append(f"{self.command} {path}")
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            sent = self.rfile.read(length)
            answer = (
                httpx.Response(man.refused[path])
                if path in man.refused
                else client.request(self.command, f"{man.server}{path}", headers=headers, content=sent)
            )
            body, status = answer.content, answer.status_code
            if answer.headers.get("content-type") == "application/json" and answer.is_success and body:
                status, document = _changed(man, self.command, urlsplit(path).path, answer)
                body = httpx.Response(200, json=document).content
            self.send_response(status)
            self.send_header("Content-Type", answer.headers.get("content-type", "text/plain"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def do_PATCH(self) -> None:
            self._pass_on()

        def do_DELETE(self) -> None:
            self._pass_on()

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    man.base_url = f"http://127.0.0.1:{listening.server_port}/v2"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield man
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
        client.close()
