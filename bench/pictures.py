"""60 pictures of 12 megapixels to webp through the local server: at least 0.8 of the bare library's pace.

The peer is Pillow in a loop, in as many processes as the server has workers. Ours is the whole command: the start
of runner and server, every upload, conversion and download, all durable.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.kit.conversions import bare, through_the_server
from bench.kit.figures import Figure, compared
from bench.kit.pictures import photos
from bench.kit.plan import Setup
from bench.kit.rounds import rounds


def measure(setup: Setup) -> Iterator[Figure]:
    count = setup.count(60, 6)
    source = setup.subfolder("photos")
    photos(source, count)
    pairs = rounds(
        setup.count(3, 2),
        lambda: through_the_server(setup, pattern="photos/*.jpg").wall_s,
        lambda: bare(setup, source=source).wall_s,
        warm_up=False,
    )
    yield compared(f"{count} pictures of 12 megapixels to webp, pace", pairs, least=0.8, speed=True)
