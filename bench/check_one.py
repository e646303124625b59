"""`runner check` of one recipe against `check-jsonschema` with our schema on the same file: at most a third as long.

Ours also reads positions, templates, secrets and options where it must; the peer only validates.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.processes import BIN, PROJECT, RUNNER, wall_s
from bench.kit.recipes import as_json, forty_lines
from bench.kit.rounds import rounds

SCHEMA = PROJECT / "schemas" / "recipe.schema.json"


def measure(setup: Setup) -> Iterator[Figure]:
    toml = setup.folder / "shop-1.recipe.toml"
    toml.write_text(forty_lines(1, schema=SCHEMA.as_uri()))
    json = setup.folder / "shop-1.recipe.json"
    json.write_text(as_json(toml.read_text()))
    for file in (toml, json):
        peer = [str(BIN / "check-jsonschema"), "--schemafile", str(SCHEMA), str(file)]
        pairs = rounds(
            setup.count(15, 5),
            partial(wall_s, [RUNNER, "check", str(file)], folder=setup.folder),
            partial(wall_s, peer, folder=setup.folder),
        )
        yield compared(f"check of one recipe as {file.suffix[1:]}", pairs, most=0.33, scale=1000, unit="ms")
