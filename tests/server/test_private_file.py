from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from runner.server.private_file import kept_in


def test_of_many_makers_at_once_one_wins_and_leaves_nothing_else(tmp_path: Path) -> None:
    makers = 8
    for again in range(50):
        path = tmp_path / str(again) / "key"
        ready = Barrier(makers)

        def make(path: Path = path, ready: Barrier = ready) -> bytes:
            def after_all_have_looked() -> bytes:
                ready.wait(10)
                return os.urandom(16)

            return kept_in(path, after_all_have_looked)

        with ThreadPoolExecutor(makers) as pool:
            held = {one.result(10) for one in [pool.submit(make) for _ in range(makers)]}

        assert held == {path.read_bytes()}
        assert [one.name for one in path.parent.iterdir()] == ["key"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_kept_is_not_made_again(tmp_path: Path) -> None:
    first = kept_in(tmp_path / "key", lambda: b"once")

    assert (first, kept_in(tmp_path / "key", lambda: b"twice")) == (b"once", b"once")
