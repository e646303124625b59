"""2,000 files of 10 KiB up and down, 64 at once, and one of 1 GiB, against curl with `sha256sum`: within 1.5 times.

The server is the small one of `kit/fake_api.py`, which keeps no upload, so that the clients are what is measured;
`big_file` measures the local server. Ours hashes twice as it goes (SHA-256 for us, MD5 for the API's checksum), checks
what it downloaded, and gives a file its name when it is whole; the peer's sums are of the files afterwards. Starting
the interpreter isn't counted, starting curl is.
"""

from __future__ import annotations

import json
import os
import random
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.kit.api import KEY, FakeApi, fake_api
from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.rounds import Pair
from bench.kit.transfer import Download, Upload, curl, ours
from runner.wire.values import as_int, as_list, as_object, as_text

AT_ONCE = 64
SMALL_BYTES = 10 * 1024
GIB = 1 << 30


def measure(setup: Setup) -> Iterator[Figure]:
    many, big = setup.count(2_000, 500), setup.count(GIB, GIB // 8)
    for what, count, size, at_once in (
        (f"{many:,} files of 10 KiB", many, SMALL_BYTES, AT_ONCE),
        (f"one file of {big / GIB:g} GiB", 1, big, 1),
    ):
        with fake_api(setup.folder, output_bytes=size) as api:
            ups, downs = _files(setup.subfolder(str(size)), api, count, size)
            up, down = [], []
            for _ in range(setup.count(5, 2)):
                mine = ours(setup.folder, api.base_url, KEY, at_once=at_once, ups=ups)
                up.append(Pair(ours=mine.wall_s, peer=curl(setup.folder, at_once=at_once, ups=ups)))
                mine = ours(setup.folder, api.base_url, KEY, at_once=at_once, downs=_into(setup.fresh("ours"), downs))
                peer = curl(setup.folder, at_once=at_once, downs=_into(setup.fresh("curl"), downs))
                down.append(Pair(ours=mine.wall_s, peer=peer))
        yield compared(f"{what} up", up, most=1.5)
        yield compared(f"{what} down", down, most=1.5, note=f"memory rose by {mine.risen_mib:.0f} MiB")


def _files(folder: Path, api: FakeApi, count: int, size: int) -> tuple[list[Upload], list[Download]]:
    ups, downs = [], []
    for number in range(count):
        path = folder / f"{number:04}.bin"
        _fill(path, size, seed=number)
        job, output = _finished_job(api)
        ups.append(Upload(job=job, server=api.server, token="bench", path=path))
        downs.append(
            Download(
                uri=as_text(output["uri"]),
                size=as_int(output["size"]),
                checksum=as_text(output["checksum"]),
                path=Path(f"{number:04}.down"),
            )
        )
    os.sync()  # else the first round would share the disk with this
    return ups, downs


def _into(folder: Path, downs: Sequence[Download]) -> list[Download]:
    """The same, into `folder`, where nothing lies yet: writing over files costs more than the transfers."""
    return [replace(one, path=folder / one.path) for one in downs]


def _fill(path: Path, size: int, *, seed: int) -> None:
    dice = random.Random(seed)
    block = 1 << 20
    with path.open("wb") as file:
        for at in range(0, size, block):
            file.write(dice.randbytes(min(block, size - at)))


def _finished_job(api: FakeApi) -> tuple[str, dict[str, object]]:
    with urllib.request.urlopen(f"{api.base_url}/jobs", data=b'{"process": true}') as answer:
        job = as_text(json.load(answer)["id"])
    with urllib.request.urlopen(f"{api.base_url}/jobs/{job}") as answer:
        return job, dict(as_object(as_list(json.load(answer)["output"])[0]))
