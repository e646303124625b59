"""Google Cloud Storage, with the key file of a service account.

A key file names the URL that its tokens come from. That would let a job make this server send requests
anywhere, so it may only be Google's own, or a stand-in's that this server's owner has configured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, PreconditionFailed, Unauthorized
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.auth.transport import Response
from google.cloud import storage
from google.oauth2 import service_account

from runner.server.storage.patience import retry_after_s
from runner.server.storage.protocol import (
    FAILED,
    NAME_TAKEN,
    NOT_FOUND,
    Broken,
    Busy,
    Found,
    Place,
    Site,
    StorageError,
    Take,
    Upload,
)
from runner.server.storage.sharing import Shared, sharing_key
from runner.wire.values import Json, JsonObject

_ENDPOINT = "https://storage.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_TOKEN_URIS = frozenset({"https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token"})
_KEYS = ("client_email", "private_key", "token_uri")
# The SDK puts the name into addresses as it is: "a/../b" would be another bucket.
_BUCKET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_CHUNK = 8 * 1024 * 1024
_TOKEN = "delivery"
_CREATE = "storage.objects.create"
_PATIENCE = frozenset({408, 500, 502, 504})
_BUSY = frozenset({429, 503})


def connect(place: Place, site: Site) -> GcsStore:
    if not _BUCKET.match(place.parameters["bucket"]):
        rule = "it must begin and end with a letter or a digit, with letters, digits, '-', '_' and '.' between"
        raise StorageError(FAILED, f"no bucket can have this name: {rule}")
    key = sharing_key(place, site, "projectid")
    return GcsStore(place, site, _clients.take(key, lambda: _client(place, site)), lambda: _clients.give_back(key))


_clients: Shared[storage.Client] = Shared(lambda client: client.close())


def _client(place: Place, site: Site) -> storage.Client:
    keyfile = read_keyfile(place.credentials["keyfile"], site)
    try:
        credentials = _Account.from_service_account_info(keyfile, scopes=_SCOPES)  # type: ignore[no-untyped-call]
    except (ValueError, GoogleAuthError):  # what they say may hold a part of the key
        raise StorageError(FAILED, "the private_key of the keyfile can't be read") from None
    return storage.Client(
        project=place.parameters["projectid"],
        credentials=credentials,
        client_options={"api_endpoint": site.gcs_endpoint or _ENDPOINT},
    )


def read_keyfile(given: Json, site: Site) -> JsonObject:
    """What is used of a key file, which comes as an object or as its text; raises StorageError without its values."""
    keyfile = _parsed(given)
    if keyfile.get("type", "service_account") != "service_account":
        raise StorageError(FAILED, "the keyfile is not that of a service account")
    missing = [name for name in _KEYS if not isinstance(keyfile.get(name), str) or not keyfile[name]]
    if missing:
        raise StorageError(FAILED, f"the keyfile lacks {', '.join(missing)}")
    if not _may_be_asked(keyfile["token_uri"], site):
        raise StorageError(FAILED, "the token_uri of the keyfile is not Google's; this server asks no other")
    return {name: keyfile[name] for name in _KEYS}


def _parsed(given: Json) -> JsonObject:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = None
    if not isinstance(given, dict):
        raise StorageError(FAILED, "the keyfile is no JSON object")
    return given


def _may_be_asked(token_uri: str, site: Site) -> bool:
    if token_uri in _TOKEN_URIS:
        return True
    return bool(site.gcs_endpoint) and urlsplit(token_uri)[:2] == urlsplit(site.gcs_endpoint)[:2]


class _Account(service_account.Credentials):
    """Asks for tokens and for nothing else: the library would ask another host, in a thread of its own, where the
    account's tokens may be used from.

    The library's own errors don't tell a key that is refused from a gateway that stumbles.
    """

    def refresh(self, request: Callable[..., Response]) -> None:
        def ask(*args: Any, **kwargs: Any) -> Response:
            answer = request(*args, **kwargs)
            _raise_what_passes(answer)
            return answer

        super().refresh(ask)  # type: ignore[no-untyped-call]

    def _maybe_start_regional_access_boundary_refresh(self, request: object, url: str) -> None:
        """Nothing is started."""


def _raise_what_passes(answer: Response) -> None:
    said = f"the server that issues tokens answers {answer.status}"
    if answer.status in _BUSY:
        raise Busy(said, retry_after_s(answer.headers.get("Retry-After")))
    if answer.status >= 500 or answer.status in _PATIENCE:
        raise Broken(said)


class GcsStore:
    def __init__(self, place: Place, site: Site, client: storage.Client, give_back: Callable[[], None]) -> None:
        self._client = client
        self._give_back = give_back
        self._timeout = (min(10.0, site.silence_s), site.silence_s)
        self._blob = client.bucket(place.parameters["bucket"]).blob(place.parameters["file"])

    def open(self) -> GcsObject:
        self._refuse_folders()
        with _translated():
            self._blob.reload(timeout=self._timeout, retry=None)
            return GcsObject(self._blob, self._timeout)

    def create(self, upload: Upload) -> None:
        self._refuse_folders()
        with _translated():
            try:
                self._create(upload)
            except PreconditionFailed as error:
                if not self._is_ours(upload):
                    raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten") from error

    def foresee(self) -> str:
        self._refuse_folders()
        unseen = ""
        with _translated():
            try:
                self._blob.reload(timeout=self._timeout, retry=None)
            except NotFound:
                pass  # of the object or of its bucket: the bucket is asked next
            except Forbidden:
                unseen = "these credentials may not look whether the name is free"
            else:
                raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten")
            granted = self._blob.bucket.test_iam_permissions([_CREATE], timeout=self._timeout)
            if _CREATE not in granted:
                raise StorageError(NOT_FOUND, f"access denied: the keyfile's account lacks {_CREATE}")
        return unseen

    def listing(self) -> Iterator[Found]:
        with _translated():
            bucket, prefix = self._blob.bucket, self._blob.name
            for blob in self._client.list_blobs(bucket, prefix=prefix, timeout=self._timeout, retry=None):
                yield Found(name=blob.name, size=blob.size, version=str(blob.generation))

    def sent(self) -> int:
        return 0

    def close(self) -> None:
        self._give_back()

    def _refuse_folders(self) -> None:
        """In an address these two are the bucket and what lies above it."""
        if self._blob.name in (".", ".."):
            raise StorageError(FAILED, "no object can have this name: '.' and '..' stand for folders")

    def _create(self, upload: Upload) -> None:
        blob = self._blob
        blob.metadata = {_TOKEN: upload.token}
        blob.chunk_size = _CHUNK if upload.size > _CHUNK else None
        with upload.open() as file:
            blob.upload_from_file(
                file,
                size=upload.size,
                content_type=upload.content_type,
                if_generation_match=0,
                timeout=self._timeout,
                retry=None,
            )

    def _is_ours(self, upload: Upload) -> bool:
        """Whether what is there came from us, by an attempt whose answer was lost."""
        try:
            self._blob.reload(timeout=self._timeout, retry=None)
        except GoogleAPICallError:  # we may not look
            return False
        return upload.made((self._blob.metadata or {}).get(_TOKEN))


class GcsObject:
    def __init__(self, blob: storage.Blob, timeout: tuple[float, float]) -> None:
        # A fresh one: that which was looked at would be read from the address that the answer named.
        self._blob = blob.bucket.blob(blob.name, generation=blob.generation)
        self._timeout = timeout
        self._generation = blob.generation
        self.size: int = blob.size

    def read(self, start: int, take: Take) -> None:
        """As the bytes are stored: an object that is kept compressed comes at its own size."""
        if start >= self.size:
            return
        with _translated():
            self._blob.download_to_file(
                _Sink(take),
                start=start or None,
                raw_download=True,
                if_generation_match=self._generation,
                timeout=self._timeout,
                checksum=None if start else "auto",
                retry=None,
            )


class _Sink:
    """What the SDK takes for a file."""

    def __init__(self, take: Take) -> None:
        self._take = take

    def write(self, chunk: bytes) -> int:
        self._take(chunk)
        return len(chunk)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except GoogleAPICallError as error:
        if error.response is not None:  # of a read, with its connection still open
            error.response.close()
        raise _meaning(error) from error
    except RefreshError as error:
        if error.retryable:
            raise Broken(str(error)) from error
        raise StorageError(NOT_FOUND, f"the keyfile is not accepted: {_first(error)}") from error
    except (TransportError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Broken(str(error)) from error
    except (GoogleAuthError, ValueError) as error:
        raise StorageError(FAILED, str(error)) from error


def _meaning(error: GoogleAPICallError) -> Exception:
    if isinstance(error, PreconditionFailed):
        return StorageError(FAILED, "the file changed while it was read")
    if isinstance(error, NotFound):
        return StorageError(NOT_FOUND, "there is no such file or bucket (404)")
    if isinstance(error, Forbidden | Unauthorized):
        return StorageError(NOT_FOUND, f"access denied: {error.message} ({error.code})")
    if error.code in _BUSY:
        headers = error.response.headers if error.response is not None else {}
        return Busy(f"{error.message} ({error.code})", retry_after_s(headers.get("Retry-After")))
    if error.code in _PATIENCE:
        return Broken(f"{error.message} ({error.code})")
    return StorageError(FAILED, f"{error.message} ({error.code})")


def _first(error: RefreshError) -> str:
    return str(error.args[0]) if error.args else type(error).__name__
