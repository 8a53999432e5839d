"""From the clips of an evaluation and their scores to the table that lies beside the weights (``core.validation``).

Likelihood ratios are cross-validated over sources: those of a source's clips come from a calibration on all others.
What the corpus' manifest knows of a clip (duration, original rate and codec, public file) is taken over from there.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.training.corpus import Clip
from core.training.measure import HeldOut, calibrate
from core.validation import FILE, OTHER, HeldOutScores


def cross_validated_llrs(held: HeldOut) -> np.ndarray:
    """log10 LRs [n], each source by a calibration without it. Raises ValueError where a class is left with no source."""
    scores = {c.clip: s for c, s in zip(held.clips, held.score, strict=True)}
    llr = np.full(len(held.score), np.nan)
    for source in np.unique(held.source):
        test = held.source == source
        rest = HeldOut([c for c, out in zip(held.clips, test, strict=True) if not out], scores)
        llr[test] = calibrate(rest, n_boot=2).apply_many(held.score[test])[0]
    return llr


def manifest_facts(corpus: Path) -> dict[str, dict[str, str]]:
    """Per clip what the table takes over from ``manifest.csv``; none where the corpus has no manifest."""
    path = corpus / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["clip"]: {"duration_s": row.get("seconds") or "", "rate_hz": row.get("source_rate_hz") or "",
                              "codec": row.get("source_codec") or "", "file": row.get("source_path") or row["file"]}
                for row in csv.DictReader(file)}


def held_out_table(clips: Sequence[Clip], scores: Mapping[str, float], *, facts: Mapping[str, Mapping[str, str]] = {},
                   llr: Mapping[str, float] | None = None,
                   others: Mapping[str, Mapping[str, float]] = {}) -> HeldOutScores:
    """The table of the clips that have a score.

    facts : per clip, from ``manifest_facts``;  llr : per clip, by default ``cross_validated_llrs``;
    others : name of another detector -> its scores on the same clips, where it has any
    """
    held = HeldOut(clips, scores)
    values = cross_validated_llrs(held) if llr is None else [llr[c.clip] for c in held.clips]
    rows = []
    for clip, score, value in zip(held.clips, held.score, values, strict=True):
        row: dict[str, Any] = {name: getattr(clip, name) for name in ("clip", "label", "system", "family", "source",
                                                                      "language", "speaker", "file")}
        row |= {"codec": getattr(clip, "codec", ""), "score": float(score), "llr_log10": float(value)}
        row |= {k: v for k, v in facts.get(clip.clip, {}).items() if v}
        row |= {OTHER + name: float(more[clip.clip]) for name, more in others.items() if clip.clip in more}
        rows.append(row)
    return HeldOutScores.from_rows(rows)


def write_table(held: HeldOutScores, folder: Path) -> dict[str, str]:
    """Write ``validation.csv`` into a model's folder; returns the card's ``validation`` entry (file and sha256)."""
    import hashlib

    held.write(folder / FILE)
    return {"file": FILE, "sha256": hashlib.sha256((folder / FILE).read_bytes()).hexdigest()}
