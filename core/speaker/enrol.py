"""Enrolment: the voice in question, from one or more references, and what speaks against relying on it.

An enrolment is the mean of its references' embeddings. Whether it fits a test recording (the same bytes, another
channel) is for `verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.audio import Recording
from core.errors import InvalidOption
from core.examine import quality_of
from core.finding import Reason
from core.frames import SAMPLE_RATE, samples_to_seconds
from core.speaker.listen import pooled
from core.speaker.networks import SpeakerNetworks
from core.speaker.several import Speakers, compare_spans, limit_for

SPEECH_FATAL_S = 2.0  # in all references together
SPEECH_ADVICE_S = 10.0
SHORTEST_S = 1.0  # of a reference or region
SOUND_S = 60  # of a reference are kept for a second encoder


@dataclass(frozen=True, eq=False)
class Reference:
    """One reference recording, or a region of one. ``span``: first and last sample at 16 kHz; ``whole``: no region;
    ``sound``: its first minute at most, float32 (n,), for a second encoder.
    """

    name: str
    sha256: str
    span: tuple[int, int]
    whole: bool
    speech_s: float
    snr_db: float
    bandwidth_hz: float
    codec: str
    source_rate_hz: int
    embedding: np.ndarray
    speakers: Speakers
    sound: np.ndarray

    @property
    def seconds(self) -> tuple[float, float]:
        return samples_to_seconds(self.span[0]), samples_to_seconds(self.span[1])


@dataclass(frozen=True, eq=False)
class Enrolment:
    """The voice in question. embedding : np.ndarray [shape=(192,)], unit length; reasons: why no verdict rests on it."""

    references: tuple[Reference, ...]
    embedding: np.ndarray
    reasons: tuple[Reason, ...]
    advice: tuple[str, ...]
    networks_sha256: str

    @property
    def speech_s(self) -> float:
        return sum(r.speech_s for r in self.references)

    @property
    def key(self) -> str:
        """Digest of everything that the embedding depends on."""
        parts = [self.networks_sha256, *(f"{r.sha256} {r.span[0]} {r.span[1]}" for r in self.references)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def refer(recording: Recording, networks: SpeakerNetworks, span: tuple[int, int] | None = None) -> Reference:
    """Take a recording, or its samples [first, last), as a reference.

    Raises InvalidOption for a region that isn't inside the recording or is shorter than a second; UnreadableAudio
    (too-short).
    """
    first, last = span or (0, len(recording.samples))
    if not 0 <= first < last <= len(recording.samples):
        raise InvalidOption("The region lies outside the recording; select it again.")
    if span is not None and last - first < SHORTEST_S * SAMPLE_RATE:
        raise InvalidOption(f"The region is shorter than {SHORTEST_S:.0f} s; select a longer one to enrol from.")
    quality = quality_of(recording)
    embedding, spans = pooled(recording.samples[first:last], networks)
    inside = quality.speech.slice(samples_to_seconds(first), samples_to_seconds(last))
    return Reference(recording.name, recording.sha256, (first, last), span is None,
                     float(inside.values.sum() * inside.hop_s), quality.snr_db, recording.facts.bandwidth_hz,
                     recording.facts.codec, recording.facts.sample_rate_hz, embedding,
                     compare_spans(spans, limit_for(networks)),
                     np.array(recording.samples[first : min(last, first + SOUND_S * SAMPLE_RATE)], np.float32))


def combine(references: Sequence[Reference], networks: SpeakerNetworks) -> Enrolment:
    """The enrolment from references: the mean of their embeddings, with its checks. Raises InvalidOption for none."""
    if not references:
        raise InvalidOption("There is no reference recording; enrol the voice from at least one.")
    mean = np.mean([r.embedding for r in references], axis=0)
    embedding = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
    reasons, advice = _checks(references)
    return Enrolment(tuple(references), embedding, reasons, advice, networks.sha256)


def enrol(recordings: Sequence[Recording], networks: SpeakerNetworks) -> Enrolment:
    """`refer` each recording and `combine` them."""
    return combine([refer(recording, networks) for recording in recordings], networks)


def _checks(references: Sequence[Reference]) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
    speech, reasons, advice = sum(r.speech_s for r in references), [], []
    if speech < SPEECH_FATAL_S:
        reasons.append(Reason("enrolment-too-short", f"the references hold {speech:.1f} s of speech together, at least "
                              f"{SPEECH_FATAL_S:.0f} s are needed", speech, SPEECH_FATAL_S, "s"))
    elif speech < SPEECH_ADVICE_S:
        advice.append(f"The references hold only {speech:.1f} s of speech; from {SPEECH_ADVICE_S:.0f} s on an enrolment "
                      "is steadier.")
    for r in references:
        if r.speakers.several:
            reasons.append(Reason("enrolment-two-speakers", f"the reference {r.name} seems to hold more than one voice",
                                  r.speakers.distance, r.speakers.limit, "cosine distance"))
    advice += _disagreement(references)
    return tuple(reasons), tuple(advice)


def _disagreement(references: Sequence[Reference]) -> list[str]:
    """References further from each other than the limit for one voice may be of two people."""
    limit = next((r.speakers.limit for r in references if r.speakers.limit is not None), None)
    if limit is None or len(references) < 2:
        return []
    together = np.stack([r.embedding for r in references])
    least = float((together @ together.T).min())
    if 1 - least <= limit:
        return []
    return [f"Two of the references are further apart ({1 - least:.2f}) than one voice usually is ({limit:.2f}): check "
            "that they are of the same person."]
