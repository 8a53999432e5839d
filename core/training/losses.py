"""The three-part f-InfoED loss and the frame head's loss.

L = alpha * reconstruction + beta * KL + gamma * classification (+ delta * frames), arXiv 2504.10819. The paper's
weights are not public; ours are in :class:`LossWeights`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from models.finfoed import FInfoED, FInfoEDOutput, kl_to_standard_normal
from models.frontend import mel_at_encoder_rate


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms. ``beta`` warms up linearly over ``warm_up`` of the training."""

    alpha: float = 1.0
    beta: float = 1e-3
    gamma: float = 1.0
    delta: float = 0.5
    warm_up: float = 0.25
    smoothing: float = 0.05


def masked_bce(logit: torch.Tensor, label: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Binary cross-entropy over the entries whose label is not NaN; each class weighs the same. Scalar."""
    known = ~label.isnan()
    if not known.any():
        return logit.sum() * 0.0
    logit, label = logit[known].float(), label[known]
    target = label * (1 - smoothing) + 0.5 * smoothing
    loss = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    positive = label.mean().clamp(0.05, 0.95)
    weight = torch.where(label > 0.5, 0.5 / positive, 0.5 / (1 - positive))
    return (weight * loss).mean()


def sample_latent(output: FInfoEDOutput) -> torch.Tensor:
    """z = mu + sigma * eps (reparameterisation). (B, T, D)."""
    return output.mu + (0.5 * output.logvar).exp() * torch.randn_like(output.mu)


def finfoed_loss(model: FInfoED, output: FInfoEDOutput, mel: torch.Tensor, clip_label: torch.Tensor,
                 frame_label: torch.Tensor, weights: LossWeights, progress: float) -> tuple[torch.Tensor, dict]:
    """Total loss (scalar) and its parts as floats.

    mel : (B, 80, 2T) Whisper log-mel of the input; labels (B,) and (B, T), 1 bona fide, 0 spoof, NaN unknown.
    progress : 0..1 through training, for the warm-up of beta.
    """
    reconstruction = F.mse_loss(model.reconstruct(sample_latent(output)).float(), mel_at_encoder_rate(mel))
    kl = kl_to_standard_normal(output.mu.float(), output.logvar.float()).mean()
    clip = masked_bce(output.clip_logit, clip_label, weights.smoothing)
    frames = masked_bce(output.frame_logit, frame_label, weights.smoothing)
    beta = weights.beta * min(1.0, progress / max(weights.warm_up, 1e-9))
    total = weights.alpha * reconstruction + beta * kl + weights.gamma * clip + weights.delta * frames
    parts = {"reconstruction": reconstruction, "kl_per_dim": kl, "clip": clip, "frames": frames}
    return total, {name: float(value.detach()) for name, value in parts.items()}
