"""Where the key lies that seals secrets of jobs, unless a flag says otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def default_seal_key() -> Path | None:
    """In the user's folder for state, apart from every server's own folder, which may be copied or committed.

    None for a user without a home: then nothing is sealed for longer than the server runs.

    Source: XDG Base Directory Specification; a path that isn't absolute counts as not set.
    """
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        home = given if given.is_absolute() else Path("~/.local/state").expanduser()
    except RuntimeError:
        return None
    return home / "conversion-runner" / "seal.key"
