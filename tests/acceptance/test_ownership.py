"""Whose file is it? Results of one item never replace those of another, and what lies here isn't bought again."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.acceptance.command_line import Desk, one_file, png, recipe_of, serving, web

COLORS = ("teal", "red", "blue")
ROWS = """\
name = "shop"
[foreach]
rows = "rows.csv"
[[input]]
type = "remote"
source = "{item.url}"
[[conversion]]
target = "webp"
"""


@pytest.fixture
def alike(desk: Desk) -> Iterator[Desk]:
    """Three pictures of the web that all say they are called photo.png."""
    pages = {f"/{color}": png(color=color) for color in COLORS}
    with web(pages, headers=lambda _: {"Content-Disposition": 'attachment; filename="photo.png"'}) as base:
        desk.write("runner.toml", '[local]\nallow_private = ["127.0.0.0/8"]\n')
        desk.write("rows.csv", "url\n" + "".join(f"{base}{page}\n" for page in pages))
        yield desk


def rows(desk: Desk, policy: str) -> None:
    desk.write("shop.recipe.toml", f'{ROWS}[save]\npath = "out/{{output.filename}}"\non_conflict = "{policy}"\n')


def report(desk: Desk, *args: str) -> tuple[int, list[Any]]:
    done = desk.runner("run", ".", "--format", "json", *args)
    return done.code, done.json["jobs"]


def planned(desk: Desk, *args: str) -> dict[str, Any]:
    done = desk.runner("plan", ".", "--format", "json", *args)
    return {job["address"]: job for job in done.json["jobs"]}


def bytes_of(desk: Desk, folder: str = "out") -> dict[str, bytes]:
    return {name: (desk.folder / folder / name).read_bytes() for name in desk.delivered(folder)}


@pytest.mark.parametrize("policy", ["error", "overwrite"])
def test_the_first_of_results_with_one_name_stays_and_the_others_say_whose_it_is(alike: Desk, policy: str) -> None:
    rows(alike, policy)

    code, jobs = report(alike)
    first = bytes_of(alike)
    again_code, again = report(alike)
    plan = planned(alike)

    (owner,) = [job["address"] for job in jobs if job["status"] == "succeeded"]
    others = [job for job in jobs if job["address"] != owner]
    assert (code, again_code) == (6, 6)
    assert len(others) == 2
    assert all(f"photo.webp holds the result of {owner}" in job["errors"][0]["message"] for job in others)
    assert {job["address"] for job in again if job["status"] == "skipped"} == {owner}
    assert bytes_of(alike) == first
    assert sorted(job["action"] for job in plan.values()) == ["blocked", "blocked", "skip"]
    assert all(f"holds the result of {owner}" in plan[job["address"]]["reason"] for job in others)
    assert [entry.starts for entry in alike.book()] == [1, 1, 1]


def test_with_rename_each_result_gets_a_name_and_keeps_it(alike: Desk) -> None:
    rows(alike, "rename")

    code, jobs = report(alike)
    first = bytes_of(alike)
    again_code, again = report(alike)

    assert (code, again_code) == (0, 0)
    assert set(first) == {"photo.webp", "photo-1.webp", "photo-2.webp"}
    assert len(set(first.values())) == 3
    assert len({job["outputs"][0]["path"] for job in jobs}) == 3
    assert {job["status"] for job in again} == {"skipped"}
    assert bytes_of(alike) == first


def test_with_skip_the_first_result_stays_and_the_others_come_when_it_is_gone(alike: Desk) -> None:
    rows(alike, "skip")

    code, jobs = report(alike)
    again_code, again = report(alike)
    (owner,) = [job["address"] for job in jobs if job["outputs"]]
    listed = (alike.folder / "rows.csv").read_text().splitlines()
    alike.write("rows.csv", "\n".join(line for line in listed if line not in owner) + "\n")
    (alike.folder / "out/photo.webp").unlink()
    later_code, later = report(alike)

    assert (code, again_code, later_code) == (0, 0, 0)
    assert {job["status"] for job in again} == {"skipped"}
    assert sum(bool(job["outputs"]) for job in later) in (1, 2)
    assert alike.delivered() == {"photo.webp"}


def test_a_result_of_unknown_name_takes_no_place_of_a_recipe_that_is_run_on_its_own(alike: Desk) -> None:
    listed = (alike.folder / "rows.csv").read_text().splitlines()
    alike.write("rows.csv", "\n".join(listed[:2]) + "\n")
    alike.write("more.csv", "\n".join([listed[0], listed[2]]) + "\n")
    rows(alike, "overwrite")
    second = (alike.folder / "shop.recipe.toml").read_text().replace('"shop"', '"more"').replace("rows.csv", "more.csv")
    alike.write("more.recipe.toml", second)

    assert alike.runner("run", "shop.recipe.toml").code == 0
    first = bytes_of(alike)
    taken = [alike.runner("run", "more.recipe.toml") for _ in range(2)]
    again = alike.runner("run", "shop.recipe.toml")

    assert [done.code for done in taken] == [6, 6]
    assert all("photo.webp holds the result of shop[" in done.err for done in taken)
    assert (again.code, bytes_of(alike)) == (0, first)
    assert [entry.starts for entry in alike.book()] == [1, 1]


def test_results_that_had_no_place_are_delivered_once_the_recipe_gives_them_one(alike: Desk) -> None:
    rows(alike, "error")
    assert report(alike)[0] == 6

    rows(alike, "rename")
    code, _ = report(alike)

    assert code == 0
    assert len(set(bytes_of(alike).values())) == 3
    assert [entry.starts for entry in alike.book()] == [1, 1, 1]


def test_a_result_of_an_item_that_is_gone_may_be_replaced(alike: Desk) -> None:
    listed = (alike.folder / "rows.csv").read_text().splitlines()
    alike.write("rows.csv", "\n".join(listed[:2]) + "\n")
    rows(alike, "error")
    assert report(alike)[0] == 0
    before = bytes_of(alike)

    alike.write("rows.csv", "\n".join([listed[0], listed[2]]) + "\n")
    code, _ = report(alike)

    assert code == 0
    assert set(bytes_of(alike)) == {"photo.webp"}
    assert bytes_of(alike) != before


def test_rows_that_move_up_or_down_find_their_results_where_they_are(desk: Desk) -> None:
    for color in ("red", "green", "blue", "black"):
        desk.write(f"pics/{color}.png", png(color=color))
    desk.write(
        "shop.recipe.toml",
        '[foreach]\nrows = "rows.csv"\n[[input]]\ntype = "upload"\nsource = "pics/{item.name}.png"\n'
        '[[conversion]]\ntarget = "webp"\n[save]\npath = "out/{item.name}.webp"\n',
    )
    desk.write("rows.csv", "name\nred\ngreen\nblue\n")
    assert report(desk)[0] == 0
    first = bytes_of(desk)

    desk.write("rows.csv", "name\nred\nblue\n")
    removed = report(desk)
    desk.write("rows.csv", "name\nblack\nred\ngreen\nblue\n")
    added = report(desk)
    (again_code, again) = report(desk)

    assert (removed[0], added[0], again_code) == (0, 0, 0)
    assert {job["status"] for job in again} == {"skipped"}
    assert {name: content for name, content in bytes_of(desk).items() if name != "black.webp"} == first
    assert [entry.starts for entry in desk.book()] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('q"x.png', "q%22x.png"),
        ("back\\slash.png", "slash.png"),
        ("a\u202eb.png", "ab.png"),
        ("tab\t.png", "tab.png"),
        (" space.png", "space.png"),
    ],
)
def test_names_that_the_server_makes_one_are_found_before_anything_is_bought(desk: Desk, one: str, other: str) -> None:
    desk.write(f"pics/{one}", png())
    desk.write(f"pics/{other}", png(color="red"))
    desk.write("pics/b.png", png(color="blue"))
    desk.write("a.recipe.toml", recipe_of("pics/*"))

    done = desk.runner("run", ".")

    assert done.code == 5
    assert done.err.count("would all be saved as") == 1
    assert desk.delivered() == {"b.webp"}
    assert len(desk.book()) == 1


@pytest.mark.parametrize("name", ['q"x.png', "back\\slash.png", "a\u202eb.png", "new\nline.png", "\t.png", "é.png"])
def test_results_are_called_as_planned_whatever_the_input_is_called(desk: Desk, name: str) -> None:
    desk.write(f"pics/{name}", png())
    desk.write("a.recipe.toml", recipe_of("pics/*"))
    assert desk.runner("run", ".").code == 0
    (result,) = desk.delivered()
    shutil.rmtree(desk.folder / ".runner")
    (desk.folder / "out" / result).write_text("somebody's own")

    plan = planned(desk)

    assert [job["action"] for job in plan.values()] == ["blocked"]
    assert result in next(iter(plan.values()))["reason"]


def test_a_file_that_skip_left_is_delivered_when_it_is_gone(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png") + '[save]\npath = "out/a.webp"\non_conflict = "skip"\n')
    result = desk.folder / "out/a.webp"
    assert desk.runner("run", ".").code == 0
    made = result.read_bytes()

    result.write_text("edited")
    left = desk.runner("run", ".")
    assert (left.code, result.read_text()) == (0, "edited")
    result.unlink()
    done = desk.runner("run", ".")

    assert done.code == 0
    assert result.read_bytes() == made


def forgotten(desk: Desk) -> None:
    """The server's day is over: it knows nothing any more."""
    shutil.rmtree(desk.folder / ".runner/server")


