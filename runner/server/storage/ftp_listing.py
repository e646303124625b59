"""What lies below a folder of an FTP server, with sizes and times.

By MLSD, which says it all at once (RFC 3659); else by the plain list of names, asking for the size of each: what has
none is a folder, or something that nobody can fetch.
"""

from __future__ import annotations

import ftplib
from collections.abc import Iterator

from runner.server.storage.protocol import FAILED, NOT_FOUND, Found, StorageError

# Links to folders above may lead round in circles, and a listing doesn't show that they are links.
_DEEPEST = 32
_UNKNOWN_COMMAND = ("500", "501", "502", "504")


def files_below(ftp: ftplib.FTP, folder: str) -> Iterator[Found]:
    """Every file below `folder`, "" for where the login leads; raises StorageError where there is no such folder."""
    waiting = [(folder.rstrip("/") or ("/" if folder else ""), 1)]
    while waiting:
        here, depth = waiting.pop()
        if depth > _DEEPEST:
            raise StorageError(FAILED, f"folders are nested more than {_DEEPEST} deep below it, or lead in a circle")
        for name, found in _entries(ftp, here, is_first=depth == 1):
            if found is None:
                waiting.append((name, depth + 1))
            else:
                yield found


def _entries(ftp: ftplib.FTP, folder: str, *, is_first: bool) -> list[tuple[str, Found | None]]:
    """Names in a folder with what is known of each file; None for a folder."""
    try:
        return _by_mlsd(ftp, folder)
    except ftplib.error_perm as error:
        if not str(error).startswith(_UNKNOWN_COMMAND):
            raise StorageError(NOT_FOUND, f"there is no such folder, or no right to it: {error}") from error
    return _by_names(ftp, folder, is_first=is_first)


def _by_mlsd(ftp: ftplib.FTP, folder: str) -> list[tuple[str, Found | None]]:
    entries: list[tuple[str, Found | None]] = []
    for name, facts in ftp.mlsd(folder):
        path, kind = _joined(folder, name), facts.get("type", "").lower()
        if kind == "dir":
            entries.append((path, None))
        elif kind == "file":
            size = facts.get("size", "")
            version = f"{size} {facts.get('modify', '')}".strip()
            entries.append((path, Found(name=path, size=int(size) if size.isdigit() else None, version=version)))
    return entries


def _by_names(ftp: ftplib.FTP, folder: str, *, is_first: bool) -> list[tuple[str, Found | None]]:
    if is_first and not _is_folder(ftp, folder):
        raise StorageError(NOT_FOUND, "there is no such folder, or no right to it")
    entries: list[tuple[str, Found | None]] = []
    for line in _names(ftp, folder):
        path = _joined(folder, line.rstrip("/").rpartition("/")[2])
        size = _size(ftp, path)
        if size is not None:
            entries.append((path, Found(name=path, size=size, version=f"{size} {_time(ftp, path)}".strip())))
        elif _is_folder(ftp, path):
            entries.append((path, None))
    return entries


def _names(ftp: ftplib.FTP, folder: str) -> list[str]:
    try:
        names = ftp.nlst(folder) if folder else ftp.nlst()
    except (ftplib.error_perm, ftplib.error_temp):  # 550 or 450: an empty folder
        return []
    return [name for name in names if name.rstrip("/").rpartition("/")[2] not in ("", ".", "..")]


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _size(ftp: ftplib.FTP, path: str) -> int | None:
    try:
        return ftp.size(path)
    except ftplib.error_perm:
        return None


def _time(ftp: ftplib.FTP, path: str) -> str:
    try:
        return ftp.voidcmd(f"MDTM {path}").partition(" ")[2]
    except ftplib.error_perm:
        return ""


def _is_folder(ftp: ftplib.FTP, path: str) -> bool:
    here = ftp.pwd()
    try:
        ftp.cwd(path or ".")
    except ftplib.error_perm:
        return False
    ftp.cwd(here)
    return True
