"""Verification of a recording against an enrolment: one pass of the networks, then every threshold at once.

The result holds the similarity of the enrolled voice with what each threshold of the gate keeps and rejects, so that
moving the threshold is a look-up. What a similarity says at one threshold is for `verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.audio import Recording
from core.errors import Cancelled
from core.examine import quality_of
from core.finding import Reason
from core.frames import Track
from core.quality import QUALITY_LIMITS, Quality
from core.speaker.enrol import Enrolment
from core.speaker.influence import influence
from core.speaker.listen import Heard, listen
from core.speaker.networks import SpeakerNetworks
from core.speaker.pooling import LEVELS
from core.speaker.several import Speakers, compare_spans, limit_for
from core.speaker.vad import energy_track, silero_track
from core.version import VERSION

THRESHOLDS = np.arange(LEVELS) / (LEVELS - 1)
BANDWIDTH_APART_HZ = 1_500.0
NARROW_HZ = 7_000.0  # differences above this are about the sample rate, not the channel
SNR_APART_DB = 15.0
LOSSLESS = ("PCM", "FLAC", "ALAC", "FLOAT", "DOUBLE")


@dataclass(frozen=True, eq=False)
class Curve:
    """Similarity at every threshold of THRESHOLDS [101], NaN where nothing is on that side; seconds on either side."""

    kept: np.ndarray
    rejected: np.ndarray
    kept_s: np.ndarray
    rejected_s: np.ndarray


@dataclass(frozen=True, eq=False)
class Verification:
    """Everything known of a recording against an enrolment. Cosines are of unit embeddings, -1 to 1.

    gamma: gate, 0..1 per frame; beta: shift; speech: tracks of the voice activity detectors, absent: why one is missing;
    raw: cosine of the recording as it is; gated: after gate and shift, the SVVAD score; by_speech: of the frames in which
    each detector hears speech, with their seconds; influence: per frame, None for long recordings; speakers: how many
    voices; reasons: why there is no verdict; advice: what to keep in mind.
    """

    name: str
    sha256: str
    duration_s: float
    enrolment: Enrolment
    gamma: Track
    beta: Track
    speech: Mapping[str, Track]
    absent: Mapping[str, str]
    raw: float
    gated: float
    by_speech: Mapping[str, tuple[float | None, float]]
    curve: Curve
    influence: Track | None
    speakers: Speakers
    reasons: tuple[Reason, ...]
    advice: tuple[str, ...]
    networks_sha256: str
    device: str
    version: str = VERSION


def verify(recording: Recording, enrolment: Enrolment, networks: SpeakerNetworks, *,
           on_progress: Callable[[float, str], Any] | None = None,
           cancelled: Callable[[], bool] | None = None) -> Verification:
    """Compare a recording with an enrolment. Raises Cancelled; UnreadableAudio (too-short)."""

    def tell(share: float, words: str) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled()
        if on_progress is not None:
            on_progress(share, words)

    tell(0.0, "finding speech")
    quality = quality_of(recording)
    speech, absent = {"energy": energy_track(recording.samples)}, {}
    other, why = silero_track(recording.samples)
    if other is None:
        absent["silero"] = why
    else:
        speech["silero"] = other
    tell(0.1, "listening for the voice")
    heard = listen(recording.samples, enrolment.embedding, networks, {n: t.values for n, t in speech.items()},
                   on_progress=lambda share: tell(0.1 + 0.8 * share, "listening for the voice"), cancelled=cancelled)
    tell(0.92, "comparing")
    return _compared(recording, enrolment, networks, quality, heard, speech, absent)


def _compared(recording: Recording, enrolment: Enrolment, networks: SpeakerNetworks, quality: Quality, heard: Heard,
              speech: dict[str, Track], absent: dict[str, str]) -> Verification:
    who, hop = enrolment.embedding, heard.hop_s

    def cosine(sums: Any) -> float | None:
        statistics = sums.statistics()
        return None if statistics is None else float(networks.embed(*(x[None] for x in statistics))[0] @ who)

    moved = influence(heard, who, networks)
    return Verification(
        recording.name, recording.sha256, recording.duration_s, enrolment,
        Track("gamma", heard.gamma, hop, heard.start_s, "", "gate of the speaker's voice activity"),
        Track("beta", heard.beta, hop, heard.start_s, "", "shift of the features"),
        speech, absent, cosine(heard.levels) or 0.0, cosine(heard.gated) or 0.0,
        {name: (cosine(sums), float(sums.frames.sum() * hop)) for name, sums in heard.speech.items()},
        _curve(heard, who, networks),
        None if moved is None else Track("influence", moved, hop, heard.start_s, "cosine per frame", "pull of a frame"),
        compare_spans(heard.spans, limit_for(networks)), _reasons(recording, enrolment, quality),
        _advice(recording, enrolment, quality), networks.sha256, str(networks.device))


def _curve(heard: Heard, who: np.ndarray, networks: SpeakerNetworks) -> Curve:
    kept = networks.embed(*heard.levels.from_level()) @ who
    rejected = networks.embed(*heard.levels.below_level()) @ who
    frames = np.concatenate((np.cumsum(heard.levels.frames[::-1])[::-1], [0.0]))[:LEVELS]
    return Curve(kept, rejected, frames * heard.hop_s, (heard.levels.frames.sum() - frames) * heard.hop_s)


# ---- what speaks against a verdict -------------------------------------------------------------------------


def _reasons(recording: Recording, enrolment: Enrolment, quality: Quality) -> tuple[Reason, ...]:
    reasons = list(enrolment.reasons)
    same = [r for r in enrolment.references if r.sha256 == recording.sha256]
    if any(r.whole for r in same):
        reasons.append(Reason("same-recording", "a reference and the recording are the same bytes, which says nothing "
                              "about a voice", None, None, ""))
    elif same:
        reasons.append(Reason("enrolled-from-here", "the voice was enrolled from a region of this very recording, so its "
                              "likeness to itself is no evidence; the gate still shows where the voice speaks", None,
                              None, ""))
    if quality.speech_s < QUALITY_LIMITS.speech_fatal_s:
        reasons.append(Reason("no-speech", f"the recording holds {quality.speech_s:.1f} s of speech, at least "
                              f"{QUALITY_LIMITS.speech_fatal_s} s are needed", quality.speech_s,
                              QUALITY_LIMITS.speech_fatal_s, "s"))
    return tuple(reasons)


def _advice(recording: Recording, enrolment: Enrolment, quality: Quality) -> tuple[str, ...]:
    words = list(enrolment.advice)
    facts = recording.facts
    for r in enrolment.references:
        low, high = sorted((r.bandwidth_hz, facts.bandwidth_hz))
        if low < NARROW_HZ and high - low > BANDWIDTH_APART_HZ:
            words.append(f"Different channel: {r.name} reaches up to {r.bandwidth_hz:.0f} Hz, the recording up to "
                         f"{facts.bandwidth_hz:.0f} Hz. A channel changes the similarity as much as a voice may; compare "
                         "with a reference from the same channel.")
        elif _lossless(r.codec) != _lossless(facts.codec):
            words.append(f"Different coding: {r.name} is {r.codec}, the recording {facts.codec}; lossy coding changes a "
                         "voice.")
        if abs(r.snr_db - quality.snr_db) > SNR_APART_DB:
            words.append(f"Different noise: {r.snr_db:.0f} dB signal to noise in {r.name}, {quality.snr_db:.0f} dB in "
                         "the recording.")
    words.append("Whether both speak the same language isn't examined; another language lowers the similarity of one "
                 "voice.")
    return tuple(dict.fromkeys(words))


def _lossless(codec: str) -> bool:
    return codec.upper().startswith(LOSSLESS)
