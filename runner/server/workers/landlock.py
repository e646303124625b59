"""Landlock: the kernel refuses this process files, TCP and signals beyond what is listed here.

Plain system calls by ctypes; the numbers are the same on every architecture. A kernel without Landlock
gives abi 0, and `restrict` does nothing then: the limits of `confine` remain.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8
_MAKE_SOCK, _MAKE_SYM = 1 << 9, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14

# How many rights on files, and which others, each version of the interface knows.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_FROM, _SCOPES_FROM = 4, 6
_TCP_RIGHTS = 0b11  # bind, connect
_CONNECT = 0b10
_SCOPES = 0b11  # abstract UNIX sockets, signals

_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
READ = _EXECUTE | _READ_FILE | _READ_DIR
WRITE = READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER
_LINKS = _MAKE_SOCK | _MAKE_SYM

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """The version of Landlock that this kernel offers; 0 where it offers none."""
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(0, int(version))


def restrict(
    *, readable: Iterable[Path], writable: Iterable[Path], connectable: Iterable[int] = (), with_links: bool = False
) -> int:
    """From now on this process reads only below `readable` and writes only below `writable`.

    No TCP, but to the ports in `connectable` (of any host: the kernel knows no more of it). `with_links`: sockets
    and symbolic links may be made too, below `writable`; they lead nowhere that isn't allowed.

    Returns the version in force, 0 without Landlock. Paths that don't exist are left out. Raises OSError
    when the kernel has Landlock and refuses. Needs PR_SET_NO_NEW_PRIVS.
    """
    version = abi()
    if not version:
        return 0
    handled = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    ruleset = _create(version, handled)
    try:
        for path in readable:
            _allow(ruleset, path, READ & handled)
        for path in writable:
            _allow(ruleset, path, (WRITE | (_LINKS if with_links else 0)) & handled)
        for port in connectable if version >= _TCP_FROM else ():
            rule = _NetPort(allowed=_CONNECT, port=port)
            _add(ruleset, _RULE_NET_PORT, rule)
        _checked(_libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)
    return version


def _create(version: int, handled: int) -> int:
    attributes = _Ruleset(
        files=handled,
        net=_TCP_RIGHTS if version >= _TCP_FROM else 0,
        scoped=_SCOPES if version >= _SCOPES_FROM else 0,
    )
    size = 24 if version >= _SCOPES_FROM else 16 if version >= _TCP_FROM else 8
    return _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        _add(ruleset, _RULE_PATH_BENEATH, _PathBeneath(allowed=rights, parent=parent))
    finally:
        os.close(parent)


def _add(ruleset: int, kind: int, rule: ctypes.Structure) -> None:
    _checked(
        _libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(kind), ctypes.byref(rule), ctypes.c_uint32(0))
    )


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
