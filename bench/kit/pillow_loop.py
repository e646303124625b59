"""The peer of the picture benches: Pillow in a loop, in PROCESSES processes.

python -m bench.kit.pillow_loop PROCESSES FROM_FOLDER TO_FOLDER
"""

from __future__ import annotations

import multiprocessing
import sys
from functools import partial
from pathlib import Path

from PIL import Image

QUALITY = 80  # what the local server uses where a recipe says nothing


def convert(into: Path, path: Path) -> None:
    with Image.open(path) as picture:
        picture.save(into / f"{path.stem}.webp", quality=QUALITY)


def main(processes: int, source: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.map(partial(convert, into), sorted(source.iterdir()), chunksize=1)
        pool.close()
        pool.join()  # so that what the processes took is counted


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
