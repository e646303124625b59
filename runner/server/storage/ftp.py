"""FTP, and FTPS where the server offers it.

FTP can't create a file only where there is none. So this is the best it allows: look for the name, write
under a name of our own beside it, look again, rename. Between the last look and the rename somebody else's
file of that name may be replaced.

The connection is encrypted whenever the server can do that, but its certificate isn't checked: the API has no
way to say which one to expect, and who can replace a certificate could hide the offer as well.
"""

from __future__ import annotations

import ftplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from runner.server.engine.addresses import RefusedAddress, resolve
from runner.server.storage.ftp_listing import files_below
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

_CHUNK = 256 * 1024
_REFUSED_LOGIN = ("530", "331", "332", "532")
_NO_SUCH_FILE = "550"
_DISK_FULL = ("452", "552")
_NOT_STORED = "451"
_TOO_MANY = "421"
# ProFTPD answers so to the login, which is no opinion about the password.
_TOO_MANY_AT_LOGIN = "maximum number"
_CONNECT_S = 10.0


def connect(place: Place, site: Site) -> FtpStore:
    return FtpStore(place, site)


class _Connection(ftplib.FTP_TLS):
    """Data connections take the TLS session of the control connection: servers ask for that, as a proof that both
    are the same client."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321  # FTP is what the API offers
        if not self._prot_p:  # type: ignore[attr-defined]  # the standard library has no other way to ask
            return plain, size
        control = self.sock
        assert isinstance(control, ssl.SSLSocket)
        plain.settimeout(self.timeout)
        return self.context.wrap_socket(plain, server_hostname=self.host, session=control.session), size


class FtpStore:
    def __init__(self, place: Place, site: Site) -> None:
        self._place = place
        self._site = site
        self._path = place.parameters["file"]
        self._ftp: _Connection | None = None
        self._renaming = ""  # the part that was to be renamed when the connection broke
        self._not_stored = 0

    def open(self) -> FtpObject:
        with self._session() as ftp:
            return FtpObject(self, self._path, _size_and_time(ftp, self._path))

    def create(self, upload: Upload) -> None:
        part = _beside(self._path, f"runner-{upload.token[-12:]}.part")
        with self._session() as ftp:
            if self._renaming and self._was_renamed(ftp, part, upload):
                self._renaming = ""
                return
            if upload.was_done and _size(ftp, self._path) == upload.size:
                return
            self._refuse_if_taken(ftp)
            self._renaming = ""
            try:
                self._store(ftp, part, upload)
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
    def _session(self) -> Iterator[_Connection]:
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

    def _connected(self) -> _Connection:
        if self._ftp is None:
            self._ftp = self._connect()
        return self._ftp

    def _connect(self) -> _Connection:
        host, port = self._place.parameters["host"], int(self._place.parameters["port"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        ftp = _Connection(timeout=min(_CONNECT_S, self._site.silence_s), context=context)
        try:
            self._greet(ftp, _addresses(host, port, self._site), port)
        except BaseException:
            ftp.close()
            raise
        return ftp

    def _greet(self, ftp: _Connection, addresses: list[str], port: int) -> None:
        _first_that_answers(ftp, addresses, port)
        secured = _secured(ftp)
        credentials = self._place.credentials
        try:
            ftp.login(str(credentials["username"]), str(credentials["password"]), secure=False)
        except ftplib.error_perm as error:
            if _TOO_MANY_AT_LOGIN in str(error):
                raise Busy(str(error)) from error
            raise StorageError(NOT_FOUND, f"the server refuses the login: {error}") from error
        except ValueError as error:
            raise StorageError(FAILED, "username and password can't hold line breaks") from error
        if secured:
            ftp.prot_p()
        ftp.voidcmd("TYPE I")
        if ftp.sock is not None:
            ftp.sock.settimeout(self._site.silence_s)
        ftp.timeout = self._site.silence_s

    def _was_renamed(self, ftp: _Connection, part: str, upload: Upload) -> bool:
        """Whether the attempt before this one got through, and only its answer was lost: nobody else takes the part."""
        return _size(ftp, self._path) == upload.size and _size(ftp, part) is None

    def _refuse_if_taken(self, ftp: _Connection) -> None:
        if _exists(ftp, self._path):
            raise StorageError(NAME_TAKEN, "the name is taken, and nothing is overwritten")

    def _store(self, ftp: _Connection, part: str, upload: Upload) -> None:
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


def _addresses(host: str, port: int, site: Site) -> list[str]:
    try:
        return resolve(host, port, site.allowed)
    except RefusedAddress as error:
        raise StorageError(FAILED, str(error)) from error
    except (OSError, UnicodeError) as error:
        raise StorageError(FAILED, f"the host could not be found: {error}") from error


def _first_that_answers(ftp: _Connection, addresses: list[str], port: int) -> None:
    for last, address in ((address == addresses[-1], address) for address in addresses):
        try:
            ftp.connect(address, port)
            return
        except OSError:
            if last:
                raise


def _secured(ftp: _Connection) -> bool:
    try:
        ftp.auth()
    except ftplib.error_perm:  # it can't, or doesn't want to
        return False
    return True


def _exists(ftp: _Connection, path: str) -> bool:
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


def _size(ftp: _Connection, path: str) -> int | None:
    try:
        return ftp.size(path)
    except ftplib.error_perm:
        return None


def _size_and_time(ftp: _Connection, path: str) -> tuple[int | None, str]:
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


def _send(ftp: _Connection, data: socket.socket, file: BinaryIO) -> None:
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


def _raise_what_it_says(ftp: _Connection) -> None:
    """A server that hangs up on us, for a full disk say, tells why on the other line."""
    with suppress(OSError, EOFError):
        ftp.voidresp()


def _make_folders(ftp: _Connection, path: str) -> None:
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
