"""`runner compile`: what would be sent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Runner = Callable[..., CompletedProcess[str]]
RECIPE = """\
name = "shop"
vars = { quality = 80 }
[foreach]
files = "in/*"
[[input]]
type = "upload"
source = "{item.path}"
[[conversion]]
target = "webp"
options = { quality = "{vars.quality}" }
[profile.small]
conversion = [{ target = "jpg" }]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "-rf", 'b c\'s "é".png'):
        (tmp_path / "in" / name).write_bytes(name.encode())
    path = tmp_path / "shop.recipe.toml"
    path.write_text(RECIPE)
    return path


def test_the_published_shape_comes_on_stdout_and_nothing_else(runner: Runner, shop: Path) -> None:
    done = runner("compile", shop)

    rows = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["address"] for row in rows] == ["shop[in/-rf]", "shop[in/a.jpg]", 'shop[in/b c\'s "é".png]']
    assert {frozenset(row) for row in rows} == {frozenset({"address", "key", "payload", "uploads"})}
    assert rows[1]["uploads"] == [
        {"path": str(shop.parent / "in/a.jpg"), "size": 5, "sha256": sha256(b"a.jpg").hexdigest()}
    ]


def test_as_text_it_is_a_line_a_job(runner: Runner, shop: Path) -> None:
    rows = json.loads(runner("compile", shop).stdout)

    done = runner("compile", shop.parent, "--format", "text")

    assert done.stdout.splitlines() == [f"{row['address']}  {row['key']}" for row in rows]


def test_a_name_that_would_steer_the_terminal_stays_on_its_line(runner: Runner, shop: Path) -> None:
    (shop.parent / "in" / "\x1b[2J\n.jpg").write_bytes(b"x")

    done = runner("compile", shop, "--format", "text")

    assert len(done.stdout.splitlines()) == 4
    assert "shop[in/\\x1b[2J\\n.jpg]" in done.stdout


def test_nothing_is_left_on_disk(runner: Runner, shop: Path) -> None:
    before = sorted(shop.parent.rglob("*"))

    runner("compile", shop)

    assert sorted(shop.parent.rglob("*")) == before


def test_set_and_profile_change_what_is_sent(runner: Runner, shop: Path) -> None:
    set_ = json.loads(runner("compile", shop, "--set", "quality=7").stdout)
    profile = json.loads(runner("compile", shop, "--profile", "small").stdout)

    assert set_[0]["payload"]["conversion"] == [{"target": "webp", "options": {"quality": 7}}]
    assert profile[0]["payload"]["conversion"] == [{"target": "jpg"}]


def test_secrets_stay_references_whatever_the_environment_holds(runner: Runner, tmp_path: Path) -> None:
    recipe = tmp_path / "s.recipe.toml"
    recipe.write_text(
        '[[input]]\ntype = "cloud"\nsource = "amazons3"\nparameters = { bucket = "b", file = "f" }\n'
        'credentials = { accesskeyid = { env = "ID" }, secretaccesskey = { file = "key" } }\n'
        '[[conversion]]\ntarget = "webp"\n'
    )
    (tmp_path / "key").write_text("canary")

    done = runner("compile", recipe, ID="canary", API2CONVERT_API_KEY="canary")

    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["payload"]["input"][0]["credentials"] == {
        "accesskeyid": {"env": "ID"},
        "secretaccesskey": {"file": "key"},
    }
    assert "canary" not in done.stdout + done.stderr


def test_one_bad_input_is_named_at_its_place_and_the_others_are_compiled(runner: Runner, shop: Path) -> None:
    (shop.parent / "in" / "gone.jpg").symlink_to("nowhere.jpg")

    done = runner("compile", shop)

    assert done.returncode == 5
    assert len(json.loads(done.stdout)) == 3
    assert f"{shop}:4:9: error: 'in/gone.jpg' is a link to something that isn't there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(('"in/*"', '"on/*"'), "'on/*' gives no items", id="matches-nothing"),
        pytest.param(('"in/*"', '"in/b1.png"'), "'in/b1.png' isn't there", id="misspelt-file"),
        pytest.param(('"in/*"', '["in/*"]\nexclude = ["in"]'), "exclude takes out all that", id="all-excluded"),
        pytest.param(("webp", "wepb"), "did you mean 'webp'", id="misspelt"),
        pytest.param(("= 80", "= 2e400"), "overflowed", id="infinite"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_exit_code_5_at_its_line(
    runner: Runner, shop: Path, change: tuple[str, str], words: str
) -> None:
    shop.write_text(RECIPE.replace(*change))

    done = runner("compile", shop)

    assert done.returncode == 5
    assert words in done.stderr
    assert f"{shop}:" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_items_with_one_output_path_are_refused_together(runner: Runner, shop: Path) -> None:
    shop.write_text(RECIPE + '[save]\npath = "out/one.webp"\n')

    done = runner("compile", shop)

    assert (done.returncode, done.stdout) == (5, "[]\n")
    assert "would all be saved as" in done.stderr


def test_a_row_cannot_lead_results_out_of_the_project(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("to\n/etc/passwd\n../../x\nfine.webp\n")
    recipe = tmp_path / "o.recipe.toml"
    recipe.write_text(
        '[foreach]\nrows = "o.csv"\n[[input]]\nsource = "https://example.com/a"\nfilename = "a.jpg"\n'
        '[[conversion]]\ntarget = "webp"\n[save]\npath = "{item.to}"\n'
    )

    done = runner("compile", recipe)

    assert done.returncode == 5
    assert [row["address"] for row in json.loads(done.stdout)] == ["o[3]"]
    assert done.stderr.count(": error: ") == 2
    assert f"{recipe}:9:8: error: o[1]: " in done.stderr


def test_a_name_that_is_no_utf8_is_refused_and_does_not_break_the_output(runner: Runner, shop: Path) -> None:
    (Path(os.fsdecode(os.fsencode(shop.parent / "in") + b"/\xff.jpg"))).write_bytes(b"x")

    done = runner("compile", shop)

    assert done.returncode == 5
    assert len(json.loads(done.stdout)) == 3
    assert "not UTF-8" in done.stderr
