"""The entry module: answers `--version` before anything else is imported."""

import atexit
import gc
import os
import sys


def main() -> None:
    if sys.argv[1:] == ["--version"] and _says_version():
        return
    if sys.getfilesystemencoding() != "utf-8":
        _start_again_in_utf_8()
    # Loading modules makes many objects and no garbage: looking for it all the while took a fifth of `check`.
    gc.set_threshold(100_000, 10, 10)
    # For the same reason the interpreter needn't look for it once more in all that it leaves behind.
    atexit.register(gc.freeze)
    from runner.cli.app import run_cli

    run_cli()


def _says_version() -> bool:
    from runner import __version__

    try:
        sys.stdout.write(f"runner {__version__}\n")
        sys.stdout.flush()
    except (OSError, AttributeError):  # full, or closed and so None: the command line says it as it does elsewhere
        return False
    return True


def _start_again_in_utf_8() -> None:
    """Recipes and addresses are UTF-8 whatever the locale is, and so names of files must be: only a start says so."""
    if not sys.executable or os.environ.get("PYTHONUTF8") == "1":  # what didn't help once isn't tried again
        return
    os.environ["PYTHONUTF8"] = "1"  # for the processes that we start, too
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves


if __name__ == "__main__":
    main()
