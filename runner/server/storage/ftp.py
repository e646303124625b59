"""FTP, and FTPS where the server offers it.

FTP can't create a file only where there is none. So this is the best it allows: look for the name, write
under a name of our own beside it, look again, rename. Between the last look and the rename somebody else's
file of that name may be replaced.

Those of this server are kept apart by a lock for each name; nothing keeps others apart.
"""

from __future__ import annotations

import ftplib
import socket
import ssl
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from runner.server.storage.ftp_connection import Connection, logged_in
from runner.server.storage.ftp_listing import files_below
from runner.server.storage.named_locks import NamedLocks
from runner.server.storage.protocol import (
    FAILED,
    NAME_TAKEN,
    NOT_FOUND,
    Broken,
    Busy,
    Found,
    Place,
    Site,
    StorageError,
    Take,
    Upload,
)
from runner.wire.ftp_names import normal_file

_CHUNK = 256 * 1024
_REFUSED_LOGIN = ("530", "331", "332", "532")
_NO_SUCH_FILE = "550"
_DISK_FULL = ("452", "552")
_NOT_STORED = "451"
_TOO_MANY = "421"
_names = NamedLocks()  # whose last look and renaming are under way


def connect(place: Place, site: Site) -> FtpStore:
    return FtpStore(place, site)


class FtpStore:
    def __init__(self, place: Place, site: Site) -> None:
        self._place = place
        self._site = site
        self._path = place.parameters["file"]
        self._ftp: Connection | None = None
        self._renaming = ""  # the part that was to be renamed when the connection broke
        self._has_looked = False
        self._not_stored = 0

    def open(self) -> FtpObject:
        with self._session() as ftp:
            return FtpObject(self, self._path, _size_and_time(ftp, self._path))

    def create(self, upload: Upload) -> None:
        part = _beside(self._path, f"runner-{upload.token[-12:]}.part")
        with self._session() as ftp:
            if self._got_through(ftp, part, upload):
                self._renaming = ""
                return
            self._refuse_if_taken(ftp)
            self._renaming = ""
            try:
                self._store(ftp, part, upload)
                upload.before_renaming()
                with _names.held(self._one_name(ftp)):
                    self._refuse_if_taken(ftp)
                    self._renaming = part
                    ftp.rename(part, self._path)
                self._renaming = ""
            except (OSError, EOFError):
                self._hang_up()
                if not self._renaming:  # else whether the part is still there tells whether it was renamed
                    self._remove(part)
                raise
            except BaseException:
                self._hang_up()  # whatever it still has to say is about a transfer that is over
                self._renaming = ""
                self._remove(part)
                raise

    def foresee(self) -> str:
        """The login is tried and the name looked for; whether one may write there, FTP tells only who does."""
        with self._session() as ftp:
            self._refuse_if_taken(ftp)
        return ""

    def listing(self) -> Iterator[Found]:
        with self._session() as ftp:
            yield from files_below(ftp, self._path)

    def sent(self) -> int:
        return 0

    def close(self) -> None:
        if self._renaming:
            self._remove(self._renaming)
        self._hang_up()

    def _hang_up(self) -> None:
        ftp, self._ftp = self._ftp, None
        if ftp is not None:
            with suppress(OSError, EOFError, ftplib.Error):
                ftp.close()

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """The connection, opened where there is none; what breaks it closes it."""
        try:
            yield self._connected()
        except ftplib.error_perm as error:
            raise _meaning(error) from error
        except ftplib.error_temp as error:
            self._hang_up()
            raise _passing(error) from error
        except ftplib.Error as error:
            self._hang_up()
            raise StorageError(FAILED, f"the server doesn't speak FTP as it should: {error}") from error
        except (OSError, EOFError) as error:
            self._hang_up()
            raise Broken(str(error) or "the server hung up") from error

    def read(self, path: str, start: int, known: tuple[int | None, str], take: Take) -> None:
        with self._session() as ftp:
            if start and _size_and_time(ftp, path) != known:
                raise StorageError(FAILED, "the file changed while it was read")
            data = ftp.transfercmd(f"RETR {path}", start or None)
            chunks = _received(data)
        reached = start
        with data:
            for chunk in self._unbroken(chunks):
                take(chunk)
                reached += len(chunk)
        with self._session() as ftp:
            if known[0] is not None and reached < known[0]:  # a server that breaks off may forget to say so
                raise ConnectionError(f"{known[0] - reached} bytes are missing")
            ftp.voidresp()

    def _unbroken(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Only what happens on the wire is the wire's fault; `take` may fail for reasons of its own."""
        while True:
            with self._session():
                chunk = next(chunks, b"")
            if not chunk:
                return
            yield chunk

    def _connected(self) -> Connection:
        if self._ftp is None:
            self._ftp = logged_in(self._place, self._site)
        return self._ftp

    def _got_through(self, ftp: Connection, part: str, upload: Upload) -> bool:
        """Whether what an earlier attempt has stored is there, of this server or of one that was killed."""
        if self._renaming:
            return self._was_renamed(ftp, part, upload)
        if upload.was_done and _size(ftp, self._path) == upload.size:
            return True
        if self._has_looked or not upload.was_renaming:
            return False
        is_ours = self._was_renamed(ftp, part, upload) and self._is_the_same(upload)
        self._has_looked = True
        return is_ours

    def _is_the_same(self, upload: Upload) -> bool:
        """Whether the file there has our bytes, as far as it may be read: since the kill somebody may have put his."""
        is_same = True
        with upload.open() as ours:

            def compare(chunk: bytes) -> None:
                nonlocal is_same
                is_same = is_same and ours.read(len(chunk)) == chunk

            try:
                self.read(self._path, 0, (upload.size, ""), compare)
            except StorageError as error:
                if error.code != NOT_FOUND:
                    raise
        return is_same

    def _was_renamed(self, ftp: Connection, part: str, upload: Upload) -> bool:
        """Whether the attempt before this one got through, and only its answer was lost: nobody else takes the part."""
        return _size(ftp, self._path) == upload.size and _size(ftp, part) is None

    def _refuse_if_taken(self, ftp: Connection) -> None:
        if _exists(ftp, self._path):
            raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten")

    def _one_name(self, ftp: Connection) -> Hashable:
        """The same for everybody who wants this name there, however host and path are written."""
        server = ftp.sock.getpeername() if ftp.sock is not None else ()
        return server, self._place.account, normal_file(self._path)

    def _store(self, ftp: Connection, part: str, upload: Upload) -> None:
        try:
            data = ftp.transfercmd(f"STOR {part}")
        except ftplib.error_perm:  # most likely a folder is missing
            _make_folders(ftp, part)
            data = ftp.transfercmd(f"STOR {part}")
        try:
            with upload.open() as file:
                _send(ftp, data, file)
        except ftplib.error_temp as error:
            self._give_up_when_not_stored_again(error)
            raise
        stored = _size(ftp, part)
        if stored is not None and stored != upload.size:
            raise StorageError(FAILED, f"the server stored {stored} of {upload.size} bytes")

    def _give_up_when_not_stored_again(self, error: ftplib.error_temp) -> None:
        """A disk that is full says the same as one that stumbles: once more, and no more."""
        self._not_stored += str(error).startswith(_NOT_STORED)
        if self._not_stored > 1:
            raise StorageError(FAILED, f"the server could not store it: {error}") from error

    def _remove(self, part: str) -> None:
        """Our half file, as far as the server lets us."""
        with suppress(StorageError, Broken), self._session() as ftp:
            ftp.delete(part)


class FtpObject:
    """
    known  size and time of change as the server said them at first, where it says them
    """

    def __init__(self, store: FtpStore, path: str, known: tuple[int | None, str]) -> None:
        self._store = store
        self._path = path
        self._known = known
        self.size = known[0]

    def read(self, start: int, take: Take) -> None:
        if self.size is None or start < self.size or start == 0:
            self._store.read(self._path, start, self._known, take)


def _beside(path: str, name: str) -> str:
    """A file of that name in the same folder: one that is built on the other could be too long."""
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}{name}"


