"""Sends a file of 96 MiB up and down and prints by how many bytes the process grew: a process of its own."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from runner.client.api import ConversionApi
from runner.client.endpoint import Endpoint
from runner.client.http import open_http
from runner.client.transfer import Transfer
from runner.wire.job import read_job

MIB = 1 << 20
SIZE = 96 * MIB
BLOCK = bytes(MIB)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if head.startswith("POST"):
        left = int(head.lower().partition("content-length:")[2].split()[0])
        while left:
            left -= len(await reader.read(min(left, MIB)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    else:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        for _ in range(SIZE // MIB):
            writer.write(BLOCK)
            await writer.drain()
    await writer.drain()
    writer.close()


async def both_ways(folder: Path) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    endpoint = Endpoint(name="loopback", base_url=url, api_key="key")
    big = folder / "big.bin"
    with big.open("wb") as file:
        file.truncate(SIZE)
    async with open_http(endpoint) as http:
        transfer = Transfer(api=ConversionApi(endpoint=endpoint, http=http))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        job = read_job({"id": "j", "token": "t", "server": url, "output": [{"uri": f"{url}/o", "size": SIZE}]})
        sent, _ = await transfer.upload(job, big, filename="big.bin", size_bytes=SIZE)
        with (folder / "down.bin").open("w+b") as into:
            got = await transfer.download(job.outputs[0], into)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server.close()
    assert sent == got
    print((after - before) * 1024)


if __name__ == "__main__":
    asyncio.run(both_ways(Path(sys.argv[1])))
