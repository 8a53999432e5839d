"""The finding: a bounded likelihood ratio in words under two propositions, or the reasons for saying none.

Whether to abstain is decided first, from the quality checks, the distance to the calibration population and
the agreement of the windows; only then is the clip's score looked at. A finding that abstains carries no
number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.calibrate import Calibration, Llr
from core.checks import CheckRow, check_table, regions_explain, window_conflict, window_llrs
from core.entropy import EntropyAnalysis, Region
from core.errors import ModelUnavailable
from core.frames import format_time
from core.verbal import ENFSI_2015, PROPOSITIONS, Propositions, VerbalScale, direction, sentence, verbal

if TYPE_CHECKING:
    import numpy as np

    from core.audio import Recording
    from core.batch import ClipEvidence
    from core.quality import Quality
    from models.registry import Detector

__all__ = [
    "CheckRow",
    "DetectorEvidence",
    "Finding",
    "Reason",
    "calibration_of",
    "conclude",
    "own_calibration_of",
    "regions_explain",
    "window_conflict",
    "window_llrs",
]


STRONG_BPS = 36_000  # of MP3, Vorbis and AAC: stronger compression moves scores
STRONG_OPUS_BPS = 18_000
LEADS_STAY = {"window-conflict", "members-disagree"}  # reasons that a part of another origin may be behind


@dataclass(frozen=True)
class Reason:
    """Why no finding is given: a stable code, and words that complete "No finding: ..."."""

    code: str
    message: str
    value: float | None
    limit: float | None
    unit: str


@dataclass(frozen=True)
class DetectorEvidence:
    """What one detector says by itself. `score` and `llr` are None where the finding abstains."""

    name: str
    score: float | None
    llr: Llr | None


@dataclass(frozen=True, eq=False)
class Finding:
    """The answer. LLRs are log10 of p(evidence | bona fide) / p(evidence | spoof); None where it abstains.

    score: the detector's raw score; bounds: the LLRs that the calibration data support; verbal: support and
    direction in the words of `scale`; regions: stretches whose frame scores support synthesis or conversion,
    as leads.
    """

    llr_log10: float | None
    llr_low: float | None
    llr_high: float | None
    score: float | None
    abstained: bool
    at_bound: bool
    reasons: tuple[Reason, ...]
    advice: tuple[str, ...]
    propositions: Propositions
    scale: VerbalScale
    verbal: str
    sentence: str
    bounds: tuple[float, float]
    checks: tuple[CheckRow, ...]
    detectors: tuple[DetectorEvidence, ...]
    regions: tuple[Region, ...]

    @property
    def direction(self) -> str | None:
        """ "bonafide", "spoof", "neither", or None where it abstains."""
        return None if self.llr_log10 is None else direction(self.llr_log10, self.scale)

    @property
    def parts_shown(self) -> bool:
        """Whether the score over time and the members' scores may be shown: not where a finding is kept back for reasons
        that make every score doubtful; but where parts or members contradict each other, they are what to look at.
        """
        return _parts_shown(self.reasons)

    @property
    def number_line(self) -> str:
        """The number with its interval and its place in the verbal scale; empty where it abstains."""
        if self.llr_log10 is None or self.llr_low is None or self.llr_high is None:
            return ""
        bound = " (at the bound of what the calibration data support)" if self.at_bound else ""
        return (
            f"log10 LR = {_signed(self.llr_log10)}{bound}  "
            f"[{_signed(self.llr_low)}, {_signed(self.llr_high)}]"
            f'   (scale: {self.scale.name}, "{self.scale.band(self.llr_log10).support}")'
        )


def _signed(value: float) -> str:
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def calibration_of(detector: Detector) -> Calibration:
    """Calibration of the score that decides. Raises ModelUnavailable where its file makes no sense."""
    return _calibration(detector, detector.deciding_calibration)


def own_calibration_of(detector: Detector) -> Calibration:
    """Calibration of f-InfoED's own score, whether or not a panel decides. Raises ModelUnavailable."""
    return _calibration(detector, detector.calibration)


def _calibration(detector: Detector, arrays: Mapping[str, np.ndarray]) -> Calibration:
    try:
        return Calibration.from_arrays(arrays)
    except ValueError as problem:
        raise ModelUnavailable(
            f"The model {detector.name!r} can't be used because {problem}; install its files again."
        ) from problem