@pytest.mark.parametrize("what", ["input", "save", "recipe"])
def test_what_lies_here_is_copied_after_the_server_has_forgotten_it(desk: Desk, what: str) -> None:
    desk.write("pics/a.png", png())
    desk.write("a.recipe.toml", recipe_of("pics/*"))
    assert desk.runner("run", ".").code == 0
    made = (desk.folder / "out/a.webp").read_bytes()
    forgotten(desk)

    if what == "input":
        (desk.folder / "pics/a.png").rename(desk.folder / "pics/b.png")
    elif what == "save":
        desk.write("a.recipe.toml", recipe_of("pics/*", save="new/{output.filename}"))
    else:
        (desk.folder / "a.recipe.toml").unlink()
        desk.write("z.recipe.toml", recipe_of("pics/*", save="new/{output.filename}"))
    plan = planned(desk)
    code, jobs = report(desk)

    live = [job for job in plan.values() if job["action"] != "orphan"]
    assert [job["action"] for job in live] == ["redeliver"]
    assert "a.webp is a copy" in live[0]["reason"]
    assert code == 0
    (job,) = jobs
    assert (job["status"], job["spent"]) == ("succeeded", 0)
    assert Path(job["outputs"][0]["path"]).read_bytes() == made
    assert desk.book() == ()


