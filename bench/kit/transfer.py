"""Both sides of a transfer: ours in a process of its own, and curl with `sha256sum` over the same bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.kit.processes import PYTHON, UnexpectedExit, output
from runner.wire.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    job: str
    server: str
    token: str
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    uri: str
    size: int
    checksum: str
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    wall_s: float
    cpu_s: float
    risen_mib: float


def ours(
    folder: Path, base_url: str, key: str, *, at_once: int, ups: Sequence[Upload] = (), downs: Sequence[Download] = ()
) -> Moved:
    plan: Mapping[str, Json] = {
        "base_url": base_url,
        "api_key": key,
        "at_once": at_once,
        "uploads": [
            {
                "job": one.job,
                "server": one.server,
                "token": one.token,
                "path": str(one.path),
                "size": one.path.stat().st_size,
            }
            for one in ups
        ],
        "downloads": [
            {"uri": one.uri, "size": one.size, "checksum": one.checksum, "path": str(one.path)} for one in downs
        ],
    }
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    return Moved(**json.loads(output([PYTHON, "-m", "bench.kit.moving", str(file)], folder=folder)))


def curl(folder: Path, *, at_once: int, ups: Sequence[Upload] = (), downs: Sequence[Download] = ()) -> float:
    """Seconds of curl over all, `at_once` in parallel, and of `sha256sum` over the same files."""
    config = folder / "curl.txt"
    config.write_text("next\n".join([*map(_upload, ups), *map(_download, downs)]))
    sums = folder / "sums.txt"
    sums.write_text("".join(f"{path}\0" for path in [*(one.path for one in ups), *(one.path for one in downs)]))
    parallel = ["-Z", "--parallel-max", str(at_once)] if at_once > 1 else []
    began = time.perf_counter()
    codes = output(["curl", "-sS", *parallel, "-K", str(config)], folder=folder)
    output(["xargs", "-0", "-n", "500", "-a", str(sums), "sha256sum"], folder=folder)
    wall_s = time.perf_counter() - began
    if wrong := [code for code in codes.split() if code != "200"]:
        raise UnexpectedExit(f"curl got {len(wrong)} refusals, such as {wrong[0]}")
    return wall_s


def _upload(one: Upload) -> str:
    return (
        f'url = "{one.server}/upload-file/{one.job}"\nform = "file=@{one.path}"\n'
        f'header = "X-Api2convert-Token: {one.token}"\noutput = "/dev/null"\nwrite-out = "%{{http_code}}\\n"\n'
    )


def _download(one: Download) -> str:
    return f'url = "{one.uri}"\noutput = "{one.path}"\nwrite-out = "%{{http_code}}\\n"\n'
