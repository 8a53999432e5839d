"""What the commands share: options, printable names, one sentence for whatever went wrong."""

from __future__ import annotations

import argparse
import sys
import time
import unicodedata
from typing import TextIO

from core.errors import EarwitnessError


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--model and --device."""
    parser.add_argument("--model", metavar="NAME", help="a shipped model's name or a model folder")
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda or mps (default: auto)"
    )


def peak_bytes() -> int:
    """The most memory that this process has held since its program began.

    On Linux from /proc: what ``getrusage`` says there is never less than what the parent held when it forked.
    """
    import resource

    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def printable(text: str) -> str:
    """Text fit for a terminal: control and direction marks, line breaks and odd bytes become escapes."""
    plain = (
        c if c == " " or (c.isprintable() and unicodedata.category(c) != "Cf") else ascii(c)[1:-1]
        for c in text
    )
    return "".join(plain)


def sentence_for(problem: Exception) -> str:
    """One sentence for the user about any exception. Faults of the program are called that."""
    if isinstance(problem, EarwitnessError):
        return problem.message
    if isinstance(problem, MemoryError):
        return "There was not enough memory for this file; close other programs or cut it into parts."
    return f"The program failed on this file ({type(problem).__name__}); please report it."


class Bar:
    """A progress bar on a terminal's stderr; elsewhere a line for every tenth. Prints nothing when quiet."""

    def __init__(self, total: int, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.total, self.quiet, self.stream = max(1, total), quiet, stream or sys.stderr
        self.done, self._began, self._tenth = 0, time.monotonic(), 0
        self._live = self.stream.isatty()

    def step(self, note: str = "") -> None:
        """One more is done; `note` names it."""
        self.done += 1
        if self.quiet:
            return
        elapsed = time.monotonic() - self._began
        left = elapsed / self.done * (self.total - self.done)
        counts = f"{self.done}/{self.total}  {self.done / max(elapsed, 1e-9):.1f} files/s  {left:.0f} s left"
        if self._live:
            filled = 24 * self.done // self.total
            line = f"[{'#' * filled}{'.' * (24 - filled)}] {counts}  {printable(note)[-30:]}"
            self.stream.write(f"\r\x1b[K{line}" + ("\n" if self.done == self.total else ""))
            self.stream.flush()
        elif 10 * self.done // self.total > self._tenth:
            self._tenth = 10 * self.done // self.total
            self.stream.write(counts + "\n")
            self.stream.flush()