def test_a_renamed_recipe_goes_on_with_its_results_and_may_replace_them(desk: Desk) -> None:
    desk.write("pics/a.png", png())
    desk.write("old.recipe.toml", recipe_of("pics/*"))
    assert desk.runner("run", ".").code == 0

    (desk.folder / "old.recipe.toml").rename(desk.folder / "new.recipe.toml")
    assert desk.runner("run", ".").code == 0
    desk.write("new.recipe.toml", recipe_of("pics/*").replace('"webp"\n', '"webp"\noptions = { width = 7 }\n'))
    done = desk.runner("run", ".")

    assert done.code == 0, done.err
    assert desk.delivered() == {"a.webp"}


NARROW = recipe_of("pics/*").replace('"webp"\n', '"webp"\noptions = { width = 7 }\n')


@pytest.mark.parametrize("named", [False, True], ids=["by-its-file", "by-name"])
def test_a_recipe_that_is_renamed_and_changed_at_once_replaces_its_own_results(desk: Desk, named: bool) -> None:
    desk.write("pics/a.png", png())
    desk.write("pics/b.png", png(color="red"))
    desk.write("old.recipe.toml", recipe_of("pics/*"))
    assert desk.runner("run", ".").code == 0
    (desk.folder / "out/b.webp").write_text("edited")

    if named:
        desk.write("old.recipe.toml", 'name = "new"\n' + NARROW)
    else:
        (desk.folder / "old.recipe.toml").unlink()
        desk.write("new.recipe.toml", NARROW)
    plan = planned(desk)
    done = desk.runner("run", ".")

    assert {address: job["action"] for address, job in plan.items()} == {
        "new[pics/a.png]": "run",
        "new[pics/b.png]": "blocked",
    }
    assert "out/b.webp was changed since an earlier run delivered it" in plan["new[pics/b.png]"]["reason"]
    assert done.code == 6
    with Image.open(desk.folder / "out/a.webp") as made:
        assert made.width == 7
    assert (desk.folder / "out/b.webp").read_text() == "edited"
    assert len(desk.book()) == 3
    (desk.folder / "out/b.webp").unlink()
    assert desk.runner("run", ".").said == (0, "", "")
    assert desk.runner("run", ".").said == (0, "", "")
    assert len(desk.book()) == 4


