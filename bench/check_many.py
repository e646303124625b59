"""`runner check` of 10,000 recipes of 40 lines against the native `taplo lint` with the same schema: faster.

Cold means that nothing is known of the files (both sides have them in the page cache); the second figure is what
a second check of the same files takes. The peer validates; ours checks templates, secrets, options and names too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.kit.figures import Figure, compared
from bench.kit.plan import Setup
from bench.kit.processes import BIN, PROJECT, RUNNER, wall_s
from bench.kit.recipes import write_many
from bench.kit.rounds import rounds

SCHEMA = PROJECT / "schemas" / "recipe.schema.json"


def measure(setup: Setup) -> Iterator[Figure]:
    many = setup.subfolder("many")
    count = setup.count(10_000, 2_000)
    write_many(many, count, schema=SCHEMA.as_uri())
    (many / ".taplo.toml").write_text("")
    taplo = [str(BIN / "taplo"), "lint", "--schema", SCHEMA.as_uri(), "**/*.recipe.toml"]
    pairs = rounds(
        setup.count(5, 3),
        partial(wall_s, [RUNNER, "check", str(many)], folder=many),
        partial(wall_s, taplo, folder=many),
    )
    yield compared(f"check of {count:,} recipes", pairs, least=1.0, speed=True)
