"""A file of 1 GiB through the local server: constant memory, and within 1.5 times of curl with `sha256sum`.

Memory: one `runner run` of a TIFF of 1 GiB (pages of noise, which no compression makes smaller) into another TIFF
that is larger still, so that both ways are real. The peaks of runner and server must stay under 150 MiB above their
start: for the server where it stood when it was ready, for the runner the peak of the same run with a tiny file.
The conversion's own process isn't counted: it holds pictures.

Time: the same file up to the local server, and that run's result down, by our transfer and by curl.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from bench.kit.figures import Figure, compared
from bench.kit.local_server import LocalServer, local_server
from bench.kit.plan import Setup
from bench.kit.processes import RUNNER, UnexpectedExit, environment, memory_mib
from bench.kit.recipes import convert_files
from bench.kit.rounds import Pair
from bench.kit.transfer import Download, Upload, curl, ours
from runner.wire.values import as_int, as_list, as_object, as_text

PAGE = (4000, 3000)
PAGES = 22  # of four bytes a pixel; more pixels together are refused
MOST_MIB = 150.0


def measure(setup: Setup) -> Iterator[Figure]:
    big = _noise(setup.folder / "big.tiff", PAGE, setup.count(PAGES, 3))
    _noise(setup.folder / "tiny.tiff", (8, 8), 1)
    with local_server(setup.folder) as server:
        start_mib = memory_mib(server.pid, "VmRSS")
        tiny_mib = _run(setup.folder, "tiny", server)
        big_mib = _run(setup.folder, "big", server)
        gib = big.stat().st_size / (1 << 30)
        yield _memory(f"peak memory of runner, {gib:.2f} GiB over a tiny file", big_mib, tiny_mib)
        yield _memory("peak memory of server over its start", memory_mib(server.pid, "VmHWM"), start_mib)
        count = setup.count(3, 2)
        yield compared(f"upload of {gib:.2f} GiB", [_up(setup, server, big) for _ in range(count)], most=1.5)
        result = _result(setup, server)
        down = [_down(setup, server, result) for _ in range(count)]
        yield compared(f"download of {result.size / (1 << 30):.2f} GiB", down, most=1.5)


def _noise(path: Path, size: tuple[int, int], pages: int) -> Path:
    dice = random.Random(1)
    pictures = (Image.frombytes("RGBA", size, dice.randbytes(size[0] * size[1] * 4)) for _ in range(pages))
    next(pictures).save(path, save_all=True, append_images=pictures)
    return path


def _run(folder: Path, name: str, server: LocalServer) -> float:
    """Peak memory of `runner run`, in MiB, looked at until it ends."""
    recipe = convert_files(folder, name=name, pattern=f"{name}.tiff", target="tiff")
    command = [RUNNER, "run", str(recipe), "--state", str(folder / "state")]
    process = subprocess.Popen(command, cwd=folder, env=environment(server.env), stderr=subprocess.PIPE)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, memory_mib(process.pid, "VmHWM"))
        time.sleep(0.01)
    words = process.communicate()[1]
    if process.returncode:
        raise UnexpectedExit(f"{' '.join(command)} ended with {process.returncode}: {words.decode()[-2000:]}")
    return peak


def _memory(what: str, peak: float, start: float) -> Figure:
    return Figure(
        what=what, ours=f"{peak:.0f} MiB", peer=f"{start:.0f} MiB", value=peak - start, unit=" MiB", most=MOST_MIB
    )


def _up(setup: Setup, server: LocalServer, big: Path) -> Pair:
    took = []
    for way in ("ours", "curl"):
        job = server.new_job()
        upload = Upload(job=as_text(job["id"]), server=as_text(job["server"]), token=as_text(job["token"]), path=big)
        os.sync()
        if way == "ours":
            took.append(ours(setup.folder, server.base_url, server.api_key, at_once=1, ups=[upload]).wall_s)
        else:
            took.append(curl(setup.folder, at_once=1, ups=[upload]))
        server.ask("DELETE", f"/jobs/{upload.job}")
    return Pair(ours=took[0], peer=took[1])


def _result(setup: Setup, server: LocalServer) -> Download:
    """The largest output there is: that of the run."""
    documents = [as_object(job) for job in as_list(server.ask("GET", "/jobs"))]
    outputs = [as_object(output) for job in documents for output in as_list(job.get("output"))]
    output = max(outputs, key=lambda one: as_int(one["size"]))
    return Download(
        uri=as_text(output["uri"]),
        size=as_int(output["size"]),
        checksum=as_text(output["checksum"]),
        path=setup.folder / "down.tiff",
    )


def _down(setup: Setup, server: LocalServer, result: Download) -> Pair:
    shutil.rmtree(setup.folder / "out", ignore_errors=True)
    os.sync()
    mine = ours(setup.folder, server.base_url, server.api_key, at_once=1, downs=[result]).wall_s
    result.path.unlink()
    os.sync()
    peer = curl(setup.folder, at_once=1, downs=[result])
    result.path.unlink()
    return Pair(ours=mine, peer=peer)