def test_what_a_removed_recipe_made_stays_where_another_takes_it_for_its_source(desk: Desk) -> None:
    desk.write("pics/a.png", png())
    desk.write("old.recipe.toml", recipe_of("pics/*.png", save="pics/{output.filename}"))
    assert desk.runner("run", ".").code == 0
    made = bytes_of(desk, "pics")
    (desk.folder / "old.recipe.toml").unlink()
    desk.write("new.recipe.toml", recipe_of("pics/*.webp", save="pics/{output.filename}"))

    done = desk.runner("run", ".")

    assert done.code == 6
    assert "pics/a.webp is in the way; nothing was bought" in done.err
    assert bytes_of(desk, "pics") == made
    assert len(desk.book()) == 1


@pytest.mark.parametrize("where", ["beside", "ignored", "broken"])
def test_results_of_a_recipe_that_is_still_there_stay_though_it_is_not_given(desk: Desk, where: str) -> None:
    desk.write("pics/a.png", png())
    old = "drafts/old.recipe.toml" if where == "ignored" else "old.recipe.toml"
    desk.write(old, 'name = "old"\n' + recipe_of("../pics/*" if where == "ignored" else "pics/*"))
    desk.write(".gitignore", "drafts/\n")
    assert desk.runner("run", old, "--endpoint", "local").code == 0
    made = next(desk.folder.rglob("a.webp"))
    desk.write("new.recipe.toml", NARROW.replace("out/{", f"{made.parent.relative_to(desk.folder)}/{{"))
    if where == "broken":
        desk.write(old, "name = ")

    done = desk.runner("run", "new.recipe.toml")

    assert done.code == 6
    assert "a.webp " in done.err
    assert "nothing was bought" in done.err
    assert len(desk.book()) == 1


