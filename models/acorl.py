"""ACoRL: an alliance model that is trained to find what frozen members don't use already, and the fusion of all.

    members m_k(x) -> v_k (frozen)        alliance g(x) -> z -> h(z), the task
                                                       z -> reversed gradient -> A_k(z) ~ v_k, the adversary

A_k learns to predict what member k knows; through the reversed gradient, g learns to make that hard while the task
branch keeps it useful. Everything is a network over a log-mel (B, R, T) or any plane of that shape; members may be any
frozen model. Training is in ``core.training.acorl``.

References
----------
arXiv 2404.15704 (IJCNN 2024): adversarial complementary representation learning. Its text gives the idea, not the
equations; the cosine objective, the schedule and the bounded adversary are ours.
Ganin, Lempitsky 2015, arXiv 1409.7495 (gradient reversal and its schedule).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models.files import load_network


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradient, None


def reverse_gradient(x: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """x as it is; its gradient times ``-strength`` (arXiv 1409.7495). Any shape."""
    return _Reverse.apply(x, strength)


def reversal_strength(progress: float) -> float:
    """Strength of the reversal at a share 0..1 of the training: 2 / (1 + exp(-10 p)) - 1, from 0 towards 1."""
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


@dataclass(frozen=True)
class AllianceConfig:
    """Everything needed to rebuild an alliance model, or a member of the same kind."""

    rows: int = 80  # R, bands of its input
    channels: int = 32  # width of the convolutions
    dim: int = 64  # d, width of the representation
    kernel: int = 5  # frames and bands that a convolution sees
    dropout: float = 0.1


class Alliance(nn.Module):
    """A small convolutional network: plane (B, R, T) -> representation z (B, d) of unit length -> logit (B,).

    Keeps its rows apart until the pooled representation, so that it can rest on some bands and not on others.
    Higher logits are bona fide.
    """

    def __init__(self, config: AllianceConfig) -> None:
        super().__init__()
        self.config = c = config
        half = c.kernel // 2
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, c.channels, c.kernel, padding=half), nn.ReLU(),
            nn.Conv2d(c.channels, c.channels, c.kernel, padding=half, stride=(2, 2)), nn.ReLU())
        rows = (c.rows + 1) // 2
        self.project = nn.Sequential(nn.Dropout(c.dropout), nn.Linear(2 * c.channels * rows, c.dim))
        self.head = nn.Linear(c.dim, 1)

    def represent(self, x: torch.Tensor) -> torch.Tensor:
        """(B, R, T) -> z (B, d), of unit length."""
        maps = self.convolutions(x[:, None])  # (B, C, R/2, T/2)
        moments = torch.cat([maps.mean(-1), (maps.var(-1, correction=0) + 1e-5).sqrt()], 1)  # (B, 2C, R/2)
        return F.normalize(self.project(moments.flatten(1)), dim=1)

    def classify(self, z: torch.Tensor) -> torch.Tensor:
        """z (B, d) -> logit (B,)."""
        return self.head(z * math.sqrt(self.config.dim)).squeeze(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, R, T) -> logit (B,)."""
        return self.classify(self.represent(x))


class Adversary(nn.Module):
    """One predictor per member, z (B, d) -> v_k (B, d_k), with one hidden layer no wider than 2 d."""

    def __init__(self, dim: int, targets: Sequence[int]) -> None:
        super().__init__()
        self.predictors = nn.ModuleList(nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, k))
                                        for k in targets)

    def forward(self, z: torch.Tensor, known: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean over members and rows of 1 - cos(A_k(z), v_k): 0 where z gives all away, 1 where nothing. Scalar."""
        losses = [1.0 - F.cosine_similarity(predict(z), v.detach(), dim=1).mean()
                  for predict, v in zip(self.predictors, known, strict=True)]
        return torch.stack(losses).mean()


class LateFusion(nn.Module):
    """One linear layer over all representations side by side: [(B, d_k)] -> logit (B,). Members stay frozen."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.norms = nn.ModuleList(nn.LayerNorm(d, elementwise_affine=False) for d in dims)
        self.output = nn.Linear(sum(dims), 1)

    def forward(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Raises ValueError where the parts are not those it was made for."""
        if tuple(p.shape[1] for p in parts) != self.dims:
            raise ValueError(f"fusion of widths {self.dims} was given {tuple(p.shape[1] for p in parts)}")
        return self.output(torch.cat([norm(p) for norm, p in zip(self.norms, parts, strict=True)], 1)).squeeze(-1)


def save_alliance(model: Alliance, path: str | Path) -> None:
    """Write weights and configuration as one safetensors file."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, str(path), metadata={"alliance": json.dumps(asdict(model.config), sort_keys=True)})


def load_alliance(path: str | Path) -> Alliance:
    """Rebuild a model written by :func:`save_alliance`, in evaluation mode. Raises ValueError for another file."""
    return load_network(path, "alliance", "an alliance model", lambda config: Alliance(AllianceConfig(**config)))
