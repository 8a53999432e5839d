"""What the similarity says at one threshold: a bounded likelihood ratio in words, and where it would flip.

Sign: log10 of p(evidence | same speaker) / p(evidence | different speakers). The calibration is that of gated scores
where one was measured, otherwise that of recordings as they are, and then the verdict says so: frames that were chosen
for their likeness are more alike than frames that were not, also for another speaker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.calibrate import Calibration, Llr
from core.finding import Reason
from core.frames import Track
from core.segments import Segment
from core.speaker.networks import SpeakerNetworks
from core.speaker.pooling import LEVELS, level_of
from core.speaker.verify import THRESHOLDS, Verification
from core.timeline import stretches
from core.verbal import ENFSI_2015, NEITHER, direction

LEAST_S = 1.0  # kept frames below this carry no verdict
CONTESTED = 0.1  # frames whose gate lies this near to one half
CONTESTED_LEAST_S = 0.1
SAME, DIFFERENT = "same", "different"
PROPOSITIONS = ("The kept speech was spoken by the enrolled speaker.",
                "The kept speech was spoken by somebody else.")
BORROWED = ("The likelihood ratio uses the calibration of whole recordings; for frames chosen by the gate it is too "
            "favourable to the same speaker.")

MEASURED_AT = 0.5
ELSEWHERE = (f"The likelihood ratio was calibrated on frames kept at {MEASURED_AT:g}; at another threshold it is an "
             "approximation.")


@dataclass(frozen=True)
class Likeness:
    """Similarity of the enrolled voice with some frames: cosine, its LLR (None without calibration), seconds."""

    cosine: float | None
    llr: Llr | None
    seconds: float


@dataclass(frozen=True, eq=False)
class Verdict:
    """The answer at one threshold. flips: thresholds at which the LLR changes its sign; reasons: why there is none."""

    threshold: float
    kept: Likeness
    rejected: Likeness
    raw: Likeness
    gated: Likeness
    flips: tuple[float, ...]
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]
    sentence: str

    @property
    def abstained(self) -> bool:
        return bool(self.reasons)

    @property
    def direction(self) -> str | None:
        """ "same", "different", "neither", or None where there is no verdict."""
        if self.abstained or self.kept.llr is None:
            return None
        way = direction(self.kept.llr.value)
        return NEITHER if way == NEITHER else SAME if self.kept.llr.value > 0 else DIFFERENT


def index_of(threshold: float) -> int:
    """The place of a threshold 0..1 in THRESHOLDS."""
    return min(max(round(threshold * (LEVELS - 1)), 0), LEVELS - 1)


def kept_calibration(networks: SpeakerNetworks) -> Calibration | None:
    """The calibration for kept frames."""
    return networks.gated_calibration or networks.calibration


def llr_curve(v: Verification, networks: SpeakerNetworks) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """LLR of the kept frames at every threshold with its interval, each [101], NaN where too little is kept; None without
    a calibration.
    """
    calibration = kept_calibration(networks)
    if calibration is None:
        return None
    known = np.isfinite(v.curve.kept) & (v.curve.kept_s >= LEAST_S)
    out = np.full((3, LEVELS), np.nan)
    if known.any():
        out[:, known] = calibration.apply_many(v.curve.kept[known])[:3]
    return tuple(out)


def flips(values: np.ndarray) -> tuple[float, ...]:
    """Thresholds between which the sign changes. values : np.ndarray [shape=(101,)], NaN where there is none."""
    known = np.flatnonzero(np.isfinite(values) & (values != 0))
    signs = np.sign(values[known])
    return tuple(float((THRESHOLDS[known[i]] + THRESHOLDS[known[i + 1]]) / 2) for i in np.flatnonzero(np.diff(signs)))


def verdict(v: Verification, networks: SpeakerNetworks, threshold: float) -> Verdict:
    """The answer at a threshold: look-ups only."""
    at, c = index_of(threshold), v.curve
    chosen = kept_calibration(networks)
    kept = _likeness(c.kept[at], c.kept_s[at], chosen)
    reasons = list(v.reasons)
    if kept.seconds < LEAST_S:
        reasons.append(Reason("too-little-kept", f"the gate keeps {kept.seconds:.1f} s at this threshold, at least "
                              f"{LEAST_S:.0f} s are needed", kept.seconds, LEAST_S, "s"))
    curve = llr_curve(v, networks)
    notes = (BORROWED,) if networks.gated_calibration is None and chosen is not None else ()
    if networks.gated_calibration is not None and at != index_of(MEASURED_AT):
        notes = (ELSEWHERE,)
    return Verdict(float(THRESHOLDS[at]), kept, _likeness(c.rejected[at], c.rejected_s[at], chosen),
                   _likeness(v.raw, v.duration_s, networks.calibration), _likeness(v.gated, v.duration_s, None),
                   () if curve is None else flips(curve[0]), tuple(reasons), notes, _sentence(kept, reasons))


def _likeness(cosine: float, seconds: float, calibration: Calibration | None) -> Likeness:
    known = bool(np.isfinite(cosine))
    llr = calibration.apply(float(cosine)) if known and calibration is not None else None
    return Likeness(float(cosine) if known else None, llr, float(seconds))


def _sentence(kept: Likeness, reasons: list[Reason]) -> str:
    if reasons:
        return f"No verdict: {reasons[0].message}.  " + " ".join(f"[{r.code}]" for r in reasons)
    if kept.llr is None:
        return "No verdict: the similarity was never calibrated for these networks."
    words = ENFSI_2015.band(kept.llr.value).comparative
    way = direction(kept.llr.value)
    if way == NEITHER:
        return f"The kept speech is {words} probable if the enrolled speaker spoke it and if somebody else did."
    first, second = ("the enrolled speaker", "somebody else")[:: 1 if kept.llr.value > 0 else -1]
    return f"The kept speech is {words} probable if {first} spoke it than if {second} did."


# ---- which frames ------------------------------------------------------------------------------------------


def kept_frames(v: Verification, threshold: float) -> np.ndarray:
    """Whether the gate keeps each frame, bool [shape=(T,)]; the same decision as on the curve."""
    return level_of(v.gamma.values) >= index_of(threshold)


def segments(v: Verification, threshold: float) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """(kept, rejected) stretches with the mean gate of each. A frame stands for the samples nearest to its centre; the
    stretches tile the recording.
    """
    kept = kept_frames(v, threshold)
    return tuple(_runs(v, flags, name) for flags, name in ((kept, "enrolled speaker"), (~kept, "rest")))


def contested(v: Verification) -> tuple[Segment, ...]:
    """Stretches of at least a tenth of a second whose gate is within CONTESTED of one half."""
    near = np.abs(v.gamma.values - 0.5) <= CONTESTED
    return _runs(v, near, "contested", shortest=round(CONTESTED_LEAST_S / v.gamma.hop_s))


def _runs(v: Verification, flags: np.ndarray, label: str, shortest: int = 1) -> tuple[Segment, ...]:
    track = v.gamma
    edges = edges_s(track, v.duration_s)
    return tuple(Segment(float(edges[a]), float(edges[b]), label, float(track.values[a:b].mean()), "gate")
                 for a, b in stretches(flags, shortest=shortest))


def edges_s(track: Track, duration_s: float) -> np.ndarray:
    """Where the frames' stretches begin and end, [T + 1] seconds on whole samples: half a hop around each centre, the
    first and the last reaching to the recording's ends.
    """
    middles = track.start_s + (np.arange(len(track.values) + 1) - 0.5) * track.hop_s
    middles[0], middles[-1] = 0.0, duration_s
    return np.round(np.clip(middles, 0.0, duration_s) * 16_000) / 16_000