def test_a_copy_of_a_project_gets_results_of_its_own_without_buying_and_both_are_done_then(
    desk: Desk, tmp_path: Path
) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    assert desk.runner("run", ".").code == 0
    copy = Desk(folder=tmp_path / "copy", home=desk.home)
    shutil.copytree(desk.folder, copy.folder)
    shutil.rmtree(copy.folder / "out")
    log = ("--state", desk.folder / ".runner")

    (planned_there,) = copy.runner("plan", ".", *log, "--format", "json").json["jobs"]
    there = copy.runner("run", ".", *log, "--format", "json")
    here = desk.runner("run", ".", *log, "--format", "json")
    shutil.rmtree(copy.folder)
    alone = desk.runner("run", ".", *log, "--format", "json")

    assert planned_there["action"] == "redeliver"
    assert (
        f"{desk.folder}/out/a/a.webp; the results of this recipe go below {copy.folder}/out" in planned_there["reason"]
    )
    assert (there.code, there.json["jobs"][0]["spent"]) == (0, 0)
    assert there.json["jobs"][0]["outputs"][0]["path"] == f"{copy.folder}/out/a/a.webp"
    for done in (here, alone):
        (job,) = done.json["jobs"]
        assert (job["status"], [one["path"] for one in job["outputs"]]) == ("skipped", [f"{desk.folder}/out/a/a.webp"])
    assert desk.delivered() == {"a/a.webp"}
    assert [entry.starts for entry in desk.book()] == [1]


KEY = "key-of-the-owners-0123456789"

# A clock that is some seconds off, for everything that asks what time it is.
SKEWED = """
import sys, time
real, skew = time.time, float(sys.argv.pop(1))
time.time = lambda: real() + skew
from runner.cli.app import run_cli
run_cli()
"""


