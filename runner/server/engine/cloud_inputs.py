"""Inputs of type `cloud`: fetched with the job's credentials, which are forgotten as soon as the file is here."""

from __future__ import annotations

from pathlib import PurePosixPath

from runner.server.config import ServerConfig
from runner.server.engine.remote import Fetched, InputError, Order
from runner.server.jobs.record import Input
from runner.server.storage import transfer
from runner.server.storage.places import place_of
from runner.server.storage.protocol import Site, Stopped, StorageError
from runner.wire.values import JsonObject

LOST_CREDENTIALS = 424
LOST_CREDENTIALS_MESSAGE = (
    "The credentials can't be opened any more, since the server was restarted without its key; send the job again. "
    "Nothing was charged"
)


def site_of(config: ServerConfig) -> Site:
    return Site(
        s3_endpoint=config.s3_endpoint,
        gcs_endpoint=config.gcs_endpoint,
        azure_endpoint=config.azure_endpoint,
        allowed=config.allow_private,
        silence_s=config.storage_silence_s,
    )


def fetch_cloud(entry: Input, credentials: JsonObject | None, site: Site, order: Order) -> Fetched:
    """In a thread: write the object to the order's file; raises InputError, OSError for our disk."""
    if entry.sealed and credentials is None:
        raise InputError(LOST_CREDENTIALS, LOST_CREDENTIALS_MESSAGE)
    try:
        place = place_of(entry.source, entry.parameters, credentials or {})
        got = transfer.fetch(
            place,
            site,
            transfer.Order(
                path=order.path,
                most_bytes=order.most_bytes,
                too_large=order.too_large,
                stopped=order.stopped,
                digest=order.digest,
                reserve=order.reserve,
                most_s=order.most_s,
            ),
        )
    except StorageError as error:
        raise InputError(error.code, error.message) from None
    except Stopped:
        raise InputError(404, "The download was stopped") from None
    return Fetched(size=got.size, checksum=got.checksum, filename=PurePosixPath(place.parameters["file"]).name)
