"""The entry module: answers `--version` before anything else is imported."""

import gc
import sys


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        from runner import __version__

        sys.stdout.write(f"runner {__version__}\n")
        return
    # Loading modules makes many objects and no garbage: looking for it all the while took a fifth of `check`.
    gc.set_threshold(100_000, 10, 10)
    from runner.cli.app import run_cli

    run_cli()


if __name__ == "__main__":
    main()
