"""How a conversion ended, and the codes of our own for what goes wrong around it.

The API's own codes (6005, 6037) come from converters. 69xx are ours:

    6900  crashed      the process died by a signal
    6901  wall time    it took longer than allowed
    6902  CPU time     it used more processor time than allowed
    6903  memory       it needed more memory than allowed
    6904  output size  a result grew larger than allowed
    6905  disk full    no space left for the result
    6906  our bug      the converter failed in a way nobody foresaw, or answered nonsense
    6907  no worker    no process could be started
    6908  unsupported  no converter here makes that target
    6909  blemish      never an error: the result is there, but lacks something that was asked for
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from runner.server.converters.protocol import ConversionError, Guards, Product
from runner.wire.values import Json

MIB = 1024 * 1024


class Code(IntEnum):
    CRASHED = 6900
    WALL_TIME = 6901
    CPU_TIME = 6902
    MEMORY = 6903
    OUTPUT_SIZE = 6904
    DISK_FULL = 6905
    BUG = 6906
    NO_WORKER = 6907
    UNSUPPORTED = 6908
    BLEMISH = 6909


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one conversion may take. `memory_bytes` is address space, libraries included."""

    wall_s: float = 600.0
    cpu_s: int = 600
    memory_bytes: int = 4096 * MIB
    output_bytes: int = 4096 * MIB
    open_files: int = 128
    guards: Guards = field(default_factory=Guards)


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """`facts` are what the conversion saw of its sources, in their order; empty where it saw nothing."""

    products: tuple[Product, ...]
    cpu_s: float
    wall_s: float
    facts: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """No result; `message` is for the person who sent the file."""

    code: int
    message: str
    details: Mapping[str, Json] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0


Outcome = Converted | Refused


def refusal_of(error: BaseException, limits: Limits) -> Refused:
    """What an exception out of a converter means to the person who sent the file."""
    if isinstance(error, ConversionError):
        return Refused(code=error.code, message=error.message, details=error.details)
    if isinstance(error, MemoryError):
        return out_of_memory(limits)
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno](limits)
    return Refused(
        code=Code.BUG,
        message=f"The converter failed unexpectedly ({type(error).__name__}). This is an error of ours.",
        details={"exception": type(error).__name__, "at": _place(error)},
    )


def _place(error: BaseException) -> str:
    """File and line where it was raised, for whoever reads a report of our error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def out_of_memory(limits: Limits) -> Refused:
    return Refused(
        code=Code.MEMORY,
        message=f"The conversion needs more than the {limits.memory_bytes // MIB} MiB of memory allowed.",
        details={"limit_bytes": limits.memory_bytes},
    )


def _too_much_output(limits: Limits) -> Refused:
    return Refused(
        code=Code.OUTPUT_SIZE,
        message=f"The result would be larger than the {limits.output_bytes // MIB} MiB allowed.",
        details={"limit_bytes": limits.output_bytes},
    )


def _disk_full(limits: Limits) -> Refused:  # noqa: ARG001  # one shape for the table below
    return Refused(code=Code.DISK_FULL, message="The server's disk is full; there is no space left for the result.")


_BY_ERRNO = {
    errno.ENOMEM: out_of_memory,
    errno.EFBIG: _too_much_output,
    errno.ENOSPC: _disk_full,
    errno.EDQUOT: _disk_full,
}


def out_of_wall_time(limits: Limits) -> Refused:
    return Refused(
        code=Code.WALL_TIME,
        message=f"The conversion took longer than the {limits.wall_s:g} seconds allowed and was ended.",
        details={"limit_s": limits.wall_s},
    )


def out_of_cpu_time(limits: Limits) -> Refused:
    return Refused(
        code=Code.CPU_TIME,
        message=f"The conversion used more than the {limits.cpu_s} seconds of processor time allowed.",
        details={"limit_s": limits.cpu_s},
    )


def crashed(signal_name: str) -> Refused:
    return Refused(
        code=Code.CRASHED,
        message=f"The converter crashed on this file ({signal_name}).",
        details={"signal": signal_name},
    )


def nonsense(why: str) -> Refused:
    return Refused(code=Code.BUG, message=f"The converter's answer can't be used: {why}.")


def no_worker(why: str) -> Refused:
    return Refused(code=Code.NO_WORKER, message=f"No process for the conversion could be started: {why}.")


def unsupported(category: str, target: str) -> Refused:
    return Refused(code=Code.UNSUPPORTED, message=f"Nothing here converts to {category}/{target}.")
