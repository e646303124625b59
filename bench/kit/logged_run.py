"""A whole run with the log that is asked for: `python -m bench.kit.logged_run memory|durable RECIPE STATE JOBS`.

Prints how many seconds planning and running took, without the interpreter's start.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from runner.cli.endpoint import choose_endpoint
from runner.cli.planning import Planning
from runner.cli.prepare import load
from runner.cli.running import Wishes, carry_out
from runner.runlog import memory_log, open_log


def main(kind: str, recipe: Path, state: Path, jobs: int) -> int:
    loaded = load([recipe], profile=None, overrides={})
    chosen = choose_endpoint([recipe], endpoint=None, state=state)
    with memory_log() if kind == "memory" else open_log(state / "runs.db") as log:
        planning = Planning(recipes=loaded.recipes, warnings=(), endpoint=chosen, log=log)
        began = time.perf_counter()
        done = carry_out(planning, Wishes(jobs=jobs))
        sys.stdout.write(f"{time.perf_counter() - began}\n")
    return int(done.report.exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
