"""What an exception means to the person who sent the file."""

from __future__ import annotations

import errno

import pytest

from runner.server.converters.protocol import ConversionError
from runner.server.workers.outcome import Code, Limits, refusal_of


def test_a_full_disk_is_named() -> None:
    with pytest.raises(OSError, match="space") as caught, open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        full.write(b"x")

    refused = refusal_of(caught.value, Limits())

    assert refused.code == Code.DISK_FULL
    assert "full" in refused.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConversionError(6037, "too large"), 6037),
        (MemoryError(), Code.MEMORY),
        (OSError(errno.ENOMEM, "x"), Code.MEMORY),
        (OSError(errno.EFBIG, "x"), Code.OUTPUT_SIZE),
        (OSError(errno.EDQUOT, "x"), Code.DISK_FULL),
        (OSError(errno.EIO, "x"), Code.BUG),
        (OSError("no number"), Code.BUG),
        (RecursionError(), Code.BUG),
    ],
)
def test_each_error_has_its_code(error: Exception, code: int) -> None:
    assert refusal_of(error, Limits()).code == code


def test_no_two_codes_are_the_same() -> None:
    numbers = [int(code) for code in Code]

    assert len(set(numbers)) == len(numbers)
    assert all(6900 <= number < 7000 for number in numbers)
