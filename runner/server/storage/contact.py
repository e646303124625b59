"""Speaking with a provider, whichever it is: one shape for all that goes wrong, and patience where that helps.

Messages are scrubbed of the job's credentials, which providers sometimes repeat in their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event

from runner.server.storage.protocol import (
    FAILED,
    TOO_LARGE,
    TOO_SLOW,
    Broken,
    Place,
    Site,
    Stopped,
    StorageError,
    Store,
)
from runner.server.storage.table import SERVED
from runner.wire.values import Json

_FIRST_WAIT_S = 0.2
# Shorter values are words: hiding them would tear messages apart, and "sk" is no secret worth the name.
_LEAST_SECRET = 4
# Names, which a message may say; most of a key file is known to anyone.
_NO_SECRETS = frozenset(
    {"username", "accountname", "type", "project_id", "client_email", "client_id", "token_uri", "auth_uri"}
)


def connected(place: Place, site: Site) -> Store:
    return SERVED[place.provider].connect(place, site)


def patiently(site: Site, stopped: Event, attempt: Callable[[], None], progress: Callable[[], int]) -> None:
    """Try again where the connection broke, more and more slowly; what got further may break as often again."""
    left, reached, wait_s = site.attempts, progress(), _FIRST_WAIT_S
    while True:
        try:
            attempt()
            return
        except Broken as error:
            if progress() > reached:
                left, reached, wait_s = site.attempts, progress(), _FIRST_WAIT_S
            left -= 1
            if left <= 0:
                raise StorageError(FAILED, f"the connection broke, {site.attempts} times in a row: {error}") from error
        if stopped.wait(wait_s):
            raise Stopped
        wait_s *= 2


@contextmanager
def named(place: Place) -> Iterator[None]:
    """Every failure under the place's name, without what the provider repeats of the credentials, and without a
    traceback that leads to them."""
    try:
        yield
    except StorageError as error:
        message = error.message if error.code in (TOO_LARGE, TOO_SLOW) else f"{place.name}: {error.message}"
        raise StorageError(error.code, scrubbed(message, place.credentials)) from None
    except Broken as error:
        message = scrubbed(f"{place.name}: {error}", place.credentials)
        raise StorageError(FAILED, message) from None


def scrubbed(message: str, credentials: Json) -> str:
    """`message` with every value of `credentials` blotted out, longest first."""
    for secret in sorted(set(_secrets(credentials)), key=len, reverse=True):
        message = message.replace(secret, "***")
    return message


def _secrets(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _NO_SECRETS:
                yield from _secrets(inner)
    elif isinstance(value, str) and len(value) >= _LEAST_SECRET:
        yield value
