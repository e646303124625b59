"""Recipes to measure with."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

FORTY_LINES = """\
#:schema {schema}
recipe = 1
name = "{name}"
description = "Pictures of shop {number}, for the web."
owner = "team-{number}@example.com"
tags = ["shop", "web", "nightly"]
retry = 1
deadline = "20m"
epoch = 2
fail_on_input_error = true
fail_on_conversion_error = false

[vars]
quality = {quality}
width = 1200
folder = "photos/{number}"

[foreach]
files = ["{{vars.folder}}/*.jpg", "{{vars.folder}}/*.png"]
exclude = ["draft-*"]
max_items = 500

[[input]]
type = "upload"
source = "{{item.path}}"

[[conversion]]
category = "image"
target = "webp"
options = {{ quality = "{{vars.quality}}", width = "{{vars.width}}" }}

[[conversion]]
category = "image"
target = "jpg"
options = {{ quality = 82, width = 320 }}

[limits.job]
max_credit = 3

[save]
path = "out/{{recipe.name}}/{{item.dir}}/{{output.filename}}"
on_conflict = "overwrite"
"""


def forty_lines(number: int, *, schema: str) -> str:
    """A recipe of about 40 lines, no two alike."""
    return FORTY_LINES.format(schema=schema, name=f"shop-{number}", number=number, quality=60 + number % 40)


def as_json(recipe: str) -> str:
    return json.dumps(tomllib.loads(recipe), indent=2)


def write_many(folder: Path, count: int, *, schema: str) -> None:
    for number in range(count):
        path = folder / f"{number // 100:03}" / f"shop-{number}.recipe.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(forty_lines(number, schema=schema))


def convert_files(folder: Path, *, name: str, pattern: str, target: str, options: str = "") -> Path:
    """A recipe that converts every file of `pattern`, below `folder`."""
    path = folder / f"{name}.recipe.toml"
    path.write_text(
        f'recipe = 1\nname = "{name}"\n[foreach]\nfiles = ["{pattern}"]\n'
        f'[[input]]\ntype = "upload"\nsource = "{{item.path}}"\n'
        f'[[conversion]]\ncategory = "image"\ntarget = "{target}"\noptions = {{ {options} }}\n'
        f'[save]\npath = "out/{name}/{{output.filename}}"\n'
    )
    return path


def remote_jobs(folder: Path, count: int, *, source: str) -> Path:
    """A recipe of `count` jobs, each with a remote input of its own."""
    path = folder / "remote.recipe.json"
    recipe = {
        "recipe": 1,
        "name": "remote",
        "foreach": {"matrix": {"n": list(range(count))}},
        "input": [{"type": "remote", "source": f"{source}/{{item.n}}.png"}],
        "conversion": [{"category": "image", "target": "jpg"}],
        "save": {"path": "out/{item.n}-{output.filename}"},
    }
    path.write_text(json.dumps(recipe))
    return path
