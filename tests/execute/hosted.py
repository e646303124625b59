"""A small API in memory whose answers a test bends: hosted ones differ in what the documents leave open.

It converts nothing. Its book says what really happened: ("create" | "start" | "delete" | "charge", job id). Classes
below it change one answer each.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Document = dict[str, Any]
PAGE_SIZE = 50


@dataclass(kw_only=True)
class Reply:
    """`body` is sent as it is where it is bytes, else as JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return (
            self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        )


class Hosted:
    """
    cost   credits of each job that completes
    looks  how often a started job is looked at until it has completed
    """

    cost = 1
    looks = 1

    def __init__(self) -> None:
        self.jobs: dict[str, Document] = {}
        self.book: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.base_url = ""
        self._files: dict[str, bytes] = {}
        self._looks: dict[str, int] = {}

    def happened(self, what: str) -> list[str]:
        return [job_id for done, job_id in self.book if done == what]

    # What tests change

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def shown(self, job: Document) -> Any:
        """The document, wherever it is answered."""
        return job

    def created(self, job: Document) -> Reply:
        return Reply(status=201, body=self.shown(job))

    def row(self, job: Document) -> Any:
        return self.shown(job)

    def rows(self, page: int) -> Reply:
        rows = [job for job in reversed(self.jobs.values()) if self.is_listed(job)]
        shown = [self.row(job) for job in rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]]
        return Reply(body=shown, headers={"X-Count": str(len(rows))})

    def is_listed(self, job: Document) -> bool:
        return True

    def uploaded(self, job: Document, entry: Document) -> Reply:
        return Reply(body={"id": {"job": job["id"], "input": entry["id"]}})

    def started(self, job: Document) -> Reply:
        if job["process"]:
            return Reply(status=409, body={"message": "it was started already"})
        self.book.append(("start", job["id"]))
        job.update(process=True, status={"code": "queued", "info": ""})
        return Reply(body=self.shown(job))

    def deleted(self, job: Document) -> Reply:
        self.book.append(("delete", job["id"]))
        del self.jobs[job["id"]]
        return Reply(status=204)

    def finish(self, job: Document) -> None:
        job.update(status={"code": "completed", "info": "done"}, spent=self.cost)
        self.book += [("charge", job["id"])] * self.cost
        name = (job["input"][0].get("filename") or job["input"][0]["source"]).rpartition("/")[2]
        for conversion in job["conversion"]:
            data = f"{job['id']} {name} as {conversion['target']}".encode()
            output_id = str(uuid.uuid4())
            self._files[output_id] = data
            job["output"].append(
                {
                    "id": output_id,
                    "source": {"conversion": conversion["id"], "input": [entry["id"] for entry in job["input"]]},
                    "filename": f"{name.rpartition('.')[0]}.{conversion['target']}",
                    "uri": f"{self.base_url}/file/{output_id}",
                    "size": len(data),
                    "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
                    "status": "enabled",
                }
            )

    # What it does

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        self.asked.append(f"{method} {target.removeprefix('/v2')}")
        path = urlsplit(target).path.removeprefix("/v2")
        if path == "/jobs":
            return self._create(json.loads(body)) if method == "POST" else self._list(target)
        if found := re.fullmatch(r"/(file|upload-file|jobs)/([^/]+)(/input)?", path):
            kind, name, below = found.groups()
            if kind == "file":
                return Reply(body=self._files[name])
            job = self.find(name)
            if job is None:
                return Reply(status=404, body={"message": "there is no such job"})
            if kind == "upload-file":
                return self._upload(job, body)
            return self._inputs(job, method, body) if below else self._job(job, method)
        return (
            Reply(body=[])
            if path in ("/contracts", "/conversions")
            else Reply(status=404, body={"message": "no such path"})
        )

    def find(self, name: str) -> Document | None:
        return self.jobs.get(name)

    def _list(self, target: str) -> Reply:
        for job in list(self.jobs.values()):
            self._look(job)
        return self.rows(int(parse_qs(urlsplit(target).query).get("page", ["1"])[0]))

    def _create(self, sent: Document) -> Reply:
        return self.created(self.make(sent))

    def make(self, sent: Document) -> Document:
        job: Document = {
            "id": self.new_id(),
            "token": uuid.uuid4().hex,
            "status": {"code": "incomplete", "info": "no input"},
            "process": False,
            "server": self.base_url.removesuffix("/v2"),
            "spent": 0,
            "errors": [],
            "warnings": [],
            "output": [],
            "input": [{**entry, "id": str(uuid.uuid4()), "status": "ready"} for entry in sent.get("input", [])],
            "conversion": [{**each, "id": str(uuid.uuid4())} for each in sent.get("conversion", [])],
        }
        self.jobs[job["id"]] = job
        self.book.append(("create", job["id"]))
        return job

    def _job(self, job: Document, method: str) -> Reply:
        if method == "GET":
            self._look(job)
            return Reply(body=self.shown(job))
        return self.started(job) if method == "PATCH" else self.deleted(job)

    def _look(self, job: Document) -> None:
        if not job["process"] or job["status"]["code"] in ("completed", "failed"):
            return
        self._looks[job["id"]] = self._looks.get(job["id"], 0) + 1
        if self._looks[job["id"]] >= self.looks:
            self.finish(job)

    def _upload(self, job: Document, body: bytes) -> Reply:
        rest = body.partition(b'name="file"')[2]
        name, _, data = rest.partition(b"\r\n\r\n")
        data = data[: data.rindex(b"\r\n--")]
        entry = {
            "id": str(uuid.uuid4()),
            "type": "upload",
            "status": "ready",
            "filename": name.split(b'filename="')[1].split(b'"')[0].decode(),
            "size": len(data),
            "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        }
        job["input"].append(entry)
        job["status"] = {"code": "ready", "info": ""}
        return self.uploaded(job, entry)

    def _inputs(self, job: Document, method: str, body: bytes) -> Reply:
        if method == "POST":
            job["input"].append({**json.loads(body), "id": str(uuid.uuid4()), "status": "ready"})
            return Reply(status=201, body=job["input"][-1])
        by_id = {entry["id"]: entry for entry in job["input"]}
        for change in json.loads(body):
            if change["id"] not in by_id:
                return Reply(status=404, body={"message": "there is no such input"})
            by_id[change["id"]]["options"] = change["options"]
        return Reply(body=self.shown(job)["input"])


@contextmanager
def hosting(api: Hosted) -> Iterator[Hosted]:
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with turn:
                reply = api.answer(self.command, self.path, body)
            content = reply.content
            self.send_response(reply.status)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PATCH(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    api.base_url = f"http://127.0.0.1:{listening.server_port}/v2"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield api
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
