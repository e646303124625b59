"""S3's rights, which no server to try things on has: who may not list is answered 403 for an object that is missing.

Knows one bucket, objects that are put at once, and listings by prefix. Signatures aren't looked at.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.server.storage.remote import Remote

ACCESS_ID, SECRET = "strict-id", "secret-of-strict-s3"
_BEGUN = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"


@dataclass
class StrictS3:
    """
    may_list  whether the key has s3:ListBucket, restricted by s3:prefix
    """

    port: int = 0
    may_list: bool = False
    objects: dict[str, bytes] = field(default_factory=dict)

    @property
    def remote(self) -> Remote:
        return Remote(
            provider="amazons3",
            endpoint={"s3_endpoint": f"http://127.0.0.1:{self.port}"},
            parameters={"bucket": "tests"},
            credentials={"accesskeyid": ACCESS_ID, "secretaccesskey": SECRET},
            put=self.objects.__setitem__,
            get=self.objects.get,
            remove=self.objects.__delitem__,
        )


@contextlib.contextmanager
def strict_s3() -> Iterator[StrictS3]:
    bucket = StrictS3()

    class Handler(_Handler):
        strict = bucket

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        bucket.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield bucket
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    strict: StrictS3

    def do_GET(self) -> None:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix")
        if prefix:
            self._list(prefix[0])
        elif self._key in self.strict.objects:
            self._answer(200, self.strict.objects[self._key])
        else:
            self._deny()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._key in self.strict.objects:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        self.strict.objects[self._key] = body
        self._answer(200)

    def do_POST(self) -> None:
        self._answer(200, _BEGUN.encode())

    def do_DELETE(self) -> None:
        self._answer(204)

    def log_message(self, *_: object) -> None:
        pass

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/tests/")

    def _list(self, prefix: str) -> None:
        if not self.strict.may_list:
            self._deny()
            return
        found = sorted(name for name in self.strict.objects if name.startswith(prefix))
        entries = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in found[:1])
        self._answer(200, f"<ListBucketResult>{entries}</ListBucketResult>".encode())

    def _deny(self) -> None:
        self._answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
