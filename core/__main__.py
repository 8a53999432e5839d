"""`python -m core COMMAND`: the same numbers as on the screen, from a terminal.

Only the parser lives here and starts fast; each command imports what it needs when it runs. Exit status: 0
done, 2 something could not be done (one sentence says what), 3 an examination abstained, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from core.commands import bench, calibrate, examine, library, score, speaker
from core.errors import EarwitnessError
from core.training import acorl_cli, rad_cli, speaker_cli
from core.training import cli as training
from core.version import VERSION

OK, FAILED, ABSTAINED, INTERRUPTED = 0, 2, 3, 130


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    root = argparse.ArgumentParser(
        prog="python -m core", description="Earwitness: examine recordings for synthetic or converted speech."
    )
    root.add_argument("--version", action="version", version=f"Earwitness {VERSION}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (examine, score, speaker, bench, calibrate, library):
        command.add_parser(commands)
    training.add_parsers(commands)
    rad_cli.add_parser(commands)
    acorl_cli.add_parser(commands)
    speaker_cli.add_parser(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name in another encoding must not stop a run
    options = parser().parse_args(arguments)
    try:
        return int(options.func(options) or OK)
    except EarwitnessError as problem:
        print(f"error: {problem.message}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `... | head`: the reader has gone, which is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


if __name__ == "__main__":
    sys.exit(main())
