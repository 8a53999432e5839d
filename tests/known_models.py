"""Scorers whose explanation is known beforehand, for the tests of attribution and audit. None of them is a detector.

Each hears a whisper log-mel of the sound (or the sound itself) and follows ``core.attribute.scorer.Scorer``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch

from core.frames import plan_windows
from models.frontend import whisper_log_mel

CPU = torch.device("cpu")


class KnownScorer:
    """score(mel (B, 80, S)) -> (B,); ``layer`` for Grad-CAM; ``broken`` makes the destroyed copy."""

    unit, log_mel, device, most_s, bridges, effort = "log10 LR", True, CPU, 64.0, False, {}

    def __init__(self, score: Callable[[torch.Tensor], torch.Tensor], name: str = "known", layer=None,
                 broken: Callable[[int], KnownScorer] | None = None) -> None:
        self.score, self.name, self.layer, self.broken = score, name, layer, broken
        self.sha256, self.lock = f"sha of {name}", threading.RLock()

    def front(self, wav):
        return whisper_log_mel(wav)

    def clip_of_mel(self, mel):
        return self.score(mel)

    def clip_of_wav(self, wav):
        return self.score(self.front(wav))

    def frames_of_mel(self, mel):
        return mel.mean(1)[:, ::2]

    def frames_of_wav(self, wav):
        return self.frames_of_mel(self.front(wav))

    def feature_maps(self):
        return self.layer

    def plan(self, n_samples):
        return plan_windows(n_samples)

    def destroyed(self, seed):
        return None if self.broken is None else self.broken(seed)


def linear(seed: int = 0, size: float = 0.01) -> KnownScorer:
    """A weighted sum of all values; its weights, for windows of any length up to 8 s, are in ``weights``."""
    weights = size * torch.randn(80, 800, generator=torch.Generator().manual_seed(seed))
    scorer = KnownScorer(lambda mel: (mel * weights[:, : mel.shape[-1]]).sum((1, 2)), f"linear {seed}",
                         broken=lambda s: linear(seed + 1 + s, size))
    scorer.weights = weights
    return scorer


def one_band(low: int = 30, high: int = 38) -> KnownScorer:
    """A network that sees nothing but mel bands [low, high) and how they move: smooth, not linear. Destroying its
    weights moves the band elsewhere."""
    def score(mel: torch.Tensor) -> torch.Tensor:
        band = mel[:, low:high].mean(1)
        return 2.0 * torch.tanh(band).mean(1) + band.diff(dim=1).square().mean(1)

    return KnownScorer(score, f"bands {low}-{high}", broken=lambda s: one_band((low + 25) % 70, (low + 25) % 70 + 8))


def artefact(hz: float = 3_000.0) -> KnownScorer:
    """Hears a steady tone at ``hz`` by how far its band stands out from the ones beside it, most where it does."""
    from models.frontend import hz_to_mel

    band = round(float(hz_to_mel(hz) / hz_to_mel(8_000.0)) * 81) - 1
    def score(mel: torch.Tensor) -> torch.Tensor:
        out = mel[:, band] - 0.5 * (mel[:, band - 4] + mel[:, band + 4])
        return -torch.nn.functional.softplus(12.0 * (out - 0.25)).mean(1)

    scorer = KnownScorer(score, f"tone at {hz:.0f}", broken=lambda s: artefact(hz / 2))
    scorer.band = band
    return scorer


def blind() -> KnownScorer:
    """Ignores its input but for a hair's breadth of its mean."""
    return KnownScorer(lambda mel: 1e-7 * mel.mean((1, 2)) + 0.3, "blind")


def convolutional(seed: int = 0) -> KnownScorer:
    """A small random network with a two-dimensional convolution."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5, padding=2, stride=2), torch.nn.GELU(),
                                      torch.nn.Conv2d(4, 3, 3, padding=1)).requires_grad_(False).eval()
    return KnownScorer(lambda mel: torch.tanh(network(mel[:, None])).mean((1, 2, 3)), f"conv {seed}", network[2],
                       broken=lambda s: convolutional(seed + 1 + s))


def with_tone(samples: np.ndarray, start_s: float, stop_s: float, hz: float = 3_000.0, level: float = 0.1) -> np.ndarray:
    """The sound with a tone planted between two moments."""
    t = np.arange(len(samples)) / 16_000
    return (samples + level * np.sin(2 * np.pi * hz * t) * ((t >= start_s) & (t < stop_s))).astype(np.float32)
