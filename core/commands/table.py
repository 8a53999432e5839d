"""The table of scores on disk: whole rows only, taken up again after an interruption.

A run that was stopped, killed or cut off by a full disk leaves at most one torn row; reading a begun table
cuts it off.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from core.errors import InvalidOption

COLUMNS = ("path", "score", "llr_log10", "llr_low", "llr_high", "abstain", "seconds", "model", "error")
HEADER = ",".join(COLUMNS) + "\n"
ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}  # file names need not be text


class ScoreTable:
    """A csv file of COLUMNS, open for appending. Use as a context manager.

    `begun`: the rows it had. Raises InvalidOption where the file is something else or can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.begun = resume(path)
        try:
            self._file = path.open("a", newline="", **ENCODING)
        except OSError as problem:
            raise InvalidOption(f"The table {path} can't be written; choose another --output.") from problem
        if self._file.tell() == 0:
            self._file.write(HEADER)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row at once."""
        self._file.write(record([str(row[column]) for column in COLUMNS]))
        self._file.flush()

    def __enter__(self) -> ScoreTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def resume(path: Path) -> list[dict[str, str]]:
    """Whole rows of a table that was begun; what is torn is cut off. Raises InvalidOption for another
    kind of file.
    """
    try:
        text = path.read_bytes().decode(**ENCODING)
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise InvalidOption(f"The table {path} can't be read; choose another --output.") from problem
    records = list(whole_records(text))
    if text and records[:1] != [HEADER] and not HEADER.startswith(text):
        raise InvalidOption(f"{path} is not a table of scores; choose another --output.")
    rows = [next(csv.reader(io.StringIO(line, newline="")), []) for line in records[1:] if "\0" not in line]
    good = [fields for fields in rows if len(fields) == len(COLUMNS)]
    kept = HEADER + "".join(map(record, good))
    if text and kept != text:
        replacement = path.with_name(path.name + ".part")
        replacement.write_text(kept, newline="", **ENCODING)
        os.replace(replacement, path)
    return [dict(zip(COLUMNS, fields, strict=True)) for fields in good]


def record(fields: Sequence[str]) -> str:
    """One line of the table. (csv.writer leaves a carriage return unquoted where lines end in a newline.)"""
    quoted = ('"' + f.replace('"', '""') + '"' if set(f) & set(',"\r\n') else f for f in fields)
    return ",".join(quoted) + "\n"


def whole_records(text: str) -> Iterator[str]:
    """Records of a csv text with their line ends, quoted line breaks inside; an unfinished last one
    is left out.
    """
    begun = ""
    for line in text.split("\n")[:-1]:
        begun += line + "\n"
        if begun.count('"') % 2 == 0:
            yield begun
            begun = ""
