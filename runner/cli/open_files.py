"""Open files: every job that is under way holds some, and the system's limit for a process may be low."""

from __future__ import annotations

import resource
from contextlib import suppress

# Measured, rounded up: what a run has open without any job (log, server, spare connections), and what a job adds with
# the half more that are prepared or delivered (a connection, the file that is sent or written, its folder).
OF_THE_RUN = 48
OF_A_JOB = 4


def jobs_with_room(jobs: int) -> int:
    """How many of `jobs` may be under way at once. The soft limit is raised to what they need, as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OF_THE_RUN + OF_A_JOB * jobs
    if _is_below(soft, needed):
        raised = hard if _is_below(hard, needed) else needed
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return max(1, (soft - OF_THE_RUN) // OF_A_JOB) if _is_below(soft, needed) else jobs


def _is_below(limit: int, needed: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < needed
