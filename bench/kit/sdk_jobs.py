"""The peer of `remote_jobs` and `delay`: the official SDK, its jobs in a pool of threads.

    python -m bench.kit.sdk_jobs THREADS JOBS FOLDER SOURCE [staged|convert]

staged   create unstarted, add the input, start, wait, download: the order that survives a lost answer
convert  the SDK's shortest way, which starts with the creation: fewer requests, and a lost answer buys twice

It is given a session that keeps a connection for every thread: with its own, which keeps 20, it closes and opens
connections all the time, and in 32 threads sometimes one that another thread uses ("Bad file descriptor").
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from api2convert import Api2Convert


def staged(client: Api2Convert, source: str, path: Path) -> None:
    job = client.jobs.create({"process": False, "conversion": [{"category": "image", "target": "jpg"}]})
    client.jobs.add_input(job.id, {"type": "remote", "source": source})
    client.jobs.start(job.id)
    done = client.jobs.wait(job.id)
    client.download(done.output[0]).save(path)


def convert(client: Api2Convert, source: str, path: Path) -> None:
    client.convert(source, "jpg", category="image").save(path)


def main(threads: int, jobs: int, folder: Path, source: str, way: str) -> None:
    do = {"staged": staged, "convert": convert}[way]
    base_url = os.environ["API2CONVERT_BASE_URL"]
    http = httpx.Client(timeout=30.0, limits=httpx.Limits(max_connections=100, max_keepalive_connections=100))
    with http, Api2Convert(base_url=base_url, http_client=http) as client, ThreadPoolExecutor(threads) as pool:
        started = [
            pool.submit(do, client, f"{source}/{number}.png", folder / f"{number}.jpg") for number in range(jobs)
        ]
        for one in started:
            one.result()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5])
