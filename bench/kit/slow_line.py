"""A line that takes its time: `python -m bench.kit.slow_line PORT DELAY_S` passes everything on to PORT, late.

Prints its own port when it is ready. Every piece waits DELAY_S in both directions; pieces don't wait for each other.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

PIECE = 256 * 1024


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def hand_over() -> None:
        while True:
            due, piece = await late.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                writer.close()
                return
            writer.write(piece)

    handing = asyncio.create_task(hand_over())
    try:
        while True:
            piece = await reader.read(PIECE)
            late.put_nowait((loop.time() + delay_s, piece))
            if not piece:
                break
    except ConnectionError:
        late.put_nowait((loop.time(), b""))
    await handing


async def main(port: int, delay_s: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ways: list[Coroutine[Any, Any, None]] = [_carry(reader, back, delay_s), _carry(there, writer, delay_s)]
        await asyncio.gather(*ways, return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
