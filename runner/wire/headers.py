"""Header names; the first of each family is canonical, the other a permanent alias."""

from __future__ import annotations

API_KEY = ("X-Api2convert-Api-Key", "X-Oc-Api-Key")
TOKEN = ("X-Api2convert-Token", "X-Oc-Token")
DOWNLOAD_PASSWORD = ("X-Api2convert-Download-Password", "X-Oc-Download-Password")
DOWNLOAD_PASSWORD_COOKIE = "x-oc-download-password"
UPLOAD_ID = "x-oc-upload-uuid"
SIGNATURE = "X-Oc-Signature"
TOTAL_COUNT = "X-Count"
REQUEST_ID = "X-Request-Id"
IDEMPOTENCY_KEY = "Idempotency-Key"


def is_sendable(value: str) -> bool:
    """Whether a header carries `value` as it is. Source: RFC 9110, section 5.5."""
    return value.isascii() and value.isprintable() and value == value.strip()
