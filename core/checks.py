"""The table of checks: what must hold before a likelihood ratio may be given, and what was not examined.

Quality checks come from `core.quality`; here the distance to the calibration population and the agreement of
the windows join them, and an honest line for what is not examined yet. The words of the finding are in
`core.finding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.calibrate import Calibration
from core.entropy import LN10, EntropyAnalysis, Region

if TYPE_CHECKING:
    from core.batch import ClipEvidence
    from core.quality import Check, Quality

CONFLICT_WINDOW_S = 2.0  # speech a window needs to take part in the conflict check
LOWEST = 0.1  # of the frames
TRACE_WORDS = {"speech-coder": "a low-rate speech coder", "room": "a reverberant room",
               "compression": "strong compression"}
CONFLICT_QUANTILE = 0.1  # of the window LLRs at either end: one odd window of many is no conflict


@dataclass(frozen=True)
class CheckRow:
    """One line of the table of checks. `passed` is None where the check was not run, which is no pass."""

    code: str
    label: str
    value: float | None
    unit: str
    limit: float | None
    passed: bool | None
    fatal: bool
    message: str

    @property
    def state(self) -> str:
        """ "passed", "advice", "failed" (no finding is given) or "not-run"."""
        if self.passed is None:
            return "not-run"
        return "passed" if self.passed else ("failed" if self.fatal else "advice")


def check_table(
    quality: Quality,
    entropy: EntropyAnalysis | ClipEvidence,
    calibration: Calibration,
    reference: Mapping[str, np.ndarray],
    speakers: CheckRow | None = None,
) -> tuple[CheckRow, ...]:
    """All checks in the order in which reasons are reported. speakers : whether there is more than one voice, as
    `core.speaker.several` says it; None where that wasn't examined.
    """
    return (
        *(_quality_row(check) for check in quality.checks),
        *_trace_rows(entropy.trace_scores, reference),
        _population_row(entropy.distance, reference),
        _conflict_row(entropy, calibration, reference),
        _speakers_row() if speakers is None else speakers,
        *_part_row(entropy, reference),
    )


def _quality_row(check: Check) -> CheckRow:
    return CheckRow(
        check.code,
        check.label,
        check.value,
        check.unit,
        check.limit,
        check.passed,
        check.fatal,
        check.message,
    )


def _limit(reference: Mapping[str, np.ndarray], key: str) -> float | None:
    value = reference.get(key)
    return None if value is None else float(np.asarray(value).reshape(-1)[0])


def _trace_rows(scores: Mapping[str, float], reference: Mapping[str, np.ndarray]) -> tuple[CheckRow, ...]:
    """Whether the sound has been through something behind which no score is to be trusted; no rows without limits."""
    limits, rows = reference.get("trace_limits"), []
    if limits is None or not scores:
        return ()
    for (name, score), limit in zip(scores.items(), np.asarray(limits, float), strict=True):
        label, plain = f"Traces of {TRACE_WORDS[name]}", score > limit
        state = "the detector's score can't be trusted behind it" if plain else "none that are plain"
        words = f"{label}: {score:+.2f}, at most {limit:+.2f} is needed; {state}."
        rows.append(CheckRow(name, label, float(score), "recogniser's score", float(limit), not plain, plain, words))
    return tuple(rows)


def _population_row(distance: float, reference: Mapping[str, np.ndarray]) -> CheckRow:
    limit = _limit(reference, "population_limit")
    label, unit = "Distance to the calibration recordings", "standard deviations"
    if limit is None or not np.isfinite(distance):
        words = f"{label}: not measured; this model has no reference for it."
        return CheckRow("far-from-calibration", label, None, unit, limit, None, False, words)
    far = distance > limit
    state = "the detector's error rates are unknown for recordings like this" if far else "like those"
    words = f"{label}: {distance:.1f}, at most {limit:.1f} is needed; {state}."
    return CheckRow("far-from-calibration", label, distance, unit, limit, not far, far, words)


def window_llrs(entropy: EntropyAnalysis, calibration: Calibration) -> np.ndarray:
    """Calibrated log10 LRs of the windows with enough speech, [w]."""
    enough = entropy.window_seconds >= CONFLICT_WINDOW_S
    if not enough.any():
        return np.zeros(0)
    return calibration.apply_many(entropy.window_scores[enough])[0]


def window_conflict(llrs: np.ndarray) -> float:
    """How strongly windows support both propositions at once, in log10 units; negative where they agree.

    The smaller of the support for bona fide in the upper decile and for spoof in the lower decile of the
    window LLRs [w]. `window_conflict_limit` is in this unit. Raises ValueError for fewer than two windows.
    """
    if len(llrs) < 2:
        raise ValueError("windows can only be in conflict where there are two")
    low, high = np.quantile(llrs, [CONFLICT_QUANTILE, 1 - CONFLICT_QUANTILE])
    return float(min(high, -low))


def _conflict_row(
    entropy: EntropyAnalysis, calibration: Calibration, reference: Mapping[str, np.ndarray]
) -> CheckRow:
    code, label, unit = "window-conflict", "Windows that contradict each other", "log10 LR on both sides"
    limit, llrs = _limit(reference, "window_conflict_limit"), window_llrs(entropy, calibration)
    if limit is None or len(llrs) < 2:
        need = f"two windows with {CONFLICT_WINDOW_S:.0f} s of speech are needed"
        why = "this model has no reference for it" if limit is None else need
        words = f"{label}: not examined; {why}."
        return CheckRow(code, label, None, unit, limit, None, False, words)
    conflict = window_conflict(llrs)
    fatal = conflict > limit
    state = "parts of the recording point in opposite directions" if fatal else "the windows agree"
    words = f"{label}: {max(conflict, 0.0):.2f}, at most {limit:.2f} is needed; {state}."
    return CheckRow(code, label, conflict, unit, limit, not fatal, fatal, words)


def lowest(frames: np.ndarray) -> float:
    """The frame score that a tenth of a recording's frames [T] lie below: what speaks for a synthetic part."""
    return float(np.quantile(frames, LOWEST))


