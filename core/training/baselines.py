"""What a detector must beat: a floor on frozen features, and a baseline that sees nothing but bandwidth and level.

The floor is logistic regression on the mean and deviation over time of one frozen hidden state. The baseline sees ten
numbers per clip that say nothing of synthesis; if it does well, the corpus gives the classes away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from core.training.corpus import Clip, load_views, split
from models.encoder import FrameEncoder

Features = Callable[[Clip], np.ndarray]


def channel_features(samples: np.ndarray) -> np.ndarray:
    """Level, crest factor, duration, share of quiet frames, noise floor, energy above 2/4/5.5/7 kHz: (9,)."""
    n = len(samples) // 320 * 320
    power = np.mean(samples[:n].reshape(-1, 320) ** 2, axis=1) + 1e-10
    spectrum = np.abs(np.fft.rfft(samples)) ** 2 + 1e-12
    f = np.fft.rfftfreq(len(samples), 1 / 16_000)
    above = [np.log10(spectrum[f > edge].sum() / spectrum.sum()) for edge in (2000, 4000, 5500, 7000)]
    loud = power.max()
    return np.array([np.log10(power.mean()), np.log10(loud / power.mean()), len(samples) / 16_000,
                     np.mean(power < loud * 1e-4), np.log10(np.quantile(power, 0.05) / loud), *above])


@torch.inference_mode()
def frozen_moments(encoder: FrameEncoder, samples: np.ndarray, layer: int) -> np.ndarray:
    """Mean and deviation over time of one frozen hidden state: (2F,). The first 8 s at most."""
    wav = torch.from_numpy(np.resize(samples, max(len(samples), 6_400))[:128_000]).unsqueeze(0)
    states = encoder(wav)[0, layer]
    return torch.cat([states.mean(0), states.std(0)]).numpy()


def balanced_weights(clips: Sequence[Clip]) -> np.ndarray:
    """Weight per clip: inverse square root of its (source, label, system) count, each class summing to a half."""
    counts = Counter((c.source, c.label, c.system) for c in clips)
    weights = np.array([counts[(c.source, c.label, c.system)] ** -0.5 for c in clips])
    label = np.array([c.bonafide for c in clips])
    for value in (True, False):
        weights[label == value] *= 0.5 / weights[label == value].sum()
    return weights


def leave_out_scores(clips: Sequence[Clip], folds: Sequence[Sequence[str]], features: Features,
                     penalty: float = 1e-3) -> dict[str, float]:
    """Held-out score per clip of a balanced logistic regression on standardised features, fold by fold."""
    cache = {c.clip: features(c) for c in clips if not c.copier}
    scores: dict[str, float] = {}
    for held_out in folds:
        train, test = split([c for c in clips if not c.copier], held_out)
        x = np.stack([cache[c.clip] for c in train]).astype(np.float32)
        mean, deviation = x.mean(0), x.std(0) + 1e-4
        weight, bias = fit_penalised((x - mean) / deviation, np.array([c.bonafide for c in train]),
                                     balanced_weights(train), penalty)
        for clip in test:
            z = np.clip((cache[clip.clip] - mean) / deviation, -6, 6)
            scores[clip.clip] = float(z @ weight + bias)
    return scores


def fit_penalised(x: np.ndarray, label: np.ndarray, weights: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Ridge-penalised weighted logistic regression by L-BFGS. Returns weights (F,) and bias."""
    inputs, target = torch.from_numpy(x), torch.from_numpy(label.astype(np.float32))
    sample = torch.from_numpy(weights.astype(np.float32))
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weight + bias, target, reduction="none")
        total = (sample * loss).sum() + penalty * weight.square().sum()
        total.backward()
        return total

    optimiser.step(closure)
    return weight.detach().numpy(), float(bias.detach())


def clean_view(folder: Path, clip: Clip) -> np.ndarray:
    """The undegraded view as float32 (n,)."""
    return load_views(folder, clip)[0].astype(np.float32) / 32768.0
