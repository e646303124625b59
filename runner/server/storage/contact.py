"""Speaking with a provider, whichever it is: one shape for all that goes wrong, and patience where that helps.

Messages are scrubbed of the job's credentials, which providers sometimes repeat in their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event

from runner.server.storage.patience import Patience
from runner.server.storage.patience import patiently as try_patiently
from runner.server.storage.protocol import FAILED, TOO_LARGE, TOO_SLOW, Broken, Place, Site, StorageError, Store
from runner.server.storage.table import SERVED
from runner.wire.values import Json

_HOLDERS = ("host", "bucket", "container")
# Shorter values are words: hiding them would tear messages apart, and "sk" is no secret worth the name.
_LEAST_SECRET = 4
# Names, which a message may say; most of a key file is known to anyone.
_NO_SECRETS = frozenset(
    {"username", "accountname", "type", "project_id", "client_email", "client_id", "token_uri", "auth_uri"}
)


def connected(place: Place, site: Site) -> Store:
    return SERVED[place.provider].connect(place, site)


def patiently(
    place: Place,
    site: Site,
    stopped: Event,
    attempt: Callable[[], None],
    *,
    progress: Callable[[], int] = lambda: 0,
    ends_at: float = math.inf,
    too_slow: str = "",
) -> None:
    """Try again as far as the site's patience goes, as many at once as the place bears.

    Raises StorageError, Stopped.
    """
    holder = next((place.parameters[one] for one in _HOLDERS if one in place.parameters), "")
    patience = Patience(attempts=site.attempts, busy_s=site.busy_s, ends_at=ends_at, too_slow=too_slow)
    try_patiently(patience, stopped, attempt, progress, gate=site.gates.of(place.provider, holder))


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
