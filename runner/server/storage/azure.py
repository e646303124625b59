"""Azure Blob Storage, with the name and key of a storage account."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
from azure.storage.blob import BlobClient, BlobProperties, ContentSettings

from runner.server.storage.protocol import (
    FAILED,
    NAME_TAKEN,
    NOT_FOUND,
    Broken,
    Place,
    Site,
    StorageError,
    Take,
    Upload,
)

# The name becomes a part of the host that is connected to.
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}\Z")
_BLOCK = 8 * 1024 * 1024
_TOKEN = "delivery"
_PATIENCE = frozenset({408, 429, 500, 502, 503, 504})


def connect(place: Place, site: Site) -> AzureStore:
    account, key = str(place.credentials["accountname"]), str(place.credentials["accountkey"])
    if not _ACCOUNT.match(account):
        raise StorageError(FAILED, "the accountname must be 3 to 24 lower-case letters and digits")
    try:
        client = BlobClient(
            account_url(account, site.azure_endpoint),
            # The SDK puts it into the address as it is; a blob's name it quotes itself.
            container_name=quote(place.parameters["container"], safe="$"),
            blob_name=place.parameters["file"],
            credential={"account_name": account, "account_key": key},
            retry_total=0,  # `transfer` tries again, and knows how far it came
            connection_timeout=min(10.0, site.silence_s),
            read_timeout=site.silence_s,
            max_single_put_size=_BLOCK,
            max_block_size=_BLOCK,
            max_single_get_size=_BLOCK,
            max_chunk_get_size=_BLOCK,
        )
    except ValueError as error:
        raise StorageError(FAILED, str(error)) from error
    return AzureStore(client)


def account_url(account: str, endpoint: str) -> str:
    """Where an account is: the endpoint as it is configured, or with the account behind it where it has no path."""
    if not endpoint:
        return f"https://{account}.blob.core.windows.net"
    base = endpoint.rstrip("/")
    return base if urlsplit(base).path else f"{base}/{account}"


class AzureStore:
    def __init__(self, client: BlobClient) -> None:
        self._client = client

    def open(self) -> AzureObject:
        with _translated():
            return AzureObject(self._client, self._client.get_blob_properties())

    def create(self, upload: Upload) -> None:
        with _translated():
            try:
                self._create(upload)
            except ResourceExistsError as error:
                if not self._is_ours(upload):
                    raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten") from error

    def close(self) -> None:
        self._client.close()

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
        return bool((found.metadata or {}).get(_TOKEN) == upload.token)


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
    code = str(getattr(error, "error_code", "") or error.status_code or "")
    if isinstance(error, ResourceNotFoundError):
        missing = "container" if code == "ContainerNotFound" else "account" if code == "ResourceNotFound" else "file"
        return StorageError(NOT_FOUND, f"there is no such {missing} ({code})")
    if isinstance(error, ClientAuthenticationError) or error.status_code in (401, 403):
        return StorageError(NOT_FOUND, f"access denied: the accountkey is wrong or has no right to it ({code})")
    if error.status_code == 412:
        return StorageError(FAILED, "the file changed while it was read")
    if error.status_code is None or error.status_code in _PATIENCE:
        return Broken(f"{code}: {error.reason or 'no answer'}")
    return StorageError(FAILED, f"{code}: {error.reason}")
