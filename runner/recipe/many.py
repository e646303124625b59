"""What makes ten thousand recipes fast: a compiled validator, and all processors. Loaded only for many files."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import jsonschema_rs

from runner.wire.values import JsonObject

Result = TypeVar("Result")
Part = Callable[[int], Sequence[object]]

_PARTS = 4  # per process: few, since each is a round trip; more than one, since not all take equally long


def fast_verdict(schema: JsonObject) -> Callable[[JsonObject], bool]:
    return jsonschema_rs.Draft7Validator(schema).is_valid


def spread(work: Callable[[Path], Result], files: Sequence[Path], *, processes: int) -> list[Result]:
    """`work` done for every file, in order, in forked children: they know all that is loaded here already."""
    if processes == 1:
        return [work(file) for file in files]
    size = max(1, len(files) // (processes * _PARTS))

    def part(start: int) -> list[Result]:
        return [work(file) for file in files[start : start + size]]

    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=fork, initializer=_inherit, initargs=(part,)) as pool:
        run: Callable[[int], list[Result]] = _work  # type: ignore[assignment] # the parts make what `work` makes
        return [one for results in pool.map(run, range(0, len(files), size)) for one in results]


_inherited: list[Part] = []


def _inherit(part: Part) -> None:
    """Runs in a child: what came through the fork doesn't travel with every task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and has the word
    gc.disable()  # the child is gone before garbage counts, and collecting would copy what it shares
    _inherited.append(part)


def _work(start: int) -> Sequence[object]:
    return _inherited[-1](start)