def conclude(
    recording: Recording,
    quality: Quality,
    entropy: EntropyAnalysis | ClipEvidence,
    detector: Detector,
    *,
    speakers: CheckRow | None = None,
    scale: VerbalScale = ENFSI_2015,
) -> Finding:
    """From measurements to the finding (without curves, no regions). speakers : as in `check_table`. Raises
    ModelUnavailable where the calibration makes no sense.
    """
    calibration = calibration_of(detector)
    reference = detector.deciding_reference
    rows = (*check_table(quality, entropy, calibration, reference, speakers), *_members_row(entropy, detector))
    fatal = [row for row in rows if row.fatal]
    if any(row.code == "silence" for row in fatal):  # everything else that fails, fails because of it
        fatal = [row for row in fatal if row.code == "silence"]
    reasons = tuple(_reason(row, entropy, calibration) for row in fatal)
    if not _parts_shown(reasons):  # nor a lead from scores that can't be trusted
        rows = tuple(row for row in rows if row.code != "synthetic-part")
    # the clip's score is not looked at before this line
    score = None if reasons else entropy.clip_score
    llr = None if score is None else calibration.apply(score)
    return Finding(
        llr_log10=None if llr is None else llr.value,
        llr_low=None if llr is None else llr.low,
        llr_high=None if llr is None else llr.high,
        score=score,
        abstained=llr is None,
        at_bound=llr is not None and llr.bounded,
        reasons=reasons,
        advice=_advice(rows, reasons, llr, recording, scale),
        propositions=PROPOSITIONS,
        scale=scale,
        verbal="no finding" if llr is None else verbal(llr.value, scale),
        sentence=_no_finding(reasons) if llr is None else sentence(llr.value, scale),
        bounds=calibration.bounds,
        checks=rows,
        detectors=_evidence(detector, entropy, score, llr),
        regions=entropy.frame_spoof_runs if _parts_shown(reasons) else (),
    )


def _parts_shown(reasons: Sequence[Reason]) -> bool:
    return all(reason.code in LEADS_STAY for reason in reasons)


def _members_row(entropy: EntropyAnalysis | ClipEvidence, detector: Detector) -> tuple[CheckRow, ...]:
    """Whether the panel's members contradict each other; no row where they can't be compared."""
    from core.complement.disagreement import CODE, panel_disagreement

    found = None if detector.panel is None else panel_disagreement(entropy.member_scores, detector)
    if found is None:
        return ()
    label = "Members of the panel that contradict each other"
    return (CheckRow(CODE, label, found.value, "share of the evidence", found.limit, not found.beyond, found.beyond,
                     found.words),)


def _evidence(detector: Detector, entropy: EntropyAnalysis | ClipEvidence, score: float | None,
              llr: Llr | None) -> tuple[DetectorEvidence, ...]:
    """What decides first; where that is the panel, f-InfoED's own answer after it."""
    if detector.panel is None:
        return (DetectorEvidence(detector.name, score, llr),)
    own = None if score is None else getattr(entropy, "own_score", None)
    own_llr = None if own is None else own_calibration_of(detector).apply(own)
    decides = DetectorEvidence(f"panel of {detector.panel.size} views (decides)", score, llr)
    return (decides, DetectorEvidence(f"f-InfoED ({detector.name})", own, own_llr)) if own is not None else (decides,)


def _no_finding(reasons: Sequence[Reason]) -> str:
    return f"No finding: {reasons[0].message}.  " + " ".join(f"[{r.code}]" for r in reasons)


# Words

_REASONS = {
    "silence": "the recording is silent or nearly so",
    "too-little-speech": "{value:.1f} s of speech, at least {limit:.1f} s are needed",
    "clipping": "{value:.0%} of the waveform is cut off at its peaks, at most {limit:.0%} is needed",
    "dropouts": "stretches of digital silence, as lost packets leave them, cut out {value:.0%} of the speech, at most "
    "{limit:.0%} is allowed",
    "tones": "steady tones or music fill {value:.0%} of the recording, at most {limit:.0%} is needed",
    "narrow-bandwidth": "sound reaches only up to {value:.0f} Hz, at least {limit:.0f} Hz are needed",
    "low-snr": "there is more noise than the detector can be trusted in (signal to noise is {value:.0f} dB, at least "
    "{limit:.0f} dB are needed)",
    "far-from-calibration": "this recording is unlike those on which the detector was calibrated "
    "({value:.1f} standard deviations away, at most {limit:.1f} are needed)",
    "speech-coder": "the sound bears the traces of a low-rate speech coder, as Opus leaves them at low bit rates; behind "
    "one, real speech scores like synthesis",
    "room": "the sound bears the traces of a reverberant room, in which the detector is wrong too often",
    "compression": "the sound bears the traces of strong compression, as MP3 leaves them at 32 kbit/s; behind it, "
    "synthesis scores like real speech",
    "members-disagree": "the members of the panel contradict each other ({value:.0%} of their evidence points the other "
    "way, at most {limit:.0%} is needed)",
}  # fmt: skip

