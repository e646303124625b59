"""Objects in cloud storage: 1 GiB at 0.8 of the bare library's speed, 1,000 small ones 5 times as fast as in turn.

1 GiB: our transfer (hashed on the way, never overwriting) and the library alone, in processes of their own, against
the same server: SeaweedFS for S3, Azurite, vsftpd. Memory may rise by 200 MiB. Google's stand-in is written in Python
and would be measured itself.

1,000 objects of 2 KiB: fetched 16 at once, as the local server does, and one after the other, over a line that takes
10 ms each way, as a provider's does: on loopback alone there is nothing to wait for.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.processes import PYTHON, output, serving
from bench.kit.rounds import Pair
from tests.server.storage.azurite import azurite
from tests.server.storage.remote import Remote
from tests.server.storage.seaweed import seaweed
from tests.server.storage.vsftpd import vsftpd

GIB = 1 << 30
MOST_MIB = 200.0
DELAY_S = 0.01
AT_ONCE = 16
SMALL_BYTES = 2048

Servers = Mapping[str, Callable[[Path], AbstractContextManager[Remote]]]
SERVERS: Servers = {
    "S3": lambda folder: seaweed(folder, volumes=100),
    "Azure": lambda folder: azurite(folder / "data"),
    "FTP": lambda _: vsftpd(secure=False),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    wall_s: float
    risen_mib: float


def measure(setup: Setup) -> Iterator[Figure]:
    big = setup.folder / "big.bin"
    size = setup.count(GIB, GIB // 8)
    dice = random.Random(1)
    with big.open("wb") as file:
        for _ in range(size // (1 << 23)):
            file.write(dice.randbytes(1 << 23))
    for name, start in SERVERS.items():
        with start(setup.subfolder(name)) as remote:
            yield from _big(setup, name, remote, big)
            if name == "S3":
                yield _small(setup, remote)


def _big(setup: Setup, name: str, remote: Remote, big: Path) -> Iterator[Figure]:
    ups: list[Pair] = []
    downs: list[Pair] = []
    risen = 0.0
    back = setup.folder / "back.bin"
    for number in range(setup.count(4, 2)):
        moved: dict[str, dict[str, Moved]] = {"up": {}, "down": {}}
        for side in ("ours", "library") if number % 2 == 0 else ("library", "ours"):  # who goes first has a clean cache
            object_name = f"{side}-{number}.bin"
            os.sync()
            moved["up"][side] = _moved(setup, remote, side, ups=[(object_name, big)])
            os.sync()
            moved["down"][side] = _moved(setup, remote, side, downs=[(object_name, back)])
            back.unlink()
            remote.remove(object_name)
        risen = max(risen, *(moved[way]["ours"].risen_mib for way in moved))
        for way, pairs in (("up", ups), ("down", downs)):
            pairs.append(Pair(ours=moved[way]["ours"].wall_s, peer=moved[way]["library"].wall_s))
    size = f"{big.stat().st_size / GIB:g} GiB"
    yield compared(f"{name}: {size} out", ups, least=0.8, speed=True)
    yield compared(f"{name}: {size} in", downs, least=0.8, speed=True)
    rise = f"{risen:.0f} MiB"
    yield Figure(what=f"{name}: memory", ours=rise, peer="a limit", value=risen, unit=" MiB", most=MOST_MIB)


def _small(setup: Setup, remote: Remote) -> Figure:
    count = setup.count(1_000, 100)
    names = [f"small/{number:04}" for number in range(count)]
    for name in names:
        remote.put(name, random.Random(name).randbytes(SMALL_BYTES))
    into = setup.subfolder("small")
    downs = [(name, into / name.replace("/", "-")) for name in names]
    port = urlsplit(remote.endpoint["s3_endpoint"]).port
    command = [PYTHON, "-m", "bench.kit.slow_line", str(port), str(DELAY_S)]
    with serving(command, folder=setup.folder) as (_, line):
        slow = remote.behind(f"http://127.0.0.1:{int(line)}")
        at_once = _moved(setup, slow, "ours", downs=downs, at_once=AT_ONCE)
        in_turn = _moved(setup, slow, "ours", downs=downs)
    pair = Pair(ours=at_once.wall_s, peer=in_turn.wall_s)
    what = f"S3: {count:,} of 2 KiB, {AT_ONCE} at once, against one after the other"
    return compared(what, [pair], least=5.0, speed=True, note=f"{DELAY_S * 1000:g} ms each way")


def _moved(
    setup: Setup,
    remote: Remote,
    side: str,
    *,
    ups: Sequence[tuple[str, Path]] = (),
    downs: Sequence[tuple[str, Path]] = (),
    at_once: int = 1,
) -> Moved:
    plan = {
        "side": side,
        "provider": remote.provider,
        "parameters": dict(remote.parameters),
        "credentials": dict(remote.credentials),
        "site": dict(remote.endpoint),
        "at_once": at_once,
        "ups": [[name, str(path)] for name, path in ups],
        "downs": [[name, str(path)] for name, path in downs],
    }
    file = setup.folder / "storing.json"
    file.write_text(json.dumps(plan))
    return Moved(**json.loads(output([PYTHON, "-m", "bench.kit.storing", str(file)], folder=setup.folder)))
