"""Teaching: two known voices mixed at a chosen ratio, so that the boundary can be seen against the truth.

The first part of each voice is kept apart for the enrolment; the rest is mixed by turns or on top of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import InvalidOption
from core.speaker.vad import HOP, energy_speech

RATE = 16_000
ENROLMENT_S = 6.0  # at most, and at most half of the voice
TURN_S = 2.0
TURNS, OVERLAP = "by turns", "at the same time"


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture and its truth. samples : [shape=(n,)]; target : 1 where the enrolled voice speaks, per 10 ms frame
    [n // 160]; other : the same for the other voice; enrolment : the part of the target kept out of the mixture.
    """

    samples: np.ndarray
    target: np.ndarray
    other: np.ndarray
    enrolment: np.ndarray


def apart(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(enrolment, rest) of a voice. Raises InvalidOption for less than four seconds."""
    if len(samples) < 4 * RATE:
        raise InvalidOption("This voice is too short to be split into an enrolment and a rest; choose a longer one.")
    n = min(round(ENROLMENT_S * RATE), len(samples) // 2)
    return np.array(samples[:n], np.float32), np.array(samples[n:], np.float32)


def mix(target: np.ndarray, other: np.ndarray, share: float, how: str = TURNS, *, snr_db: float = 0.0) -> Mixture:
    """Mix two voices. target, other : [n] at 16 kHz; share : of the other speaker in 0..0.8 of the length (by turns), or
    of the time during which both speak (at the same time); snr_db : level of the target over the other.

    Raises InvalidOption for a voice that is too short or a share that makes no sense.
    """
    if not 0 <= share <= 0.8:
        raise InvalidOption("The share of the other speaker must be between 0 and 80 %.")
    enrolment, rest = apart(target)
    rest, other = _levelled(rest), _levelled(other) * np.float32(10 ** (-snr_db / 20))
    if how == TURNS:
        samples, owner = _by_turns(rest, other, share)
        speech = energy_speech(samples)
        owners = owner[HOP // 2 :: HOP][: len(speech)] if len(owner) else owner
        return Mixture(samples, speech * (owners == 0), speech * (owners == 1), enrolment)
    n = min(round(share * len(rest)), len(other))
    start = (len(rest) - n) // 2
    added = np.zeros_like(rest)
    added[start : start + n] = other[:n]
    return Mixture(_safe(rest + added), energy_speech(rest), energy_speech(added) if n else np.zeros(len(rest) // HOP),
                   enrolment)


def _by_turns(target: np.ndarray, other: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Turns of either voice so that ``share`` of the whole is the other's; (samples, owner per sample: 0 or 1)."""
    if share == 0:
        return _safe(target), np.zeros(len(target), np.int8)
    total = min(len(target) / (1 - share), len(other) / share)
    lengths = round(total * (1 - share)), round(total * share)
    turns = max(1, round(max(lengths) / (TURN_S * RATE)))
    pieces, owner = [], []
    for i in range(turns):
        for who, (voice, n) in enumerate(zip((target, other), lengths, strict=True)):
            piece = voice[i * n // turns : (i + 1) * n // turns]
            pieces.append(piece)
            owner.append(np.full(len(piece), who, np.int8))
    return _safe(np.concatenate(pieces)), np.concatenate(owner)


def _levelled(samples: np.ndarray) -> np.ndarray:
    """At an effective value of a twentieth of full scale over the frames that hold speech."""
    x = np.array(samples, np.float32)
    spoken = np.repeat(energy_speech(x) > 0, HOP)
    level = float(np.sqrt(np.mean(x[: len(spoken)][spoken] ** 2))) if spoken.any() else 0.0
    return x * np.float32(0.05 / level) if level > 0 else x


def _safe(samples: np.ndarray) -> np.ndarray:
    return samples / max(1.0, float(np.abs(samples).max(initial=0.0)) / 0.98)


def agreement(gamma: np.ndarray, mixture: Mixture, threshold: float) -> dict[str, float | None]:
    """How far the gate agrees with the truth on frames in which exactly one voice speaks: AUC (0.5 says nothing), and the
    shares of the target's frames kept and of the other's rejected. None where a voice is missing.
    """
    from core.detectors.polarity import auc

    n = min(len(gamma), len(mixture.target))
    g, t, o = gamma[:n], mixture.target[:n] > 0, mixture.other[:n] > 0
    yes, no = g[t & ~o], g[o & ~t]
    return {
        "auc": auc(yes, no) if len(yes) and len(no) else None,
        "target kept": float((yes >= threshold).mean()) if len(yes) else None,
        "other rejected": float((no < threshold).mean()) if len(no) else None,
    }

