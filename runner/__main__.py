"""The entry module: answers `--version` before anything else is imported."""

import sys


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        from runner import __version__

        sys.stdout.write(f"runner {__version__}\n")
        return
    from runner.cli.app import run_cli

    run_cli()


if __name__ == "__main__":
    main()
