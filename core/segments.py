"""Marked stretches of a recording as tables and as files that other programs read: CSV, Audacity labels,
RTTM.

Sample indices are at 16 kHz, of the working copy; a stretch is [start, stop).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.frames import format_time, seconds_to_samples


@dataclass(frozen=True)
class Segment:
    """One stretch: times in seconds, what it is called, and the value that made it stand out."""

    start_s: float
    stop_s: float
    label: str
    value: float | None = None
    unit: str = ""

    @property
    def samples(self) -> tuple[int, int]:
        return seconds_to_samples(self.start_s), seconds_to_samples(self.stop_s)


def table(segments: Sequence[Segment]) -> list[dict]:
    """Rows for the screen: times as m:ss.mmm, duration in seconds, exact sample indices, label, value."""
    return [
        {
            "from": format_time(s.start_s),
            "to": format_time(s.stop_s),
            "seconds": round(s.stop_s - s.start_s, 3),
            "what": s.label,
            f"value{', ' + s.unit if s.unit else ''}": None if s.value is None else round(float(s.value), 3),
            "first sample": s.samples[0],  # last: where a table is narrow, it is these that must be scrolled to
            "end sample": s.samples[1],
        }
        for s in segments
    ]


def to_csv(segments: Sequence[Segment], *, name: str, sha256: str) -> bytes:
    """Comma-separated, one row per stretch, with the recording and its digest in every row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "recording",
            "sha256",
            "start_s",
            "stop_s",
            "start_sample_16k",
            "stop_sample_16k",
            "label",
            "value",
            "unit",
        ]
    )
    for s in segments:
        value = "" if s.value is None else f"{s.value:.6g}"
        writer.writerow(
            [
                _harmless(name),
                sha256,
                f"{s.start_s:.6f}",
                f"{s.stop_s:.6f}",
                *s.samples,
                s.label,
                value,
                s.unit,
            ]
        )
    return out.getvalue().encode()


def to_audacity(segments: Sequence[Segment]) -> bytes:
    """A label track for Audacity: start, stop and label, separated by tabs."""
    return "".join(f"{s.start_s:.6f}\t{s.stop_s:.6f}\t{s.label}\n" for s in segments).encode()


def to_rttm(segments: Sequence[Segment], *, name: str) -> bytes:
    """Rich Transcription Time Marked lines (NIST RT-09, section A): type, file, channel, onset, duration,
    label.
    """
    file = re.sub(r"\s+", "_", name.strip()) or "recording"
    lines = []
    for s in segments:
        label = re.sub(r"\s+", "_", s.label)
        lines.append(
            f"SPEAKER {file} 1 {s.start_s:.3f} {s.stop_s - s.start_s:.3f} <NA> <NA> {label} <NA> <NA>\n"
        )
    return "".join(lines).encode()


def _harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in "=+-@\t\r" else text
