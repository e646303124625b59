"""Amazon S3 and stores that speak its language.

Nothing but the job decides who we are: no profile, no environment, no endpoint of the machine's own settings.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.session import Session

from runner.server.storage.named_locks import NamedLocks
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
    Stopped,
    StorageError,
    Take,
    Upload,
)
from runner.server.storage.sharing import Shared, sharing_key

# Where the SDK looks for a profile and its files: nowhere. (name in a file, variable, default, converter)
_NOTHING_OF_THE_MACHINE = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
# Making a session takes fifteen times as long as making a client; sessions are not for several threads at once.
_session = boto3.Session(botocore_session=Session(session_vars=_NOTHING_OF_THE_MACHINE))
_session_lock = threading.Lock()
_names = NamedLocks()  # that a file in parts is about to get: not every store looks and gives in one step

_CHUNK = 256 * 1024
_PART_BYTES = 8 * 1024 * 1024
_MOST_PARTS = 10_000
_PARTS_AT_ONCE = 4
_CONNECTIONS = 64
_TOKEN = "delivery"

_MISSING = {
    "NoSuchBucket": "there is no such bucket",
    "NoSuchKey": "there is no such file",
    "404": "there is no such file or bucket",
    "AccessDenied": "access denied: these credentials have no right to it",
    "403": "access denied: the credentials are wrong, or have no right to it",
    "InvalidAccessKeyId": "the accesskeyid is unknown",
    "SignatureDoesNotMatch": "the secretaccesskey is wrong",
    "InvalidToken": "the sessiontoken is wrong",
    "ExpiredToken": "the sessiontoken has expired",
}
_NOT_THERE = frozenset({"NoSuchKey", "404"})
_NO_RIGHT = frozenset({"AccessDenied", "403"})
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
_WRONG_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "307", "TemporaryRedirect"})
_PATIENCE = frozenset({"InternalError", "RequestTimeout", "500", "502", "504"})
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "429", "503"})
_NO_SUCH_UPLOAD = "NoSuchUpload"


def connect(place: Place, site: Site) -> S3Store:
    key = sharing_key(place, site, "region")
    return S3Store(place, _clients.take(key, lambda: _client(place, site)), give_back=lambda: _clients.give_back(key))


_clients: Shared[Any] = Shared(lambda client: client.close())


def _client(place: Place, site: Site) -> Any:  # boto3 makes its clients' types as it runs
    config = Config(
        ignore_configured_endpoint_urls=True,
        connect_timeout=min(10.0, site.silence_s),
        read_timeout=site.silence_s,
        retries={"total_max_attempts": 1},  # `transfer` tries again, and knows how far it came
        max_pool_connections=_CONNECTIONS,
        s3={"addressing_style": "path"} if site.s3_endpoint else {},
        request_checksum_calculation="when_required" if site.s3_endpoint else "when_supported",
    )
    secrets = place.credentials
    with _translated(place), _session_lock:
        client = _session.client(
            "s3",
            region_name=place.parameters["region"],
            endpoint_url=site.s3_endpoint or None,
            aws_access_key_id=str(secrets["accesskeyid"]),
            aws_secret_access_key=str(secrets["secretaccesskey"]),
            aws_session_token=str(secrets["sessiontoken"]) if secrets.get("sessiontoken") else None,
            config=config,
        )
    # A wrong region fails at the API too; the SDK would look for the right one and hide the mistake.
    client.meta.events.register_last("before-parameter-build.s3", _stay_in_region)
    return client


def _stay_in_region(context: dict[str, dict[str, object]], **_: object) -> None:
    context.setdefault("s3_redirect", {})["redirected"] = True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    etag: str
    size: int


class S3Store:
    def __init__(self, place: Place, client: Any, *, give_back: Callable[[], None]) -> None:
        self._place = place
        self._client = client
        self._give_back = give_back
        self._object = {"Bucket": place.parameters["bucket"], "Key": place.parameters["file"]}
        self._opened: S3Object | None = None
        self._upload_id = ""
        self._parts: dict[int, _Part] = {}

    def open(self) -> S3Object:
        with _translated(self._place):
            self._opened = S3Object(self._place, partial(self._client.get_object, **self._object))
            return self._opened

    def create(self, upload: Upload) -> None:
        with _translated(self._place):
            try:
                self._create(upload)
            except ClientError as error:
                if _code(error) not in _TAKEN:
                    raise
                if not self._is_ours(upload):
                    raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten") from error

    def foresee(self) -> str:
        with _translated(self._place):
            unseen = self._name_is_free()
            begun = self._client.create_multipart_upload(**self._object)  # needs the right that storing needs
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**self._object, UploadId=begun["UploadId"])
        return unseen

    def _name_is_free(self) -> str:
        """What can't be seen of it; raises StorageError where the name is taken."""
        try:
            self._client.get_object(**self._object)["Body"].close()
        except ClientError as error:
            code = _code(error)
            if code in _NOT_THERE:
                return ""
            if code not in _NO_RIGHT:
                raise
            listed = self._is_listed()
            if listed is None:
                return "these credentials may not look whether the name is free"
            if not listed:
                return ""
        raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten")

    def _is_listed(self) -> bool | None:
        """Whether the bucket lists the object; None where we may not list.

        A right to list that is restricted by `s3:prefix` doesn't help who gets an object that is missing: only a
        listing has a prefix.
        """
        try:
            page = self._client.list_objects_v2(Bucket=self._object["Bucket"], Prefix=self._object["Key"], MaxKeys=1)
        except ClientError as error:
            if _code(error) in _NO_RIGHT:
                return None
            raise
        return any(entry["Key"] == self._object["Key"] for entry in page.get("Contents", ()))

    def listing(self) -> Iterator[Found]:
        with _translated(self._place):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._object["Bucket"], Prefix=self._object["Key"]
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield Found(name=entry["Key"], size=entry["Size"], version=entry["ETag"].strip('"'))

    def sent(self) -> int:
        return sum(part.size for part in self._parts.values())

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        if self._upload_id:
            with suppress(BotoCoreError, ClientError):  # its parts would be billed for ever
                self._client.abort_multipart_upload(**self._object, UploadId=self._upload_id)
        self._give_back()

    def _create(self, upload: Upload) -> None:
        about = {"ContentType": upload.content_type, "Metadata": {_TOKEN: upload.token}}
        if upload.size <= 2 * _PART_BYTES:
            with upload.open() as file:
                self._client.put_object(**self._object, **about, Body=file, IfNoneMatch="*")
            return
        if self._upload_id:
            self._in_parts(upload)  # what broke off goes on
            return
        if self._is_there():  # before sending much for nothing; what decides is the condition at the end
            if self._is_ours(upload):
                return
            raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten")
        begun = self._client.create_multipart_upload(**self._object, **about)
        self._upload_id = begun["UploadId"]
        self._in_parts(upload)

    def _in_parts(self, upload: Upload) -> None:
        """Parts that got there stay there while the connection breaks; they go when the store is closed."""
        whole = {**self._object, "UploadId": self._upload_id}
        try:
            self._send_missing(upload, whole)
            parts = [{"PartNumber": number, "ETag": self._parts[number].etag} for number in sorted(self._parts)]
            with _names.held((self._client.meta.endpoint_url, *sorted(self._object.items()))):
                self._client.complete_multipart_upload(**whole, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except ClientError as error:
            if _code(error) != _NO_SUCH_UPLOAD:
                raise
            self._begin_anew()
            if not self._is_ours(upload):  # else it was completed, and only the answer was lost
                raise Broken("the store has forgotten the parts that it had") from error
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._upload_id, self._parts = "", {}

    def _send_missing(self, upload: Upload, whole: dict[str, str]) -> None:
        size = max(_PART_BYTES, -(-upload.size // _MOST_PARTS))
        missing = [
            (number, start)
            for number, start in enumerate(range(0, upload.size, size), start=1)
            if number not in self._parts
        ]
        with ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="s3-part") as pool:
            futures = [pool.submit(self._send_part, upload, whole, number, start, size) for number, start in missing]
            try:
                for future in futures:
                    future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _send_part(self, upload: Upload, whole: dict[str, str], number: int, start: int, size: int) -> None:
        with upload.open() as file:
            file.seek(start)
            body = file.read(size)
        sent = self._client.upload_part(**whole, PartNumber=number, Body=body)
        self._parts[number] = _Part(etag=sent["ETag"], size=len(body))

    def _is_there(self) -> bool:
        try:
            self._client.head_object(**self._object)
        except ClientError:  # not there, or we may not look: the condition at the end decides
            return False
        return True

    def _is_ours(self, upload: Upload) -> bool:
        """Whether what is there came from us, by an attempt whose answer was lost."""
        try:
            found = self._client.head_object(**self._object)
        except ClientError:
            return False
        return upload.made(found["Metadata"].get(_TOKEN))


class S3Object:
    """The first answer begins at the first byte; whatever broke off goes on in the same version."""

    def __init__(self, place: Place, get: Callable[..., dict[str, Any]]) -> None:
        self._place = place
        self._get = get
        self._answer: dict[str, Any] | None = get()
        self._etag: str = self._answer["ETag"]
        self.size: int = self._answer["ContentLength"]

    def read(self, start: int, take: Take) -> None:
        with _translated(self._place):
            answer = self._answer if start == 0 and self._answer else self._again(start)
            self._answer = None
            if answer is not None:
                with closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(_CHUNK):
                        take(chunk)

    def close(self) -> None:
        """Hang up on an answer that nobody read."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer["Body"].close()

    def _again(self, start: int) -> dict[str, Any] | None:
        if start >= self.size:
            return None
        return self._get(Range=f"bytes={start}-", IfMatch=self._etag)


@contextmanager
def _translated(place: Place) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _meaning(error, place) from error
    except (StorageError, Stopped, Broken):
        raise
    except (HTTPClientError, EndpointConnectionError, IncompleteReadError) as error:
        raise Broken(str(error)) from error
    except (BotoCoreError, ValueError) as error:  # found wrong before anything was sent
        raise StorageError(FAILED, _found_wrong(error)) from error


def _found_wrong(error: Exception) -> str:
    said = " ".join(str(error).split())
    return "no bucket can have this name" if "Invalid bucket name" in said else said


def _meaning(error: ClientError, place: Place) -> Exception:
    code = _code(error)
    said = error.response.get("Error", {}).get("Message", "")
    if code in _WRONG_REGION:
        region = place.parameters["region"]
        return StorageError(FAILED, f"the bucket is not in the region '{region}' ({code}: {said})")
    if code in _MISSING:
        return StorageError(NOT_FOUND, f"{_MISSING[code]} ({code})")
    if code in _BUSY:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return Busy(f"{code}: {said}", retry_after_s(headers.get("retry-after")))
    if code in _PATIENCE:
        return Broken(f"{code}: {said}")
    if code in _TAKEN:  # of a read: another version lies there by now
        return StorageError(FAILED, "the file changed while it was read")
    return StorageError(FAILED, f"{code}: {said}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) or str(error)
