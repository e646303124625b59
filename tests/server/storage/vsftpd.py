"""An FTP server as hosts have them: vsftpd, plain, and with TLS that insists on session reuse.

It logs system users in, so the tests make one, with a password nobody knows, and remove it at the end.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import trustme

from tests.server.storage.ftp_remote import ftp_remote
from tests.server.storage.processes import answers, free_ports, running
from tests.server.storage.remote import Remote

_USER = "runner-ftp-"
_SETTINGS = {
    "listen": "YES",
    "listen_ipv6": "NO",
    "listen_address": "127.0.0.1",
    "background": "NO",
    "local_enable": "YES",
    "write_enable": "YES",
    "anonymous_enable": "NO",
    "pasv_address": "127.0.0.1",
    "pam_service_name": "vsftpd",
    "chroot_local_user": "YES",
    "allow_writeable_chroot": "YES",
    "seccomp_sandbox": "NO",
    "delay_failed_login": "0",
    "max_login_fails": "1",
    "xferlog_enable": "NO",
    "utf8_filesystem": "YES",
}
_TLS = {
    "ssl_enable": "YES",
    "force_local_logins_ssl": "YES",
    "force_local_data_ssl": "YES",
    "require_ssl_reuse": "YES",
}


@contextlib.contextmanager
def vsftpd(*, secure: bool, **more: str) -> Iterator[Remote]:
    """`more` are settings of its own, as in its configuration file."""
    program = shutil.which("vsftpd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "vsftpd is missing: install the Debian package (tools/debian-packages does)"
    # Not among the tests' own folders: these are closed to the user that vsftpd becomes.
    with tempfile.TemporaryDirectory(prefix="runner-vsftpd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _user(folder / "home") as (user, password):
            (port,) = free_ports(1)
            (folder / "empty").mkdir()
            settings = {**_SETTINGS, "listen_port": str(port), "secure_chroot_dir": str(folder / "empty")}
            settings |= {**_TLS, **_certificate(folder)} if secure else {}
            settings |= more
            config = folder / "vsftpd.conf"
            config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
            with running([program, config], folder / "log", is_ready=lambda: answers(port), what="vsftpd"):
                owner = pwd.getpwnam(user)
                yield ftp_remote(port, user, password, folder / "home", owner=(owner.pw_uid, owner.pw_gid))


@contextlib.contextmanager
def _user(home: Path) -> Iterator[tuple[str, str]]:
    assert os.geteuid() == 0, (
        "vsftpd logs system users in, and making one for these tests takes root: run them as root, "
        "in a container say, or leave this folder out with --ignore tests/server/storage"
    )
    _remove_leftovers()
    name, password = f"{_USER}{os.getpid()}-{secrets.token_hex(2)}", secrets.token_urlsafe(16)
    subprocess.run(["useradd", "--home-dir", str(home), "--shell", "/bin/sh", "--no-create-home", name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True)
        home.mkdir()
        shutil.chown(home, name, name)
        yield name, password
    finally:
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


def _remove_leftovers() -> None:
    """Users of tests that were killed: their names say whose they were."""
    for entry in pwd.getpwall():
        if entry.pw_name.startswith(_USER) and not Path(f"/proc/{entry.pw_name.split('-')[2]}").exists():
            # Another worker may be at it as well; whose user is gone by now is content.
            subprocess.run(["userdel", "--force", entry.pw_name], check=False, capture_output=True)


def _certificate(folder: Path) -> Mapping[str, str]:
    made = trustme.CA().issue_cert("127.0.0.1")
    chain, key = folder / "tls.crt", folder / "tls.key"
    for pem in made.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    made.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    return {"rsa_cert_file": str(chain), "rsa_private_key_file": str(key)}
