"""Several detectors' opinions side by side: whether they agree, in words, and their window scores on one time axis.

No vote is counted and nothing is fused: detectors trained on the same material are wrong together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.detectors.base import Opinion
from core.frames import SAMPLE_RATE, Window
from core.verbal import BONAFIDE, ENFSI_2015, NEITHER, SPOOF, VerbalScale, direction

WAYS = {BONAFIDE: "towards bona fide", SPOOF: "towards synthesis or conversion", NEITHER: "neither way"}


def agreement(calibrated: Sequence[tuple[str, float]], *, uncalibrated: int = 0,
              scale: VerbalScale = ENFSI_2015) -> str:
    """One or two sentences on (name, log10 LR) of calibrated detectors; ``uncalibrated`` others have raw scores only."""
    ways = {way: [name for name, llr in calibrated if direction(llr, scale) == way] for way in (BONAFIDE, SPOOF, NEITHER)}
    raw = "" if not uncalibrated else (" One other gives a raw score only and doesn't count." if uncalibrated == 1 else
                                       f" {uncalibrated} others give raw scores only and don't count.")
    if not calibrated:
        return "No detector here is calibrated, so agreement can't be stated." + raw
    if len(calibrated) == 1:
        name, llr = calibrated[0]
        return f"Only {name} is calibrated ({WAYS[direction(llr, scale)]}); nothing confirms or contradicts it." + raw
    if ways[BONAFIDE] and ways[SPOOF]:
        words = (f"They disagree: {_list(ways[BONAFIDE])} {_point(ways[BONAFIDE])} {WAYS[BONAFIDE]}, "
                 f"{_list(ways[SPOOF])} {WAYS[SPOOF]}{_idle(ways[NEITHER])}. A disagreement isn't settled by "
                 "counting; look at what each was trained on and how wrong it is on material like this.")
    elif ways[BONAFIDE] or ways[SPOOF]:
        way = BONAFIDE if ways[BONAFIDE] else SPOOF
        some = ways[way]
        if len(some) == len(calibrated):
            words = f"All {len(some)} calibrated detectors point the same way: {WAYS[way]}."
        else:
            words = f"{_list(some)} {_point(some)} {WAYS[way]}{_idle(ways[NEITHER])}; none points the other way."
        words += " Detectors trained on the same material are wrong together, so this is not independent confirmation."
    else:
        words = f"None of the {len(calibrated)} calibrated detectors supports either proposition."
    return words + raw


def over_time(windows: Sequence[Window], scores: np.ndarray, n_samples: int, hop_s: float = 0.1) -> np.ndarray:
    """Window scores [W] as a curve [T] with a value for each ``hop_s``: the mean of the windows over its centre, NaN
    where there is none."""
    n = max(1, int(np.ceil(n_samples / SAMPLE_RATE / hop_s)))
    centres = np.minimum((np.arange(n) + 0.5) * hop_s * SAMPLE_RATE, n_samples - 1)
    total, count = np.zeros(n), np.zeros(n)
    for window, score in zip(windows, scores, strict=True):
        inside = (centres >= window.start) & (centres < window.stop)
        total[inside] += score
        count[inside] += 1
    return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)


def says(opinion: Opinion, scale: VerbalScale = ENFSI_2015) -> str:
    """What an opinion amounts to, in a few words for a table."""
    if opinion.score is None:
        return "no score"
    if opinion.llr is None:
        return "raw score only, not calibrated" + (", saturated" if opinion.saturated else "")
    words = f"{scale.band(opinion.llr.value).support}, {WAYS[direction(opinion.llr.value, scale)]}"
    return words + (", at its bound" if opinion.llr.bounded else "") + (", saturated" if opinion.saturated else "")


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _point(names: Sequence[str]) -> str:
    return "points" if len(names) == 1 else "point"


def _idle(names: Sequence[str]) -> str:
    return f" ({_list(names)} {WAYS[NEITHER]})" if names else ""
