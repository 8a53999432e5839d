"""The table of held-out scores that lies beside a model: what a detector said of clips that it never heard.

One row per clip that the detector was tested on: what is known of the clip, its score, and its log10 likelihood ratio by
a calibration that never saw the clip's source. It lies as ``validation.csv`` beside the weights. The curves that are
drawn from it are in ``core.validation_curves``, rates by kind of material in ``core.validation_tables``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import EarwitnessError

FILE = "validation.csv"
TEXT = ("clip", "label", "system", "family", "source", "language", "speaker", "codec", "file")
NUMBERS = ("rate_hz", "duration_s", "score", "llr_log10")
REQUIRED = ("clip", "label", "system", "source", "score")
OTHER = "score:"  # prefix of columns with the scores of other detectors on the same clips
MAX_BYTES, MAX_ROWS, MAX_CELL = 256 * 1024**2, 1_000_000, 300


class ValidationUnreadable(EarwitnessError):
    """The held-out scores beside a model can't be used; the message says what is wrong and where."""

    code = "validation-unreadable"


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """One row per held-out clip, as arrays [n] in one order.

    text columns (empty string: not known): clip, label (bonafide | spoof), system, family, source, language, speaker,
    codec, file; rate_hz: the original sample rate, NaN where unknown; duration_s; score: higher is more like bona fide;
    llr_log10: likelihood ratio cross-validated over sources, all NaN where none was computed; others: scores of other
    detectors on the same clips by name, NaN for a clip they did not hear.
    """

    clip: np.ndarray
    label: np.ndarray
    system: np.ndarray
    family: np.ndarray
    source: np.ndarray
    language: np.ndarray
    speaker: np.ndarray
    codec: np.ndarray
    file: np.ndarray
    rate_hz: np.ndarray
    duration_s: np.ndarray
    score: np.ndarray
    llr_log10: np.ndarray
    others: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> HeldOutScores:
        """From mappings with the names of the columns; what is missing is empty or NaN. Raises ValidationUnreadable."""
        rows = list(rows)
        if not rows:
            raise ValidationUnreadable("The table of held-out scores has no rows; run the evaluation again.")
        columns: dict[str, Any] = {n: np.array([str(r.get(n) or "")[:MAX_CELL] for r in rows]) for n in TEXT}
        columns |= {n: np.array([_number(r.get(n), n, i) for i, r in enumerate(rows, 2)]) for n in NUMBERS}
        names = sorted({k for r in rows for k in r if isinstance(k, str) and k.startswith(OTHER) and k != OTHER})
        columns["others"] = {k.removeprefix(OTHER)[:MAX_CELL]:
                             np.array([_number(r.get(k), k, i) for i, r in enumerate(rows, 2)]) for k in names}
        held = cls(**columns)
        held._check()
        return held

    def _check(self) -> None:
        wrong = np.flatnonzero(~np.isin(self.label, ("bonafide", "spoof")))
        if wrong.size:
            raise ValidationUnreadable(f"Row {wrong[0] + 2} of the held-out scores has the label "
                                       f"{str(self.label[wrong[0]])[:40]!r}, which is neither bonafide nor spoof.")
        if np.isnan(self.score).any():
            row = int(np.flatnonzero(np.isnan(self.score))[0]) + 2
            raise ValidationUnreadable(f"Row {row} of the held-out scores has no score.")
        if self.bonafide.all() or not self.bonafide.any():
            raise ValidationUnreadable("The held-out scores are all of one class, so no error rate can be computed.")
        if not (self.clip != "").all() or len(np.unique(self.clip)) != len(self.clip):
            raise ValidationUnreadable("A clip is named twice, or not at all, in the held-out scores.")
        known = np.isfinite(self.llr_log10)
        if known.any() and not known.all():
            raise ValidationUnreadable(f"{int((~known).sum())} of {len(known)} held-out clips have no likelihood ratio; "
                                       "either all have one or none.")

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def bonafide(self) -> np.ndarray:
        """bool [n]"""
        return self.label == "bonafide"

    @property
    def has_llr(self) -> bool:
        return bool(np.isfinite(self.llr_log10).all())

    @property
    def group(self) -> np.ndarray:
        """What a bootstrap draws as a whole: a bona fide clip's speaker (itself where unnamed), a spoof's system."""
        alone = np.char.add(np.char.add(self.source, ":"), self.clip)
        return np.where(self.bonafide, np.where(self.speaker != "", self.speaker, alone), self.system)

    def part(self, mask: np.ndarray) -> HeldOutScores:
        """The rows of a boolean mask [n], unchecked: it may hold one class only."""
        picked = {name: getattr(self, name)[mask] for name in (*TEXT, *NUMBERS)}
        return HeldOutScores(**picked, others={k: v[mask] for k, v in self.others.items()})

    def split(self, values: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(bona fide, spoof) parts of ``values`` [n], by default of the scores."""
        x = self.score if values is None else values
        return x[self.bonafide], x[~self.bonafide]

    # ---- files -----------------------------------------------------------------------------------------------

    def to_csv(self) -> bytes:
        """The table as UTF-8 CSV; numbers with as many digits as give the same number back."""
        out = io.StringIO(newline="")
        names = [*TEXT, *NUMBERS, *(OTHER + name for name in self.others)]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        columns = [getattr(self, n) for n in TEXT]
        columns += [[_written(v) for v in getattr(self, n)] for n in NUMBERS]
        columns += [[_written(v) for v in values] for values in self.others.values()]
        writer.writerows(zip(*columns, strict=True))
        return out.getvalue().encode()

    def write(self, path: Path) -> None:
        """Write ``validation.csv``, whole or not at all."""
        partial = path.with_suffix(".part")
        partial.write_bytes(self.to_csv())
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> HeldOutScores:
        """Back from ``write``. Raises ValidationUnreadable naming what is wrong."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValidationUnreadable(f"{path.name} is larger than {MAX_BYTES >> 20} MiB; it is not read.")
            return cls.from_csv(path.read_bytes(), path.name)
        except OSError as problem:
            raise ValidationUnreadable(f"{path.name} can't be read ({problem.strerror}).") from problem

    @classmethod
    def from_csv(cls, body: bytes, name: str = FILE) -> HeldOutScores:
        """Back from ``to_csv``. Raises ValidationUnreadable."""
        try:
            reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""))
            missing = [c for c in REQUIRED if c not in (reader.fieldnames or ())]
            if missing:
                raise ValidationUnreadable(f"{name} lacks the column(s) {', '.join(missing)}.")
            rows = []
            for row in reader:
                rows.append(row)
                if len(rows) > MAX_ROWS:
                    raise ValidationUnreadable(f"{name} has more than {MAX_ROWS:,} rows; it is not read.")
        except (UnicodeDecodeError, csv.Error) as problem:
            raise ValidationUnreadable(f"{name} is not a CSV table in UTF-8.") from problem
        return cls.from_rows(rows)


def _number(value: Any, column: str, row: int) -> float:
    """A finite number, or NaN for an empty cell. Raises ValidationUnreadable."""
    if value is None or value == "":
        return float("nan")
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("inf")
    if np.isinf(number):
        raise ValidationUnreadable(f"Row {row} of the held-out scores has {str(value)[:30]!r} for {column}, which is no "
                                   "finite number.")
    return number


def _written(value: float) -> str:
    return "" if np.isnan(value) else repr(float(value))
