"""Moving objects in a process of its own: `python -m bench.kit.storing PLAN`, ours or by the bare library.

The plan is JSON: {"side": "ours"|"library", "provider", "parameters", "credentials", "site": {...}, "at_once",
"downs": [[name, path]], "ups": [[name, path]]}. Prints {"wall_s", "risen_mib"}. Both sides hash what they fetch, as
the API's checksum asks for; loading the libraries isn't counted.
"""

from __future__ import annotations

import ftplib
import hashlib
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import boto3
from azure.storage.blob import ContainerClient
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from bench.kit.processes import memory_mib
from runner.server.storage.places import place_of
from runner.server.storage.protocol import Site, Upload
from runner.server.storage.table import SERVED
from runner.server.storage.transfer import Order, deliver, fetch

Move = Callable[[str, Path], None]
GIB = 1 << 30


def _ours(plan: dict[str, Any]) -> tuple[Move, Move]:
    importlib.import_module(SERVED[plan["provider"]].module)
    site = Site(allowed=(ip_network("127.0.0.0/8"),), **plan["site"])

    def place(name: str) -> Any:
        return place_of(plan["provider"], {**plan["parameters"], "file": name}, plan["credentials"])

    def down(name: str, path: Path) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        order = Order(path=path, most_bytes=16 * GIB, too_large="", stopped=threading.Event(), digest=digest)
        fetch(place(name), site, order)

    def up(name: str, path: Path) -> None:
        size = path.stat().st_size
        content_type = "application/octet-stream"
        upload = Upload(path=path, size=size, content_type=content_type, token=name, stopped=threading.Event())
        deliver(place(name), site, upload)

    return down, up


def _summed(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "md5")


def _boto3(plan: dict[str, Any]) -> tuple[Move, Move]:
    secrets, bucket = plan["credentials"], plan["parameters"]["bucket"]
    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        endpoint_url=plan["site"]["s3_endpoint"],
        aws_access_key_id=secrets["accesskeyid"],
        aws_secret_access_key=secrets["secretaccesskey"],
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )
    config = TransferConfig()

    def down(name: str, path: Path) -> None:
        client.download_file(bucket, name, str(path), Config=config)
        _summed(path)

    return down, lambda name, path: client.upload_file(str(path), bucket, name, Config=config)


def _azure(plan: dict[str, Any]) -> tuple[Move, Move]:
    account = plan["credentials"]["accountname"]
    url = f"{plan['site']['azure_endpoint']}/{account}"
    secret = {"account_name": account, "account_key": plan["credentials"]["accountkey"]}
    container = ContainerClient(url, container_name=plan["parameters"]["container"], credential=secret)

    def down(name: str, path: Path) -> None:
        with path.open("wb") as file:
            container.download_blob(name).readinto(file)
        _summed(path)

    def up(name: str, path: Path) -> None:
        with path.open("rb") as file:
            container.upload_blob(name, file)

    return down, up


def _ftplib(plan: dict[str, Any]) -> tuple[Move, Move]:
    """A session for each file, as ours has it, and to its end.

    The login is part of both sides. So is the answer to QUIT: vsftpd says that a transfer is complete before it closes
    the file, which takes half a second for 1 GiB, and answers nothing until then. Ours asks for the size and renames.
    """

    @contextmanager
    def session() -> Iterator[ftplib.FTP]:
        with ftplib.FTP() as ftp:
            ftp.connect(plan["parameters"]["host"], plan["parameters"]["port"])
            ftp.login(plan["credentials"]["username"], plan["credentials"]["password"])
            yield ftp

    def down(name: str, path: Path) -> None:
        with path.open("wb") as file, session() as ftp:
            ftp.retrbinary(f"RETR {name}", file.write, blocksize=256 * 1024)
        _summed(path)

    def up(name: str, path: Path) -> None:
        with path.open("rb") as file, session() as ftp:
            ftp.storbinary(f"STOR {name}", file, blocksize=256 * 1024)

    return down, up


LIBRARIES = {"amazons3": _boto3, "azure": _azure, "ftp": _ftplib}


def _all(pool: ThreadPoolExecutor, move: Move, rows: Iterable[tuple[str, str]]) -> None:
    for _ in pool.map(lambda row: move(row[0], Path(row[1])), rows):
        pass


def main(file: str) -> None:
    plan = json.loads(Path(file).read_text())
    down, up = _ours(plan) if plan["side"] == "ours" else LIBRARIES[plan["provider"]](plan)
    before = memory_mib(os.getpid(), "VmHWM")
    began = time.perf_counter()
    with ThreadPoolExecutor(plan["at_once"]) as pool:
        _all(pool, down, plan["downs"])
        _all(pool, up, plan["ups"])
    wall_s = time.perf_counter() - began
    print(json.dumps({"wall_s": wall_s, "risen_mib": memory_mib(os.getpid(), "VmHWM") - before}))


if __name__ == "__main__":
    main(sys.argv[1])
