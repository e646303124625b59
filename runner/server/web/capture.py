"""A page becomes a file: its HTML after it was loaded, a picture of it, or a PDF."""

from __future__ import annotations

import codecs
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from runner.server.engine.remote import Fetched, InputError, Order, probe
from runner.server.web.proxy import filtering_proxy
from runner.wire.values import Json

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_GET_IT = "Chromium, which is not installed here (Debian and Ubuntu: apt-get install chromium)"

# What a page and all that it includes may have in bytes, and how long it may take.
_MOST_BYTES = 256 * 1024 * 1024
_MOST_S = 60.0
_SETTLE_MS = 5_000
_LOOK_EVERY_S = 0.1
_CHUNK = 1024 * 1024

# What an engine makes of a page: the kind of file, and its extension.
ENGINES = {"website": "html", "screenshot": "png", "screenshot_pdf": "pdf"}

# Chromium writes html in UTF-8, whatever the page says of itself or its server said of it.
_LEAD = {"website": codecs.BOM_UTF8}

# option: default, least, most
_SCREEN = {"screen_width": (1280, 16, 8192), "screen_height": (1024, 16, 16384), "device_scale_factor": (1, 0.1, 4)}

_QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-pdf-header-footer",
    # Launched without rights (see `launch`), and its own sandbox can't be built on top of that.
    "--no-sandbox",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


@cache
def chromium() -> str:
    """Where Chromium is; empty where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), "")


def capture(order: Order, engine: str, options: Mapping[str, Json]) -> Fetched:
    """Write the page at `order.url` to `order.path`, in a thread; raises InputError, OSError for our disk."""
    screen = {name: _number(options, name) for name in _SCREEN}
    probe(order)  # a page that isn't there or may not be reached is an error, and no picture of one
    extension = ENGINES[engine]
    with (
        # Not in the state folder: Chromium makes sockets in it, and their paths must be short.
        tempfile.TemporaryDirectory(prefix="runner-web-", ignore_cleanup_errors=True) as folder,
        filtering_proxy(order.allowed, most_bytes=_MOST_BYTES) as port,
    ):
        made = Path(folder) / f"page.{extension}"
        command = [
            *(sys.executable, "-m", "runner.server.web.launch", str(port), folder, chromium()),
            *_QUIET,
            f"--user-data-dir={folder}/profile",
            f"--proxy-server=http://127.0.0.1:{port}",
            f"--window-size={screen['screen_width']:.0f},{screen['screen_height']:.0f}",
            f"--force-device-scale-factor={screen['device_scale_factor']:g}",
            f"--timeout={_SETTLE_MS}",
            _action(engine, made),
            order.url,
        ]
        _run(command, Path(folder), made if engine == "website" else None, order)
        return _taken(made, order, f"{_host(order.url)}.{extension}", lead=_LEAD.get(engine, b""))


def _action(engine: str, made: Path) -> str:
    if engine == "website":
        return "--dump-dom"
    return f"--screenshot={made}" if engine == "screenshot" else f"--print-to-pdf={made}"


def _number(options: Mapping[str, Json], name: str) -> float:
    default, least, most = _SCREEN[name]
    value = options.get(name)
    if value is None or isinstance(value, bool):
        return float(default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not least <= number <= most:
        raise InputError(400, f"options.{name} must be a number from {least} to {most}")
    return number


def _run(command: list[str], folder: Path, stdout: Path | None, order: Order) -> None:
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(folder), "TMPDIR": str(folder)}
    environment |= {"LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (stdout or Path(os.devnull)).open("wb") as written:
        process = subprocess.Popen(  # noqa: S603  # no shell, and the URL was checked to be one of http
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            _wait(process, order.stopped.is_set)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _MOST_S
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_EVERY_S)
            return
        if stopped():
            raise InputError(404, "The capture was stopped")
        if time.monotonic() > give_up:
            raise InputError(408, f"The page took longer than {_MOST_S:.0f} seconds")


def _taken(made: Path, order: Order, filename: str, *, lead: bytes) -> Fetched:
    if not made.is_file() or not made.stat().st_size:
        raise InputError(500, "Chromium made nothing of the page")
    size = len(lead) + made.stat().st_size
    if size > order.most_bytes:
        raise InputError(413, order.too_large)
    order.reserve(size)
    with made.open("rb") as file, order.path.open("wb") as kept:
        chunk = lead or file.read(_CHUNK)
        while chunk:
            order.digest.update(chunk)
            kept.write(chunk)
            chunk = file.read(_CHUNK)
    return Fetched(size=size, checksum=order.digest.hexdigest(), filename=filename)


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "page").replace(":", "-")
