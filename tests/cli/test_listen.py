"""`runner listen`: what can be known to be wrong before the first callback comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Runner = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("url", ["foo", "ftp://x/y", "http://", "", "http://a:99999/", "http://u:p4ss@h/"])
def test_an_address_that_can_never_be_posted_to_is_refused_at_the_start(
    runner: Runner, tmp_path: Path, url: str
) -> None:
    done = runner("listen", "--forward", url, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Invalid value for '--forward': the URL " in done.stderr
    assert "callback" not in done.stderr
    assert "p4ss" not in done.stderr
