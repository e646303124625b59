"""Small pieces of work that crashes are rehearsed with, and what their results must look like on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.execute.lab import picture
from tests.execute.outside import Order

WIDTH = 12
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A recipe with its inputs in a folder of its own.

    results   files that must lie below `out` in the end, with their width and height
    attempts  how often the work is started in the end, each key and attempt once
    exit_code what the last run ends with
    run_log   URL of the run log, where it is no file
    """

    folder: Path
    results: Mapping[str, tuple[int, int]]
    attempts: int = 1
    exit_code: int = 0
    run_log: str = ""
    courier: bool = False

    def order(self, endpoint: str) -> Order:
        """To run it; several runs at once need a `result` each."""
        return Order(
            recipes=[str(self.recipe)],
            endpoint=endpoint,
            state=str(self.state),
            result=str(self.folder / "result.json"),
            run_log=self.run_log,
            courier=self.courier,
        )

    @property
    def recipe(self) -> Path:
        return self.folder / "work.recipe.json"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def wrong_files(self) -> list[str]:
        """What is wrong with the results: missing, not a picture of the right kind and size, or one too many."""
        found = {str(path.relative_to(self.out)) for path in self.out.rglob("*") if path.is_file()}
        wrong = [f"{name} was not asked for" for name in sorted(found - set(self.results))]
        for name, size in self.results.items():
            wrong += wrong_picture(self.out / name, size)
        return wrong


def wrong_picture(path: Path, size: tuple[int, int]) -> list[str]:
    try:
        with Image.open(path) as image:
            image.load()
            if (image.size, image.format) != (size, FORMATS[path.suffix[1:]]):
                return [f"{path} is {image.format} of {image.size}"]
    except OSError as error:
        return [f"{path}: {error}"]
    return []


Build = Callable[[Path, int, str], Scene]


def remote(folder: Path, seed: int, web: str) -> Scene:
    source = {"type": "remote", "source": f"{web}/{seed}.png"}
    _write(folder, input=[source], conversion=[_to("png", width=WIDTH)])
    return Scene(folder=folder, results={f"{seed}.png": (WIDTH, 8)})


def upload(folder: Path, seed: int, web: str) -> Scene:
    _pictures(folder, {"a.png": picture(seed)})
    _write(folder, input=[_file("in/a.png")], conversion=[_to("webp", width=WIDTH)])
    return Scene(folder=folder, results={"a.webp": (WIDTH, 8)})


def two_conversions(folder: Path, seed: int, web: str) -> Scene:
    _pictures(folder, {"a.png": picture(seed)})
    _write(folder, input=[_file("in/a.png")], conversion=[_to("webp"), _to("jpg", width=WIDTH)])
    return Scene(folder=folder, results={"a.webp": (24, 16), "a.jpg": (WIDTH, 8)})


def broken(folder: Path, seed: int, web: str) -> Scene:
    _pictures(folder, {"a.png": picture(seed)[:60]})
    _write(folder, input=[_file("in/a.png")], conversion=[_to("webp")])
    return Scene(folder=folder, results={}, exit_code=6)


def broken_with_retry(folder: Path, seed: int, web: str) -> Scene:
    _pictures(folder, {"a.png": picture(seed)[:60]})
    _write(folder, input=[_file("in/a.png")], conversion=[_to("webp")], retry=1)
    return Scene(folder=folder, results={}, attempts=2, exit_code=6)


def equal_bytes(folder: Path, seed: int, web: str) -> Scene:
    _pictures(folder, {"a.png": picture(seed), "b.png": picture(seed)})
    _write(
        folder,
        foreach={"files": "in/*.png"},
        input=[_file("{item.path}")],
        conversion=[_to("webp", width=WIDTH)],
    )
    return Scene(folder=folder, results={"a.webp": (WIDTH, 8), "b.webp": (WIDTH, 8)})


def budgeted(folder: Path, seed: int, web: str) -> Scene:
    _pictures(folder, {"a.png": picture(seed)})
    _write(
        folder,
        input=[_file("in/a.png")],
        conversion=[_to("webp", width=WIDTH)],
        limits={"job": {"max_credit": 3}},
        budget={"run": 3, "day": 3},
    )
    return Scene(folder=folder, results={"a.webp": (WIDTH, 8)})


def many(folder: Path, seed: int, web: str) -> Scene:
    _pictures(folder, {f"{number}.png": picture(seed + number) for number in range(8)})
    _write(
        folder,
        foreach={"files": "in/*.png"},
        input=[_file("{item.path}")],
        conversion=[_to("webp", width=WIDTH)],
    )
    return Scene(folder=folder, results={f"{number}.webp": (WIDTH, 8) for number in range(8)}, attempts=8)


SCENES: Sequence[Build] = (remote, upload, two_conversions, broken, broken_with_retry, equal_bytes, budgeted)


def _to(target: str, **options: int) -> dict[str, object]:
    return {"category": "image", "target": target, "options": options}


def _file(source: str) -> dict[str, object]:
    return {"type": "upload", "source": source}


def _pictures(folder: Path, contents: Mapping[str, bytes]) -> None:
    (folder / "in").mkdir(parents=True)
    for name, content in contents.items():
        (folder / "in" / name).write_bytes(content)


def _write(folder: Path, **recipe: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {"recipe": 1, "name": "work", "save": {"path": "out/{output.filename}"}, **recipe}
    (folder / "work.recipe.json").write_text(json.dumps(document, indent=2))


def texts(folder: Path, count: int, **recipe: object) -> Scene:
    """So many uploads of a few bytes each, for servers that convert nothing."""
    (folder / "in").mkdir(parents=True)
    for number in range(count):
        (folder / "in" / f"{number}.txt").write_text(f"text {number} of {folder}")
    _write(
        folder,
        **{"foreach": {"files": "in/*.txt"}, "input": [_file("{item.path}")], "conversion": [{"target": "pdf"}]}
        | recipe,
    )
    return Scene(folder=folder, results={})
