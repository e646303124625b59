"""Whether the endpoint can be reached at all, for whoever has to stop waiting for it."""

from __future__ import annotations

from dataclasses import dataclass

from runner.client.errors import ApiUnreachableError


@dataclass(kw_only=True, slots=True)
class Contact:
    """`lost` is why the latest try got no connection; None where it got one, or before there was any."""

    lost: ApiUnreachableError | None = None
