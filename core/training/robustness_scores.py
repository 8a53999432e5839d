"""The scores behind a robustness table, kept in a CSV as they come, so that a run that was stopped goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import EarwitnessError

COLUMNS = ("key", "clip", "condition", "score", "abstained", "problem")


class RobustnessError(EarwitnessError):
    """The robustness table can't be made or its scores can't be kept; the message says why."""

    code = "robustness"


@dataclass(frozen=True)
class Heard:
    """What the detector said of one degraded clip; ``problem`` where it could not be degraded or scored."""

    score: float
    abstained: bool
    problem: str = ""

    @property
    def answered(self) -> bool:
        return not self.problem and not self.abstained and np.isfinite(self.score)


def read_scores(path: Path, key: str) -> dict[tuple[str, str], Heard]:
    """Kept scores of this key; a line torn by an interruption is taken for missing."""
    found: dict[tuple[str, str], Heard] = {}
    if not path.is_file():
        return found
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            if row.get("key") != key or None in row.values() or row.get("abstained") not in ("0", "1"):
                continue
            try:
                score = float(row["score"] or "nan")
            except ValueError:
                continue
            found[row["clip"], row["condition"]] = Heard(score, row["abstained"] == "1", row["problem"].removeprefix("-"))
    return found


class Keeper:
    """Writes scores as they come. The file is written anew at the start, which also mends a torn end."""

    def __init__(self, path: Path | None, key: str, known: Mapping[tuple[str, str], Heard]) -> None:
        self._path, self._key, self._known, self._file = path, key, known, None

    def __enter__(self) -> Keeper:
        if self._path is None:
            return self
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".part")
            with partial.open("w", newline="", encoding="utf-8") as self._file:
                self._writer = csv.writer(self._file)
                self._writer.writerow(COLUMNS)
                for (clip, condition), heard in self._known.items():
                    self.add(clip, condition, heard)
            partial.replace(self._path)
            self._file = self._path.open("a", newline="", encoding="utf-8")
            self._writer = csv.writer(self._file)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def add(self, clip: str, condition: str, heard: Heard) -> None:
        if self._file is None:
            return
        score = "" if np.isnan(heard.score) else repr(heard.score)
        try:
            # a dash ends every line that has no problem, so that a torn line can be told from a whole one
            self._writer.writerow((self._key, clip, condition, score, int(heard.abstained), heard.problem or "-"))
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _failed(self, error: OSError) -> RobustnessError:
        name = self._path.name if self._path else ""
        return RobustnessError(f"The scores of the robustness table can't be kept in {name} ({error.strerror}); what was "
                               "written before is used when it is run again.")
