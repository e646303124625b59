"""A small world of recipes that change while runs and servers are killed: the soak and the state machine live on it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.execute.lab import Ended, Forge, Server, Verdict, Web, judge, picture
from tests.execute.outside import Order
from tests.execute.scenarios import wrong_picture

KILLED = -9
QUOTA = 4
FAILED = 6
ROUNDS_TO_SETTLE = 6
UNREACHABLE = 8
LOCKED = 75
MOST_JOBS = 4
MOST_CREATIONS = 3

# What goes wrong now and then on a server with faults: answers that are lost and refusals of every kind, at every step.
FAULTS = """
create drop-after 8%; create error-after=503 4%; create busy=0 6%; create quota=0 4%; create error-before=400 3%
start drop-after 30%; start error-after=502 15%; start drop-before 6%
start error-before=400 10%; start error-before=404 6%; start error-before=422 8%; start quota=0 12%; start busy=0 12%
upload drop-after 5%; upload quota=0 4%; upload busy=0 5%; download truncate 5%; download corrupt 4%
read drop-before 5%; read busy=0 5%; read error-before=503 4%; list error-before=404 20%; list drop-after 5%
"""
# Where a run can be killed; the crash matrix sees that there are no others.
POINTS = (
    "before RunStarted",
    "before Intent",
    "after Intent",
    "before POST /v2/jobs",
    "after POST /v2/jobs",
    "after Created",
    "amid a transfer",
    "after upload",
    "before Staged+Starting",
    "after Staged+Starting",
    "before PATCH /v2/jobs/*",
    "after PATCH /v2/jobs/*",
    "after Started",
    "before GET /v2/jobs/*",
    "before Finished",
    "after Finished",
    "before download",
    "before os.link",
    "before os.rename",
    "before os.remove",
    "before Delivered",
    "after Delivered",
    "before RunEnded",
)


@dataclass(frozen=True, kw_only=True)
class Kill:
    """Where a run dies, or where it kills the server."""

    point: str
    ordinal: int = 1
    server: bool = False


@dataclass(kw_only=True)
class Island:
    """A project with one log, its server, and two runners.

    pictures  seeds of the uploaded files by name; a negative one is a broken picture
    spoilt    results that somebody changed since they were delivered
    crashes   kills of runs so far: each may leave one unstarted job whose id nobody knows
    faults    what goes wrong on the server, but while the island settles
    faulty    runs that met such a server: each may leave unstarted jobs whose ids nobody knows
    seen      points that runs have passed, to die at
    run_log   URL of the run log, where it is no file
    """

    folder: Path
    server: Server
    web: Web
    forges: Sequence[Forge]
    first_seed: int
    pictures: dict[str, int] = field(default_factory=dict)
    width: int = 12
    epoch: int = 0
    out: str = "out/a"
    remote: int = 0
    retry: int = 0
    spoilt: set[Path] = field(default_factory=set)
    crashes: int = 0
    server_crashes: int = 0
    faults: str = ""
    faulty: int = 0
    seen: list[str] = field(default_factory=lambda: ["before RunStarted"])
    run_log: str = ""

    def __post_init__(self) -> None:
        (self.folder / "in").mkdir(parents=True)
        self.remote = 1
        for seed, name in enumerate(("a.png", "b.png", "c.png"), start=1):
            self.put(name, seed)
        self.put("twin.png", 1)
        self.put("broken.png", -1)

    # Edits

    def put(self, name: str, seed: int) -> None:
        """Write the picture of `seed`; of a negative one only its beginning."""
        content = picture(self.own(abs(seed)))
        (self.folder / "in" / name).write_bytes(content if seed > 0 else content[:60])
        self.pictures[name] = seed

    def own(self, seed: int) -> int:
        """`seed` made one of this island's: no two islands buy equal work of one server."""
        return self.first_seed << 41 | seed

    def drop(self, name: str) -> None:
        (self.folder / "in" / name).unlink()
        del self.pictures[name]

    def spoil(self, path: Path) -> None:
        """Change a result, as somebody with an editor would."""
        path.write_bytes(path.read_bytes() + b"spoilt")
        self.spoilt.add(path)

    def results(self) -> list[Path]:
        return sorted(path for path in (self.folder / "out").rglob("*.*") if path.suffix in (".webp", ".png"))

    # Runs

    def order(self, runner: int = 0) -> Order:
        self._write_recipes()
        return Order(
            recipes=[str(self.folder)],
            endpoint=self.server.base_url,
            state=str(self.folder / "state"),
            result=str(self.folder / f"result-{runner}.json"),
            jobs=2,
            lock_wait_s=20.0,
            run_log=self.run_log,
        )

    def run(self, *kills: Kill | None, jobs: int = 2) -> list[Ended]:
        """A run by the first runner, and with two kills given one by the second at the same time."""
        self._write_recipes()
        deaths, up = self.server.deaths, self.server.wait_up()
        for runner, kill in enumerate(kills):
            order = replace(self.order(runner), jobs=jobs)
            if kill is not None:
                order = replace(order, point=kill.point, ordinal=kill.ordinal, victim=up if kill.server else 0)
            self.forges[runner].begin(order)
        ended = [self.forges[runner].end() for runner in range(len(kills))]
        self.crashes += sum(one.code == KILLED for one in ended)
        self.faulty += len(ended) if self.server.faults else 0
        self.server.wait_up()
        self.server_crashes += self.server.deaths - deaths
        for one in ended:
            if one.outcome is not None:
                self.seen = sorted({*self.seen, *one.points})
        return ended

    def settle(self) -> list[str]:
        """Run until nothing is left to do and sweep, on a server without faults; what is wrong then."""
        if self.server.faults:
            self.server.rehearse("")
        try:
            return self._settled()
        finally:
            if self.faults:
                self.server.rehearse(self.faults)

    def _settled(self) -> list[str]:
        for path in self.spoilt:
            path.unlink(missing_ok=True)
        self.spoilt.clear()
        ended = self.run(None)[0]
        rounds = 1
        while (ended.outcome is None or ended.points) and rounds < ROUNDS_TO_SETTLE:
            ended = self.run(None)[0]
            rounds += 1
        swept = self.forges[0].run(replace(self.order(), sweep=True))
        wrong = [] if swept.code == 0 else [f"sweep ended with {swept.code}: {swept.stderr}"]
        return wrong + self._wrong_report(ended) + self._wrong_files() + self.verdict().wrong

    def verdict(self) -> Verdict:
        # Every creation under way may leave a job that nobody was told of; each is tried again when the server dies.
        folders = (self.folder / self.out, self.folder / "out" / "remote")
        crashes = MOST_JOBS * (self.crashes + MOST_CREATIONS * (self.server_crashes + self.faulty))
        return judge(self.server.state, self.folder / "state", *folders, crashes=crashes, run_log=self.run_log)

    def _wrong_report(self, ended: Ended) -> list[str]:
        if ended.outcome is None or ended.outcome["report"] is None:
            return [f"the last run ended with {ended.code}: {ended.outcome} {ended.stderr}"]
        wrong = [] if not ended.points else [f"there is always something left to do: {ended.jobs}"]
        broken = {f"uploads[in/{name}]" for name, seed in self.pictures.items() if seed < 0}
        for job in ended.jobs:
            fine = ("blocked", "failed") if job["address"] in broken else ("skipped", "succeeded")
            if job["status"] not in fine:
                wrong.append(f"{job['address']} is {job['status']}: {job['errors']}")
        return wrong

    def _wrong_files(self) -> list[str]:
        wrong = []
        for name, seed in self.pictures.items():
            if seed > 0:
                path = self.folder / self.out / f"{Path(name).stem}.webp"
                wrong += wrong_picture(path, (self.width, self.width * 2 // 3))
        return wrong + wrong_picture(self.folder / "out" / "remote" / f"{self.own(self.remote)}.png", (24, 16))

    def _write_recipes(self) -> None:
        common = {"recipe": 1, "epoch": self.epoch, "retry": self.retry, "limits": {"job": {"max_credit": 9}}}
        uploads = {
            **common,
            "budget": {"day": 100_000},
            "foreach": {"files": "in/*.png"},
            "input": [{"type": "upload", "source": "{item.path}"}],
            "conversion": [{"category": "image", "target": "webp", "options": {"width": self.width}}],
            "save": {"path": f"{self.out}/{{output.filename}}"},
        }
        remote = {
            **common,
            "input": [{"type": "remote", "source": f"{self.web.url}/{self.own(self.remote)}.png"}],
            "conversion": [{"category": "image", "target": "png"}],
            "save": {"path": "out/remote/{output.filename}"},
        }
        for name, recipe in (("uploads", uploads), ("remote", remote)):
            path, text = self.folder / f"{name}.recipe.json", json.dumps(recipe)
            if not path.exists() or path.read_text() != text:
                path.write_text(text)


def random_kill(island: Island, rng: random.Random, *, server_share: float) -> Kill:
    return Kill(point=rng.choice(island.seen), ordinal=rng.choice((1, 1, 1, 1, 2)), server=rng.random() < server_share)


def random_edit(island: Island, rng: random.Random) -> None:
    """One of the things that people do to recipes, inputs and results."""
    rng.choice(EDITS)(island, rng)


def edit_picture(island: Island, rng: random.Random) -> None:
    island.put(rng.choice(("a.png", "b.png", "c.png", "d.png")), rng.randrange(1, 1 << 40))


def edit_twin(island: Island, rng: random.Random) -> None:
    """Equal bytes under another name."""
    island.put("twin.png", island.pictures["a.png"])


def edit_options(island: Island, rng: random.Random) -> None:
    island.width = rng.choice((6, 12, 18))


def edit_place(island: Island, rng: random.Random) -> None:
    island.out = rng.choice(("out/a", "out/b"))


def edit_source(island: Island, rng: random.Random) -> None:
    island.remote = rng.randrange(1, 1 << 40)


def edit_epoch(island: Island, rng: random.Random) -> None:
    island.epoch += rng.choice((0, 0, 1))


def spoil_result(island: Island, rng: random.Random) -> None:
    results = island.results()
    if results:
        island.spoil(rng.choice(results))


def delete_result(island: Island, rng: random.Random) -> None:
    results = island.results()
    if results:
        path = rng.choice(results)
        path.unlink()
        island.spoilt.discard(path)


Edit = Callable[[Island, random.Random], None]
EDITS: tuple[Edit, ...] = (
    edit_picture,
    edit_picture,
    edit_twin,
    edit_options,
    edit_place,
    edit_source,
    edit_epoch,
    spoil_result,
    delete_result,
)
