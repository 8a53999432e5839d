"""Calibrating a detector that a user brings on the user's own labelled clips, and saying how well it did.

One pass over the clips gives the polarity verdict, the equal error rate with its interval, and the calibration. Cllr
after calibration is cross-validated over whole speakers and systems: a calibration judged on the clips it was fitted
on always looks good. The result goes into the user's data folder (``core.detectors.store``).

References
----------
N. Brümmer and J. du Preez 2006, CSL 20 (Cllr).  P. Vergeer et al. 2016, Science & Justice 56 (bounds).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.bootstrap import Interval, eer_interval, group_codes
from core.calibrate import LN10, Calibration, fit_calibration, fit_logistic
from core.detectors import store
from core.detectors.card import Card
from core.detectors.labelled import LabelledClip, Scored, score_clips
from core.detectors.loading import judge, require_complete, settle, with_what_is_known
from core.detectors.polarity import Polarity
from core.metrics import FEW_TRIALS, cllr, cllr_min

if TYPE_CHECKING:
    from core.detectors.clip import NetworkDetector

FOLDS = 5
N_BOOT = 500


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What one run of calibration found. ``calibration`` is None where the polarity couldn't be told.

    cllr_before: of the raw score taken for a natural log odds; cllr_after: cross-validated, None with too few groups;
    cllr_least: what the best monotone mapping would reach in hindsight.
    """

    detector: NetworkDetector
    polarity: Polarity
    scored: Scored
    eer: Interval | None = None
    cllr_before: float | None = None
    cllr_after: float | None = None
    cllr_least: float | None = None
    calibration: Calibration | None = None
    saved: Path | None = None

    def sentences(self) -> list[str]:
        """The result in plain words, the verdict first."""
        words = [self.polarity.sentence]
        if self.eer is not None:
            few = " (few clips: the interval is what counts)" if len(self.scored.labels) < FEW_TRIALS else ""
            words.append(f"Equal error rate {self.eer.value:.1%} [{self.eer.low:.1%}, {self.eer.high:.1%}] on "
                         f"{self.scored.bonafide.size} bona fide and {self.scored.spoof.size} spoofed clips{few}.")
        if self.calibration is not None:
            after = "not measured, for want of groups" if self.cllr_after is None else f"{self.cllr_after:.3f}"
            words.append(f"Cllr {self.cllr_before:.3f} as it comes, {after} calibrated (cross-validated), "
                         f"{self.cllr_least:.3f} at best.")
            low, high = self.calibration.bounds
            words.append(f"These clips support log10 LRs from {low:+.2f} to {high:+.2f}; beyond, nothing more is said.")
        if self.scored.saturated:
            words.append(f"Saturated on {self.scored.saturated:.0%} of the clips: as a probability its output is exactly "
                         "0 or 1 there.")
        if self.scored.dropped:
            words.append(f"{len(self.scored.dropped)} clips were left out; the first: {self.scored.dropped[0][0]}, "
                         f"{self.scored.dropped[0][1].rstrip('.')}.")
        return words

    def to_json(self) -> dict[str, Any]:
        """Numbers for measured.json and for ``--json``."""
        return {
            "polarity": self.polarity.to_json(),
            "n_bonafide": int(self.scored.bonafide.size),
            "n_spoof": int(self.scored.spoof.size),
            "eer": None if self.eer is None else [_finite(v) for v in (self.eer.value, self.eer.low, self.eer.high)],
            "cllr_before": _finite(self.cllr_before),
            "cllr_after": _finite(self.cllr_after),
            "cllr_min": _finite(self.cllr_least),
            "bounds_log10": None if self.calibration is None else list(self.calibration.bounds),
            "saturated_share": self.scored.saturated,
            "dropped": [list(pair) for pair in self.scored.dropped[:100]],
            "n_dropped": len(self.scored.dropped),
            "content_sha256": self.detector.content_sha256,
        }


def calibrate(detector: NetworkDetector, clips: Sequence[LabelledClip], *, own: Card | None = None, save: bool = True,
              on_progress: Callable[[float], Any] | None = None,
              cancelled: Callable[[], bool] | None = None) -> Calibrated:
    """Score the clips, check the polarity on them and, where it can be told, fit and keep a calibration.

    own: what the user said over the card, kept with the result; save: False leaves the data folder alone.

    Raises Cancelled, ModelUnavailable.
    """
    require_complete(detector)
    scored = score_clips(detector, clips, on_progress=on_progress, cancelled=cancelled)
    told = judge(detector, scored, "a labelled folder")
    if told.turned:
        scored.bonafide, scored.spoof = -scored.bonafide, -scored.spoof
    if save:
        detector = settle(detector, told, own)
    b, s = scored.bonafide, scored.spoof
    eer = eer_interval(b, s, scored.groups_bonafide, scored.groups_spoof) if min(b.size, s.size) else None
    if not told.polarity.usable:
        return Calibrated(detector, told.polarity, scored, eer)
    calibration = fit_calibration(scored.scores, scored.labels, scored.groups, n_boot=N_BOOT)
    crossed = cross_validated(scored)
    after = None if crossed is None else cllr(crossed[scored.labels], crossed[~scored.labels])
    costs = (cllr(b / LN10, s / LN10), after, cllr_min(b, s))
    if not save:
        return Calibrated(detector, told.polarity, scored, eer, *costs, calibration)
    digest, scoring = detector.files_sha256, detector.scoring_sha256
    saved = store.write_calibration(digest, scoring, calibration)
    detector = with_what_is_known(detector)
    found = Calibrated(detector, told.polarity, scored, eer, *costs, calibration, saved)
    store.write_checked(digest, "measured.json", scoring, found.to_json())
    with_what_is_known(detector)
    return found


def cross_validated(scored: Scored, folds: int = FOLDS) -> np.ndarray | None:
    """log10 LRs [n], each from a calibration that saw nothing of its speaker or system; None with too few of these."""
    y = scored.labels
    fold = np.zeros(y.size, int)
    for c in (y, ~y):
        codes = group_codes(np.asarray(scored.groups)[c], int(c.sum()))
        n = int(codes.max()) + 1
        if n < 2:
            return None
        folds = min(folds, n)
        fold[c] = np.random.default_rng(0).permutation(n)[codes]
    fold %= folds
    llr = np.zeros(y.size)
    for k in range(folds):
        held = fold == k
        slope, intercept = fit_logistic(scored.scores[~held], y[~held])
        llr[held] = slope * scored.scores[held] + intercept
    return llr


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
