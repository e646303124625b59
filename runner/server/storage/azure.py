"""Azure Blob Storage, with the name and key of a storage account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.blob import BlobClient, BlobProperties, ContainerClient, ContentSettings, ExponentialRetry

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

# The name becomes a part of the host that is connected to.
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}\Z")
_BLOCK = 8 * 1024 * 1024
_TOKEN = "delivery"
# A listing of everything names no blob, and the SDK has no blob without a name.
_ANY_NAME = "-"
_NO_SUCH_BLOB = frozenset({"BlobNotFound", "404"})
_PATIENCE = frozenset({408, 500, 502, 504})
_BUSY = frozenset({429, 503})


class _Once(ExponentialRetry):
    """Tries nothing again: `transfer` does, and knows how far it came. (The SDK's own policy, even where it is to try
    once, keeps a copy of all that a failed request was sending.)
    """

    def increment(self, *_: object, **__: object) -> bool:
        return False


def connect(place: Place, site: Site) -> AzureStore:
    account = str(place.credentials["accountname"])
    if not _ACCOUNT.match(account):
        raise StorageError(FAILED, "the accountname must be 3 to 24 lower-case letters and digits")
    key = sharing_key(place, site, "container")
    container = _containers.take(key, lambda: _container(place, site))
    return AzureStore(container, place.parameters["file"], give_back=lambda: _containers.give_back(key))


_containers: Shared[ContainerClient] = Shared(lambda container: container.close())


def _container(place: Place, site: Site) -> ContainerClient:
    account, key = str(place.credentials["accountname"]), str(place.credentials["accountkey"])
    try:
        return ContainerClient(
            account_url(account, site.azure_endpoint),
            # The SDK puts it into the address as it is; a blob's name it quotes itself.
            container_name=quote(place.parameters["container"], safe="$"),
            credential={"account_name": account, "account_key": key},
            retry_policy=_Once(),
            connection_timeout=min(10.0, site.silence_s),
            read_timeout=site.silence_s,
            max_single_put_size=_BLOCK,
            max_block_size=_BLOCK,
            max_single_get_size=_BLOCK,
            max_chunk_get_size=_BLOCK,
        )
    except ValueError as error:
        raise StorageError(FAILED, str(error)) from error


def account_url(account: str, endpoint: str) -> str:
    """Where an account is: the endpoint as it is configured, or with the account behind it where it has no path."""
    if not endpoint:
        return f"https://{account}.blob.core.windows.net"
    base = endpoint.rstrip("/")
    return base if urlsplit(base).path else f"{base}/{account}"


class AzureStore:
    def __init__(self, container: ContainerClient, name: str, *, give_back: Callable[[], None]) -> None:
        self._container = container
        self._give_back = give_back
        self._prefix = name
        self._client = container.get_blob_client(name or _ANY_NAME)

    def open(self) -> AzureObject:
        self._refuse_folders()
        with _translated():
            return AzureObject(self._client, self._client.get_blob_properties())

    def create(self, upload: Upload) -> None:
        self._refuse_folders()
        with _translated():
            try:
                self._create(upload)
            except ResourceExistsError as error:
                if not self._is_ours(upload):
                    raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten") from error

    def foresee(self) -> str:
        """An account's key may do everything, so a name that is free can be written."""
        self._refuse_folders()
        with _translated():
            try:
                self._client.get_blob_properties()
            except ResourceNotFoundError as error:
                if _code(error) in _NO_SUCH_BLOB:
                    return ""
                raise
        raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten")

    def listing(self) -> Iterator[Found]:
        with _translated():
            for blob in self._container.list_blobs(name_starts_with=self._prefix):
                yield Found(name=blob.name, size=blob.size, version=str(blob.etag).strip('"'))

    def sent(self) -> int:
        return 0

    def close(self) -> None:
        self._give_back()

    def _refuse_folders(self) -> None:
        """They are resolved on the way, and then the signature is that of another address."""
        if {".", ".."} & set(self._prefix.split("/")):
            raise StorageError(FAILED, "no blob can have this name: '.' and '..' in a path stand for folders")

    def _create(self, upload: Upload) -> None:
        if upload.size > _BLOCK and self._client.exists():  # before sending much for nothing
            raise ResourceExistsError
        with upload.open() as file:
            self._client.upload_blob(
                file,
                length=upload.size,
                overwrite=False,
                metadata={_TOKEN: upload.token},
                content_settings=ContentSettings(content_type=upload.content_type),
                max_concurrency=2,
            )

    def _is_ours(self, upload: Upload) -> bool:
        """Whether what is there came from us, by an attempt whose answer was lost."""
        try:
            found = self._client.get_blob_properties()
        except HttpResponseError:  # we may not look
            return False
        return upload.made((found.metadata or {}).get(_TOKEN))


class AzureObject:
    def __init__(self, client: BlobClient, found: BlobProperties) -> None:
        self._client = client
        self._etag = found.etag
        self.size: int = found.size

    def read(self, start: int, take: Take) -> None:
        if start >= self.size:
            return
        with _translated():
            stream = self._client.download_blob(
                offset=start,
                length=self.size - start,
                etag=self._etag,
                match_condition=MatchConditions.IfNotModified,
            )
            for chunk in stream.chunks():
                take(chunk)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as error:
        raise Broken(str(error)) from error
    except HttpResponseError as error:
        raise _meaning(error) from error
    except (AzureError, ValueError) as error:
        raise StorageError(FAILED, str(error)) from error


def _meaning(error: HttpResponseError) -> Exception:
    code = _code(error)
    if isinstance(error, ResourceNotFoundError):
        missing = "container" if code == "ContainerNotFound" else "account" if code == "ResourceNotFound" else "file"
        return StorageError(NOT_FOUND, f"there is no such {missing} ({code})")
    if isinstance(error, ClientAuthenticationError) or error.status_code in (401, 403):
        return StorageError(
            NOT_FOUND, f"access denied: the accountkey is wrong or has no right to it{_bracketed(code)}"
        )
    if error.status_code == 412:
        return StorageError(FAILED, "the file changed while it was read")
    if error.status_code in _BUSY:
        headers = getattr(error.response, "headers", {})
        return Busy(f"{code}: {error.reason}", retry_after_s(headers.get("Retry-After")))
    if error.status_code is None or error.status_code in _PATIENCE:
        return Broken(f"{code}: {error.reason or 'no answer'}")
    return StorageError(FAILED, f"{code}: {error.reason}")


def _code(error: HttpResponseError) -> str:
    """As the service says it: the SDK has an enumeration for the codes that it knows."""
    code = getattr(error, "error_code", "")
    return str(getattr(code, "value", code) or error.status_code or "")


def _bracketed(code: str) -> str:
    """Without a code nothing was asked: the SDK itself can't make anything of the key."""
    return f" ({code})" if code else ": it isn't base64"