def test_what_a_wrong_clock_calls_gone_is_looked_for_before_it_is_bought_again(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    days_ahead = (sys.executable, "-c", SKEWED, str(3 * 86_400))
    assert desk.runner("run", ".").code == 0
    (desk.folder / "out/a/a.webp").unlink()

    blocked = desk.runner("run", ".", launcher=days_ahead)
    again = desk.runner("run", ".", "--retry-lost", "--format", "json", launcher=days_ahead)

    assert blocked.code == 6
    assert again.code == 0, again.err
    assert again.json["jobs"][0]["spent"] == 0
    assert desk.delivered() == {"a/a.webp"}
    assert [entry.starts for entry in desk.book()] == [1]


@pytest.mark.parametrize("later", [("--state", "other"), ("--state", "server", "--retention", "0.0001")])
def test_what_is_gone_by_the_clock_and_from_the_server_is_bought_again_with_leave(
    desk: Desk, later: tuple[str, ...]
) -> None:
    """A server that has forgotten the job, and one that shows it without its files."""
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    known = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": KEY})
    key = ("--key", KEY)
    with serving(desk, "--state", "server", "--retention", "0.0001", *key) as server:
        first = known.runner("run", ".", "--endpoint", server["base_url"])
    (desk.folder / "out/a/a.webp").unlink()
    time.sleep(0.5)

    with serving(desk, *later, *key) as server:
        command = ("run", ".", "--endpoint", server["base_url"], "--format", "json", "--retry-lost")
        bought = known.runner(*command, launcher=(sys.executable, "-c", SKEWED, str(3 * 86_400)))

    assert (first.code, bought.code) == (0, 0), first.err + bought.err
    assert bought.json["jobs"][0]["spent"] == 1
    assert desk.delivered() == {"a/a.webp"}
    assert sum(entry.starts for state in {"server", later[1]} for entry in desk.book(state)) == 2


def test_a_result_that_expired_is_blocked_and_bought_again_only_with_leave(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    known = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": KEY})
    serve = ("--state", desk.folder / "server", "--key", KEY)
    with serving(desk, *serve) as server:
        assert known.runner("run", ".", "--endpoint", server["base_url"]).code == 0
    (desk.folder / "out/a/a.webp").unlink()

    with serving(desk, *serve, "--faults", "download expired #1") as server:
        command = ("run", ".", "--endpoint", server["base_url"], "--format", "json")
        blocked = known.runner(*command)
        plan = planned(known, "--endpoint", server["base_url"])
        leave = planned(known, "--endpoint", server["base_url"], "--retry-lost")
        again = known.runner(*command)
        bought = known.runner(*command, "--retry-lost")

    (job,) = blocked.json["jobs"]
    assert (blocked.code, job["status"], job["spent"]) == (6, "blocked", 0)
    assert job["errors"][0]["code"] == 410
    assert "--retry-lost" in job["errors"][0]["hint"]
    assert plan["a"]["action"] == "blocked"
    assert "the server no longer hands it out; --retry-lost or a new epoch buys it again" in plan["a"]["reason"]
    assert (leave["a"]["action"], leave["a"]["credits"]["estimate"]) == ("retry", 1)
    assert again.json["jobs"][0]["status"] == "blocked"
    assert bought.code == 0, bought.err
    assert bought.json["jobs"][0]["spent"] == 1
    assert desk.delivered() == {"a/a.webp"}
    assert [entry.starts for entry in desk.book("server")] == [1, 1]


@contextlib.contextmanager
def without_outputs(base_url: str, path: str) -> Iterator[str]:
    """The server at `base_url` through somebody who takes the outputs out of every job at paths like `path`."""

    class Between(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            head = {name: value for name, value in self.headers.items() if name.lower() not in LEFT_OUT}
            with httpx.Client(base_url=base_url.removesuffix("/v2")) as client:
                answer = client.request(self.command, self.path, content=body, headers=head)
            content = answer.content
            if self.command == "GET" and re.fullmatch(path, self.path):
                document = answer.json()
                for job in document if isinstance(document, list) else [document]:
                    job["output"] = []
                content = json.dumps(document).encode()
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.pass_on()

        def do_POST(self) -> None:
            self.pass_on()

        def do_PATCH(self) -> None:
            self.pass_on()

        def log_message(self, *_: object) -> None:
            pass

    between = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    thread = threading.Thread(target=between.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{between.server_port}/v2"
    finally:
        between.shutdown()
        thread.join()
        between.server_close()


LEFT_OUT = {"host", "content-length", "connection", "accept-encoding"}


def test_a_job_that_shows_fewer_outputs_than_it_had_delivers_nothing_and_forgets_nothing(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    known = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": KEY})
    with serving(desk, "--state", desk.folder / "server", "--key", KEY) as server:
        assert known.runner("run", ".", "--endpoint", server["base_url"]).code == 0
        (desk.folder / "out/a/a.webp").unlink()

        with without_outputs(server["base_url"], r"/v2/jobs/[^/?]+") as emptied:
            blocked = [known.runner("run", ".", "--endpoint", emptied, "--format", "json") for _ in range(2)]
        found = known.runner("run", ".", "--endpoint", server["base_url"])

    for each in blocked:
        (job,) = each.json["jobs"]
        assert (each.code, job["status"], job["outputs"]) == (6, "blocked", [])
        assert "had 1 outputs, and shows 0 now" in job["errors"][0]["message"]
    assert found.code == 0, found.err
    assert desk.delivered() == {"a/a.webp"}
    assert [entry.starts for entry in desk.book("server")] == [1]


def test_a_list_that_shows_no_outputs_is_not_believed(desk: Desk) -> None:
    for number in range(8):
        desk.write(f"pics/{number}.png", png(size=(20 + number, 10)))
    desk.write("a.recipe.toml", recipe_of("pics/*"))
    known = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": KEY})

    with (
        serving(desk, "--state", desk.folder / "server", "--key", KEY) as server,
        without_outputs(server["base_url"], r"/v2/jobs(\?.*)?") as emptied,
    ):
        done = known.runner("run", ".", "--endpoint", emptied, "--jobs", "8")

    assert done.code == 0, done.err
    assert desk.delivered() == {f"{number}.webp" for number in range(8)}


def test_a_folder_in_the_way_of_overwrite_is_found_before_anything_is_bought(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png") + '[save]\npath = "out/a.webp"\non_conflict = "overwrite"\n')
    (desk.folder / "out/a.webp").mkdir(parents=True)

    done = desk.runner("run", ".")

    assert done.code == 6
    assert "out/a.webp is a folder; nothing was bought" in done.err
    assert not (desk.folder / ".runner/server/server.db").exists()


def test_a_blocked_item_says_the_code_that_its_job_failed_with(desk: Desk) -> None:
    desk.write("a.png", png()[:60])
    desk.write("a.recipe.toml", one_file("a.png"))

    failed = json.loads(desk.runner("run", ".", "--format", "json").out)["jobs"][0]
    blocked = json.loads(desk.runner("run", ".", "--format", "json").out)["jobs"][0]

    assert (failed["status"], blocked["status"]) == ("failed", "blocked")
    assert failed["errors"][0]["code"] != 0
    assert blocked["errors"][0]["code"] == failed["errors"][0]["code"]


def test_a_run_says_where_a_result_went_that_somebody_edited(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    assert desk.runner("run", ".").code == 0
    result = desk.folder / "out/a/a.webp"
    desk.write("out/a/a.webp.changed", "from before")

    result.write_text("edited")
    done = desk.runner("run", ".", "-v", "--format", "json")

    (job,) = done.json["jobs"]
    kept = Path(job["warnings"][0]["message"].rpartition(" kept as ")[2])
    assert (done.code, kept.parent, kept.read_text()) == (0, result.parent, "edited")
    assert f"warning: a: {result} was changed since it was delivered; what lay there is kept as {kept}" in done.err


def namesakes(desk: Desk) -> None:
    """Two recipes that have one name, their results in one folder."""
    for folder, color in (("x", "red"), ("y", "blue")):
        desk.write(f"{folder}/a.png", png(color=color))
        desk.write(
            f"{folder}/thumbs.recipe.toml",
            one_file("a.png", target="bmp") + '[save]\npath = "../shared/{output.filename}"\n',
        )


def pixel(desk: Desk, name: str) -> tuple[int, ...]:
    return Image.open(io.BytesIO((desk.folder / name).read_bytes())).convert("RGB").getpixel((0, 0))  # type: ignore[return-value]


def test_recipes_of_one_name_dont_take_each_others_places(desk: Desk) -> None:
    namesakes(desk)

    first = desk.runner("run", "x/thumbs.recipe.toml")
    planned_ = desk.runner("plan", "y/thumbs.recipe.toml")
    second = desk.runner("run", "y/thumbs.recipe.toml")
    desk.write("x/a.png", png(color="lime"))
    third = desk.runner("run", "x/thumbs.recipe.toml")

    assert (first.code, second.code, third.code) == (0, 6, 0)
    assert pixel(desk, "shared/a.bmp") == (0, 255, 0)
    said = (
        "shared/a.bmp holds the result of x/thumbs.recipe.toml: thumbs; nothing was bought; two recipes have one name"
    )
    assert said in planned_.out
    assert said in second.err
    assert len(desk.book()) == 2


@pytest.mark.parametrize("renamed", [False, True], ids=["moved", "named"])
def test_a_recipe_that_was_moved_goes_on_where_it_was(desk: Desk, renamed: bool) -> None:
    namesakes(desk)
    first = desk.runner("run", "x/thumbs.recipe.toml")
    if renamed:  # what is left at the old place is another recipe by now
        desk.write("x/thumbs.recipe.toml", 'name = "other"\n' + one_file("a.png"))
    else:
        (desk.folder / "x/thumbs.recipe.toml").unlink()

    second = desk.runner("run", "y/thumbs.recipe.toml")

    assert (first.code, second.code) == (0, 0), second.err
    assert pixel(desk, "shared/a.bmp") == (0, 0, 255)


def test_a_moved_recipe_buys_nothing_again(desk: Desk) -> None:
    namesakes(desk)
    first = desk.runner("run", "x/thumbs.recipe.toml")
    shutil.move(desk.folder / "x", desk.folder / "z")

    second = desk.runner("run", "z/thumbs.recipe.toml", "--format", "json")

    assert (first.code, second.code) == (0, 0)
    assert second.json["summary"]["skipped"] == 1
    assert len(desk.book()) == 1
