"""An FTP server in this process, pyftpdlib, that can be made to fail: cut in the middle, stall, run out of disk."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.server.storage.ftp_remote import ftp_remote
from tests.server.storage.remote import Remote

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of asyncore, which Python 3.11 still has
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import DTPHandler, FTPHandler
    from pyftpdlib.servers import FTPServer

USER, NEIGHBOR, READER, PASSWORD = "runner", "neighbor", "reader", "password-of-the-ftp-tests"


@dataclass
class Mischief:
    """
    cut_after   bytes after which a download's connection is cut
    cuts        how often that happens
    stalls      from now on a download sends nothing more
    full        what is stored goes to a disk that is full
    lost        renames that are done but never answered
    mute        renames that are done, and nothing is said any more
    late_s      how long a rename takes
    snatched    renames that are not done: the line breaks, and somebody else's file of the same size has the name
    not_stored  uploads that end in the words of a server whose disk is full
    """

    cut_after: int = 0
    cuts: int = 0
    stalls: bool = False
    full: bool = False
    lost: int = 0
    mute: int = 0
    late_s: float = 0.0
    snatched: int = 0
    not_stored: int = 0


@dataclass(frozen=True)
class Ftpd:
    remote: Remote
    mischief: Mischief
    home: Path
    handler: type[Any]


class _Files(AbstractedFS):  # type: ignore[misc]  # pyftpdlib has no types
    def open(self, filename: str, mode: str) -> Any:
        writes_to_full_disk = self.cmd_channel.mischief.full and "w" in mode
        return super().open("/dev/full" if writes_to_full_disk else filename, mode)


class _Data(DTPHandler):  # type: ignore[misc]
    def send(self, data: bytes) -> int:
        mischief = self.cmd_channel.mischief
        if mischief.stalls:
            return 0
        if mischief.cuts and self.tot_bytes_sent >= mischief.cut_after:
            mischief.cuts -= 1
            self.close()
            return 0
        return int(super().send(data))


class _Handler(FTPHandler):  # type: ignore[misc]
    abstracted_fs = _Files
    dtp_handler = _Data
    auth_failed_timeout = 0.05
    use_sendfile = False  # it would go past `send`
    mischief: Mischief

    def ftp_RNTO(self, path: str) -> None:  # noqa: N802  # pyftpdlib's name
        if not self.mischief.snatched:
            self.ioloop.call_later(self.mischief.late_s, partial(super().ftp_RNTO, path))
            return
        self.mischief.snatched -= 1
        size = Path(self._rnfr).stat().st_size
        Path(path).write_bytes(b"x" * size)
        self.close()

    def respond(self, resp: str, *args: Any, **more: Any) -> None:
        if self.mischief.lost and resp.startswith("250 Renaming"):
            self.mischief.lost -= 1
            self.close()
            return
        if self.mischief.mute and resp.startswith("250 Renaming"):
            self.mischief.mute -= 1
            return
        if self.mischief.not_stored and resp.startswith("226 Transfer complete"):
            self.mischief.not_stored -= 1
            resp = "451 Failure writing to local file."
        super().respond(resp, *args, **more)


@contextlib.contextmanager
def ftpd(home: Path) -> Iterator[Ftpd]:
    authorizer_ = DummyAuthorizer()
    authorizer_.add_user(USER, PASSWORD, str(home), perm="elradfmwMT")
    neighbors_home = home.with_name(f"{home.name}-of-{NEIGHBOR}")
    neighbors_home.mkdir()
    authorizer_.add_user(NEIGHBOR, PASSWORD, str(neighbors_home), perm="elradfmwMT")
    authorizer_.add_user(READER, PASSWORD, str(home), perm="elr")
    about = Mischief()

    class Handler(_Handler):
        authorizer = authorizer_
        mischief = about

    server = FTPServer(("127.0.0.1", 0), Handler)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            server.serve_forever(timeout=0.02, blocking=False, handle_exit=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        neighbor = ftp_remote(server.address[1], NEIGHBOR, PASSWORD, neighbors_home)
        remote = replace(ftp_remote(server.address[1], USER, PASSWORD, home), neighbor=neighbor)
        yield Ftpd(remote, about, home, Handler)
    finally:
        stopping.set()
        thread.join()
        server.close_all()