def part_evidence(low: float | np.ndarray, clip: float | np.ndarray, share: float) -> float | np.ndarray:
    """What says that a recording is synthetic in part or throughout, lower for that: its lowest tenth of frame scores
    and ``share`` of its clip score, which says less of parts but is the surer.
    """
    return low + share * clip


def _part_row(entropy: EntropyAnalysis | ClipEvidence, reference: Mapping[str, np.ndarray]) -> tuple[CheckRow, ...]:
    """Whether a part of the recording stands out as synthetic: advice, never a refusal.

    The tenth of the frames that speak most for synthesis, together with the whole recording's score, is compared with the
    limit ``part_limit`` of the reference, below which one untouched recording in twenty falls. No row without a limit or
    without curves (lists have none).
    """
    limit, track = _limit(reference, "part_limit"), getattr(entropy, "score", None)
    if limit is None or track is None or not len(track):
        return ()
    limit = (limit - (_limit(reference, "frame_threshold") or 0.0)) / LN10  # the track's unit and zero
    value = part_evidence(lowest(track.values), entropy.clip_score / LN10, _limit(reference, "part_share") or 0.0)
    stands_out = value < limit
    state = ("as in one of twenty untouched recordings: listen to the marked stretches, the recording may be synthetic "
             "in part or throughout" if stands_out else "nothing stands out")
    label = "A part that stands out"
    words = (f"{label}: the lowest tenth of the score over time, with the score of the whole, reaches {value:+.2f}, "
             f"limit {limit:+.2f}; {state}.")
    return (CheckRow("synthetic-part", label, value, track.unit, limit, not stands_out, False, words),)


def _speakers_row() -> CheckRow:
    words = "Number of speakers: not examined yet; listen for a second voice before relying on one number."
    return CheckRow("several-speakers", "Number of speakers", None, "speakers", 1.0, None, False, words)


def regions_explain(entropy: EntropyAnalysis, calibration: Calibration) -> tuple[Region, ...]:
    """The regions where windows that support spoof hold at least twice the share of region time of
    the others.
    """
    llrs = calibration.apply_many(entropy.window_scores)[0]
    if not entropy.frame_spoof_runs:
        return ()
    regions = np.array([(r.start_s, r.stop_s) for r in entropy.frame_spoof_runs])  # (R, 2)
    start, stop = entropy.window_times.T[:, :, None]  # (W, 1) each
    overlap = np.minimum(stop, regions[:, 1]) - np.maximum(start, regions[:, 0])  # (W, R)
    share = np.clip(overlap, 0.0, None).sum(axis=1) / np.maximum(stop - start, 1e-9)[:, 0]
    against, rest = llrs < 0, llrs >= 0
    if not against.any() or not rest.any() or share[against].mean() < max(0.1, 2 * share[rest].mean()):
        return ()
    return entropy.frame_spoof_runs
