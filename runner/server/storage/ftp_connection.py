"""A connection to an FTP server, logged in.

It is encrypted whenever the server can do that, but its certificate isn't checked: the API has no way to say which one
to expect, and who can replace a certificate could hide the offer as well.
"""

from __future__ import annotations

import ftplib
import socket
import ssl

from runner.server.engine.addresses import RefusedAddress, resolve
from runner.server.storage.protocol import FAILED, NOT_FOUND, Busy, Place, Site, StorageError

# ProFTPD answers so to the login, which is no opinion about the password.
_TOO_MANY_AT_LOGIN = "maximum number"
_CONNECT_S = 10.0


class Connection(ftplib.FTP_TLS):
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


def logged_in(place: Place, site: Site) -> Connection:
    """Raises StorageError, Busy, and what ftplib and sockets raise."""
    host, port = place.parameters["host"], int(place.parameters["port"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    ftp = Connection(timeout=min(_CONNECT_S, site.silence_s), context=context)
    try:
        _first_that_answers(ftp, _addresses(host, port, site), port)
        _greet(ftp, place, site)
    except BaseException:
        ftp.close()
        raise
    return ftp


def _greet(ftp: Connection, place: Place, site: Site) -> None:
    secured = _secured(ftp)
    credentials = place.credentials
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
        ftp.sock.settimeout(site.silence_s)
    ftp.timeout = site.silence_s


def _addresses(host: str, port: int, site: Site) -> list[str]:
    try:
        return resolve(host, port, site.allowed)
    except RefusedAddress as error:
        raise StorageError(FAILED, str(error)) from error
    except (OSError, UnicodeError) as error:
        raise StorageError(FAILED, f"the host could not be found: {error}") from error


def _first_that_answers(ftp: Connection, addresses: list[str], port: int) -> None:
    for last, address in ((address == addresses[-1], address) for address in addresses):
        try:
            ftp.connect(address, port)
            return
        except OSError:
            if last:
                raise


def _secured(ftp: Connection) -> bool:
    try:
        ftp.auth()
    except ftplib.error_perm:  # it can't, or doesn't want to
        return False
    return True
