"""What `runner status` says of work under way, and of a server whose books are others or that doesn't answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tests.acceptance.command_line import Desk, one_file, png, serving, until
from tests.execute.middleman import between, honest

KEY = "key-of-the-bookkeeper-0123456789"


@contextmanager
def shell_at(desk: Desk, *args: str) -> Iterator[Desk]:
    """A shell with one recipe, configured for a server of its own that is started with ARGS."""
    desk.write("in/0.png", png())
    desk.write("a.recipe.toml", one_file("in/0.png"))
    with serving(desk, "--state", "server", "--key", KEY, *args) as ready:
        yield replace(desk, more={"API2CONVERT_BASE_URL": ready["base_url"], "API2CONVERT_API_KEY": ready["api_key"]})


def test_what_a_run_is_at_work_on_is_left_behind_only_when_it_is_gone(desk: Desk) -> None:
    with shell_at(desk, "--faults", "upload delay=60 #1") as shell, shell.start("run", "a.recipe.toml") as run:
        until(lambda: '"created": 1' in shell.runner("status", "--offline", "--format", "json").out, what="the job")
        meanwhile = shell.runner("status", "--offline")
        run.kill()
        run.wait()
        afterwards = shell.runner("status", "--offline")

    assert "held by a run now" in meanwhile.out
    assert "left behind" not in meanwhile.out
    assert "left behind, free: 1 unstarted job; runner sweep deletes them" in afterwards.out


def test_a_parked_job_waits_for_its_time_and_is_not_left_behind(desk: Desk) -> None:
    with shell_at(desk, "--faults", "start quota=600 #1") as shell:
        assert shell.runner("run", "a.recipe.toml").code == 4
        told, document = shell.runner("status"), shell.runner("status", "--format", "json").json

    assert "parked by the server\n  a  k1:" in told.out
    assert "left behind" not in told.out
    assert document["unstarted"] == []


def test_status_tells_what_the_log_knows_whatever_became_of_the_server(desk: Desk) -> None:
    with shell_at(desk) as shell:
        assert shell.runner("run", "a.recipe.toml").code == 0
    down, as_json = shell.runner("status"), shell.runner("status", "--format", "json")
    shutil.rmtree(desk.folder / "server")
    with shell_at(desk) as anew:
        begun_anew = anew.runner("status")

    assert (down.code, as_json.code) == (8, 8)
    assert "finished  1" in down.out
    assert "--offline asks nothing else" in down.err
    assert (as_json.json["stages"], as_json.json["server"]) == ({"finished": 1}, None)
    assert as_json.json["server_error"] in as_json.err
    assert "  1 less: its books lag behind, or are another server's, or were begun anew since" in begun_anew.out
    assert "still running" not in begun_anew.out


def test_a_status_that_nobody_knows_is_told_by_the_run_and_by_status_and_waited_out(desk: Desk) -> None:
    def archiving(_method: str, path: str, document: Any) -> Any:
        for row in document if isinstance(document, list) else [document]:
            if path.startswith("/jobs") and row.get("process"):
                row["status"] = {"code": "Archiving"}
        return document

    with shell_at(desk) as direct, between(direct.more["API2CONVERT_BASE_URL"]) as man:
        shell = replace(direct, more={**direct.more, "API2CONVERT_BASE_URL": man.base_url})
        man.change = archiving
        ran = shell.runner("run", "a.recipe.toml", "-v", "--deadline", "3s")
        told, document = shell.runner("status"), shell.runner("status", "--format", "json").json
        man.change = honest
        last, afterwards = shell.runner("run", "a.recipe.toml"), shell.runner("status", "--format", "json").json

    words = "is 'archiving', a status that this version doesn't know"
    assert (ran.code, ran.err.count(words), last.code) == (7, 1, 0)
    assert told.out.count(words) == 1
    assert [row["status"] for row in document["server"]["unheard_of"]] == ["archiving"]
    assert afterwards["server"]["unheard_of"] == []
