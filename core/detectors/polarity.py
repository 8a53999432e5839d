"""Which way a detector's score points, told from clips whose truth is known; or that it can't be told.

Published cards contradict themselves and labels' names mislead, so no score of a detector that a user brings is shown
before this check. It is a rank test: the chance that a bona fide clip scores above a spoofed one (AUC), the wider of its
intervals by formula and by resampling whole speakers and systems, and the Mann-Whitney test. Too few clips, an interval
that covers one half, or an AUC near it: then it can't be told, and the detector is not used.

References
----------
H. B. Mann and D. R. Whitney 1947, Ann. Math. Statist. 18.  J. A. Hanley and B. J. McNeil 1982, Radiology 143.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.bootstrap import bootstrap_interval
from core.detectors.labelled import LabelledClip, Scored

LEAST = 8  # clips of each class
MARGIN = 0.1  # |AUC - 0.5| below which nothing is decided, whatever the number of clips
LEVEL = 0.95
UNFIT = ("too-little-speech",)  # examples refused for this are no test of any detector; a trace is one of ours alone
MOST = 40  # clips of each class that a check listens to
VERIFIED, CONTRADICTED, UNTOLD = "verified", "contradicted", "untold"


@dataclass(frozen=True)
class Polarity:
    """The verdict of one check. ``auc`` is taken with the score as the card has it; NaN where nothing was measured.

    state: verified, contradicted (the clips say the opposite of the card) or untold; clips: on what, in words.
    """

    state: str
    auc: float
    low: float
    high: float
    p_value: float
    n_bonafide: int
    n_spoof: int
    sentence: str
    clips: str = ""

    @property
    def usable(self) -> bool:
        return self.state == VERIFIED

    def to_json(self) -> dict[str, Any]:
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> Polarity | None:
        """Back from a file; None where it is none of ours."""
        try:
            numbers = [float("nan") if data[k] is None else float(data[k]) for k in ("auc", "low", "high", "p_value")]
            if data["state"] not in (VERIFIED, CONTRADICTED, UNTOLD):
                return None
            return cls(data["state"], *numbers, int(data["n_bonafide"]), int(data["n_spoof"]), str(data["sentence"]),
                       str(data["clips"]))
        except (KeyError, TypeError, ValueError):
            return None


def auc(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Share of pairs in which the bona fide clip scores higher; ties count half."""
    from scipy.stats import rankdata

    b, s = np.asarray(bonafide, dtype=np.float64), np.asarray(spoof, dtype=np.float64)
    ranks = rankdata(np.concatenate((b, s)))
    return float((ranks[: b.size].sum() - b.size * (b.size + 1) / 2) / (b.size * s.size))


def hanley(value: float, n_bonafide: int, n_spoof: int) -> tuple[float, float]:
    """Hanley and McNeil's 95 % interval of an AUC pulled towards one half by half a clip, so that a few clips that
    happen to be perfectly apart still leave room for doubt (resampling them leaves none)."""
    n = min(n_bonafide, n_spoof)
    a = (value * n + 0.5) / (n + 1)
    spread = a * (1 - a) + (n_bonafide - 1) * (a / (2 - a) - a * a) + (n_spoof - 1) * (2 * a * a / (1 + a) - a * a)
    reach = 1.96 * float(np.sqrt(spread / (n_bonafide * n_spoof)))
    return max(0.0, a - reach), min(1.0, a + reach)


def verdict(scored: Scored, *, stated: bool, clips: str = "") -> Polarity:
    """The verdict from scores. ``stated``: whether the card says which logit is which (else the last one was taken
    for bona fide, and a clear result in either direction settles it for the caller)."""
    b, s = scored.bonafide, scored.spoof
    if min(b.size, s.size) < LEAST:
        words = (f"The polarity can't be told: {b.size} bona fide and {s.size} spoofed clips are too few (at least "
                 f"{LEAST} of each are needed); give a labelled folder.")
        value = auc(b, s) if b.size and s.size else float("nan")
        return Polarity(UNTOLD, value, float("nan"), float("nan"), float("nan"), b.size, s.size, words, clips)
    from scipy.stats import mannwhitneyu

    interval = bootstrap_interval(auc, b, s, scored.groups_bonafide, scored.groups_spoof, n=600, level=LEVEL)
    p = float(mannwhitneyu(b, s, alternative="two-sided").pvalue)
    value, (low, high) = interval.value, hanley(interval.value, b.size, s.size)
    low, high = min(low, interval.low), max(high, interval.high)
    told = (low > 0.5 or high < 0.5) and p < 1 - LEVEL and abs(value - 0.5) >= MARGIN
    numbers = f"bona fide clips score higher in {value:.0%} of pairs [{low:.0%}, {high:.0%}]"
    if not told:
        state, words = UNTOLD, (f"The polarity can't be told from {b.size} bona fide and {s.size} spoofed clips: "
                                f"{numbers}, too near to a coin's; give a labelled folder of a kind it knows.")
    elif value > 0.5:
        state, words = VERIFIED, f"The polarity is verified: {numbers} ({b.size} bona fide, {s.size} spoofed clips)."
    elif stated:
        state, words = CONTRADICTED, (f"The card and the known clips contradict each other: {numbers}, so the logit "
                                      "that the card calls bona fide follows spoof; correct its index before it is used.")
    else:
        state, words = CONTRADICTED, f"The last logit follows spoof: {numbers}."
    return Polarity(state, value, low, high, p, b.size, s.size, words, clips)


def bundled_clips() -> list[LabelledClip]:
    """The project's own examples whose truth is known and whole, and that can be heard."""
    root = Path(__file__).resolve().parents[2] / "examples"
    try:
        entries = json.loads((root / "examples.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    truths = {"bona fide": True, "spoof": False}
    return [LabelledClip(root / e["file"], truths[e["truth"]], e["id"]) for e in entries
            if e.get("truth") in truths and e.get("abstains") not in UNFIT and (root / e["file"]).is_file()]
