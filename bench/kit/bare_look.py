"""The least that a look at everything takes: `python -m bench.kit.bare_look FOLDER` stats every source and every
result there, and reads what the run log says of each key. It compares nothing and decides nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import orjson


def main(folder: Path) -> None:
    seen = sum(1 for part in ("pictures", "out") for _ in _stats(folder / part))
    log = apsw.Connection(str(folder / ".runner" / "runs.db"), flags=apsw.SQLITE_OPEN_READONLY)
    known = {key: orjson.loads(state) for key, state in log.execute("SELECT key, state FROM keys")}
    print(f"{seen} files, {len(known)} keys")


def _stats(folder: Path) -> Iterator[os.stat_result]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _stats(Path(entry.path))
            else:
                yield entry.stat()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