def _exists(ftp: Connection, path: str) -> bool:
    """Whether there is a file of this name; False where the server won't say."""
    try:
        return ftp.size(path) is not None
    except ftplib.error_perm as error:
        if str(error).startswith(_NO_SUCH_FILE):
            return False
    try:
        return bool(ftp.nlst(path))  # for servers without SIZE
    except (ftplib.error_perm, ftplib.error_temp):  # 550 or 450: there is nothing
        return False


def _size(ftp: Connection, path: str) -> int | None:
    try:
        return ftp.size(path)
    except ftplib.error_perm:
        return None


def _size_and_time(ftp: Connection, path: str) -> tuple[int | None, str]:
    size = _size(ftp, path)
    try:
        return size, ftp.voidcmd(f"MDTM {path}")
    except ftplib.error_perm:
        return size, ""


def _received(data: socket.socket) -> Iterator[bytes]:
    while chunk := data.recv(_CHUNK):
        yield chunk
    if isinstance(data, ssl.SSLSocket):
        with suppress(OSError):  # who forgets to say goodbye has sent everything all the same: sizes are compared
            data.unwrap()


def _send(ftp: Connection, data: socket.socket, file: BinaryIO) -> None:
    try:
        with data:
            while chunk := file.read(_CHUNK):
                data.sendall(chunk)
            if isinstance(data, ssl.SSLSocket):
                data.unwrap()
    except OSError:
        _raise_what_it_says(ftp)
        raise
    ftp.voidresp()


def _raise_what_it_says(ftp: Connection) -> None:
    """A server that hangs up on us, for a full disk say, tells why on the other line."""
    with suppress(OSError, EOFError):
        ftp.voidresp()


def _make_folders(ftp: Connection, path: str) -> None:
    parts = path.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        folder = "/".join(parts[:end])
        if folder:
            with suppress(ftplib.error_perm):  # it is there, or the upload will say what is wrong with it
                ftp.mkd(folder)


def _meaning(error: ftplib.error_perm) -> StorageError:
    said = str(error)
    if said.startswith(_REFUSED_LOGIN):
        return StorageError(NOT_FOUND, f"the server refuses the login: {said}")
    if said.startswith(_NO_SUCH_FILE):
        return StorageError(NOT_FOUND, f"there is no such file, or no right to it: {said}")
    return StorageError(FAILED, f"the server refuses: {said}")


def _passing(error: ftplib.error_temp) -> Exception:
    said = str(error)
    if said.startswith(_DISK_FULL):
        return StorageError(FAILED, f"the server's disk is full: {said}")
    return Busy(said) if said.startswith(_TOO_MANY) else Broken(said)