_NEXT = {
    "silence": "Check that the right file and the right track were exported.",
    "too-little-speech": "Ask for a longer recording of the same speaker and channel.",
    "clipping": "Ask for a copy recorded at a lower level; clipping can't be undone.",
    "dropouts": "Ask for another copy or transmission, or examine a stretch without them.",
    "tones": "Cut out a stretch without music or tones and examine that.",
    "narrow-bandwidth": "Ask for the recording before it went through a telephone or a strong codec.",
    "low-snr": "Examine the stretches where the speech is clearest, and don't denoise: it changes traces.",
    "far-from-calibration": "Treat this recording by other means, or calibrate on recordings of its kind.",
    "speech-coder": "Ask for the recording before it was sent or compressed.",
    "room": "Ask for a recording made closer to the speaker's mouth; don't dereverberate: it changes traces.",
    "compression": "Ask for the recording before it was compressed.",
    "members-disagree": "See on the Complementarity page who hears what, and examine longer or better material.",
    "window-conflict": "Listen to the listed stretches and examine the parts of the recording one by one.",
}


def _reason(row: CheckRow, entropy: EntropyAnalysis, calibration: Calibration) -> Reason:
    if row.code == "window-conflict":
        message = _conflict_words(entropy, calibration)
    elif row.code in _REASONS and row.value is not None and row.limit is not None:
        message = _REASONS[row.code].format(value=row.value, limit=row.limit)
    else:
        message = row.message.rstrip(".")
    return Reason(row.code, message, row.value, row.limit, row.unit)


def _conflict_words(entropy: EntropyAnalysis, calibration: Calibration) -> str:
    regions = regions_explain(entropy, calibration)
    if not regions:
        return "parts of the recording point in opposite directions, and no number describes both"
    times = ", ".join(f"{format_time(r.start_s)} to {format_time(r.stop_s)}" for r in regions[:3])
    more = f" and {len(regions) - 3} more" if len(regions) > 3 else ""
    return f"part of the recording differs from the rest ({times}{more}), and no number describes both"


def _advice(
    rows: Sequence[CheckRow],
    reasons: Sequence[Reason],
    llr: Llr | None,
    recording: Recording,
    scale: VerbalScale,
) -> tuple[str, ...]:
    """What to do next, and what to keep in mind, one sentence each."""
    words = [_NEXT[r.code] for r in reasons if r.code in _NEXT]
    if llr is not None and llr.low < 0 < llr.high and direction(llr.value, scale) != "neither":
        words.append("The interval includes 0: with other calibration data the direction might be the other.")
    if llr is not None and llr.bounded:
        words.append("The calibration data support no stronger statement than this bound.")
    if all(r.code != "silence" for r in reasons):
        words += [row.message for row in rows if row.state == "advice"]
    return (*words, *_compressed(recording), *recording.warnings)


def _compressed(recording: Recording) -> tuple[str, ...]:
    """What strong compression does to the score, where the file itself is so compressed (the card's robustness table)."""
    facts = recording.facts
    if facts.bit_rate_bps and facts.bit_rate_bps < STRONG_OPUS_BPS and "opus" in facts.codec.lower():
        return (f"The file is compressed to {facts.bit_rate_bps / 1_000:.0f} kbit/s; Opus below "
                f"{STRONG_OPUS_BPS // 1_000} kbit/s moves every score towards synthesis, that of real speech too.",)
    if not facts.bit_rate_bps or facts.bit_rate_bps >= STRONG_BPS:
        return ()
    if not any(name in facts.codec.lower() for name in ("mpeg_layer_iii", "mp3", "vorbis", "aac")):
        return ()
    return (f"The file is compressed to {facts.bit_rate_bps / 1_000:.0f} kbit/s; below {STRONG_BPS // 1_000} kbit/s such "
            "codecs move every score towards bona fide, spoofs' too.",)
