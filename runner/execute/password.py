"""What opens the outputs of a protected job: any of the job's passwords, or the conversion's own."""

from __future__ import annotations

from runner.errors import InvalidError
from runner.wire.headers import is_sendable
from runner.wire.values import Json, JsonObject, as_list, as_object, as_text


def download_password(payload: JsonObject) -> Json:
    """The password that downloads are made with, or the reference that stands for it; "" where none is needed."""
    options = (as_object(as_object(row).get("options")) for row in as_list(payload.get("conversion")))
    own = [each["download_password"] for each in options if each.get("download_password")]
    return next(iter(as_list(payload.get("download_passwords")) + own), "")


def require_sendable(password: Json) -> str:
    """`password`, which goes with downloads as a header. Raises InvalidError, which doesn't show it."""
    text = as_text(password)
    if not is_sendable(text):
        raise InvalidError(
            "the download password has a character that isn't printable ASCII, or a blank at an end: "
            "no download can carry it",
            hint="see what its reference in the recipe stands for: an environment variable, a file or the keyring",
        )
    return text
