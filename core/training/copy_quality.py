"""Listening by numbers: how far a copy is from its original, where no ear is at hand.

None of these is a perceptual score; they rank vocoders and show a broken one. The phase is free, so nothing here compares
waveforms sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class CopyQuality:
    """mel_db: mean distance of log-mel values in dB, 0 for a perfect copy; envelope: mean correlation of band envelopes
    in 0.4 s (an intelligibility-like proxy, after STOI), 1 for a perfect copy; pitch_cents: median deviation of the pitch
    where both are voiced; voicing: share of frames whose voicing agrees.
    """

    mel_db: float
    envelope: float
    pitch_cents: float
    voicing: float


def measure_copy(original: np.ndarray, copy: np.ndarray) -> CopyQuality:
    """Compare two float32 (n,) at 16 kHz, levels set equal first."""
    import torch

    from models.vocoder import LogMel, track_pitch

    if len(original) != len(copy):
        raise ValueError("a copy has as many samples as its original")
    pair = np.stack([x / (np.sqrt(np.mean(x**2)) + 1e-9) * 0.08 for x in (original, copy)]).astype(np.float32)
    wav = torch.from_numpy(pair)
    mel = LogMel(1024, 256, 40)(wav).numpy()  # (2, 40, T)
    loud = mel[0] > np.log(1e-3)
    a, b = np.exp(mel)
    size = 25  # 0.4 s
    scores = [_correlation(a[:, t : t + size], b[:, t : t + size]) for t in range(0, max(1, a.shape[1] - size + 1), size)]
    pitch = track_pitch(wav, 160, pair.shape[1] // 160).numpy()
    both = (pitch[0] > 0) & (pitch[1] > 0)
    cents = np.abs(1200 * np.log2(pitch[1][both] / pitch[0][both])) if both.any() else np.array([np.nan])
    return CopyQuality(float(20 / np.log(10) * np.abs(mel[0] - mel[1])[loud].mean()) if loud.any() else float("nan"),
                       float(np.mean(scores)), float(np.median(cents)), float(np.mean((pitch[0] > 0) == (pitch[1] > 0))))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over bands of the correlation over time, (bands, frames) each."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return float(np.mean((a * b).sum(1) / (np.sqrt((a**2).sum(1) * (b**2).sum(1)) + 1e-12)))
