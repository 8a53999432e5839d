"""ACoRL: an alliance model that is trained to find what frozen members don't use already, and the fusion of all.

    members m_k(x) -> v_k (frozen)        alliance g(x) -> z -> h(z), the task
                                                       z -> reversed gradient -> A_k(z) ~ v_k, the adversary

A_k learns to predict what member k knows; through the reversed gradient, g learns to make that hard while the task
branch keeps it useful. Networks look at rows of one plane (B, R, T): the panel's frame tracks (``models.views``), which
cost nothing more where the panel is heard too. Members may be any frozen model. Training: ``core.training.acorl``.

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

from models import views
from models.files import load_network

LIMIT = 5.0  # standardised values are cut off here
VIEWS = {"cepstra": (0, 20), "excitation": (20, views.TRACKS - 20), "alliance": (0, views.TRACKS)}  # first row, rows


def tracks_of(wav: torch.Tensor) -> torch.Tensor:
    """wav (B, N) at 16 kHz -> the plane that all networks here look at, (B, TRACKS, T) at 10 ms."""
    return views.local_tracks(views.frame_tracks(views.prepare(wav))[0])


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

    rows: int = 79  # R, rows of the plane that it looks at
    first: int = 0  # the first of them; the plane may have more
    channels: int = 64  # C, width of the convolutions
    dim: int = 64  # d, width of the representation
    kernel: int = 5  # frames that a convolution sees
    dropout: float = 0.3


class Alliance(nn.Module):
    """A small network over time: plane (B, ., T) -> representation z (B, d) of unit length -> logit (B,).

    Two convolutions, mean and deviation over time, one linear map. Looks at its own rows of the plane only; a member is
    one that is given few of them. Higher logits are bona fide.
    """

    def __init__(self, config: AllianceConfig) -> None:
        super().__init__()
        self.config = c = config
        half = c.kernel // 2
        self.register_buffer("mean", torch.zeros(c.rows, 1))
        self.register_buffer("inverse", torch.ones(c.rows, 1))
        self.convolutions = nn.Sequential(
            nn.Conv1d(c.rows, c.channels, c.kernel, padding=half), nn.BatchNorm1d(c.channels), nn.ReLU(),
            nn.Dropout(c.dropout),
            nn.Conv1d(c.channels, c.channels, c.kernel, padding=2 * half, dilation=2), nn.BatchNorm1d(c.channels),
            nn.ReLU())
        self.project = nn.Sequential(nn.BatchNorm1d(2 * c.channels), nn.Dropout(c.dropout),
                                     nn.Linear(2 * c.channels, c.dim))
        self.head = nn.Linear(c.dim, 1)

    @classmethod
    def tiny(cls, seed: int = 0, first: int = 0, rows: int = views.TRACKS) -> Alliance:
        """A random debug instance for tests: never shipped, never shown as a detector."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(AllianceConfig(rows=rows, first=first, channels=6, dim=8)).eval()

    def standardise(self, x: torch.Tensor) -> None:
        """Set the rows' mean and deviation from planes (N, ., T)."""
        mine = self._rows(x)
        self.mean.copy_(mean := mine.mean((0, 2))[:, None])
        self.inverse.copy_(1.0 / ((mine - mean).square().mean((0, 2))[:, None].sqrt() + 1e-4))

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.config.first : self.config.first + self.config.rows].float()

    def represent(self, x: torch.Tensor) -> torch.Tensor:
        """(B, ., T) -> z (B, d), of unit length."""
        seen = ((self._rows(x) - self.mean) * self.inverse).clamp(-LIMIT, LIMIT)
        maps = self.convolutions(seen).float()  # (B, C, T)
        moments = torch.cat([maps.mean(-1), views.spread(maps)], 1)  # (B, 2C)
        return F.normalize(self.project(moments).float(), dim=1)

    def classify(self, z: torch.Tensor) -> torch.Tensor:
        """z (B, d) -> logit (B,)."""
        return self.head(z * math.sqrt(self.config.dim)).squeeze(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, ., T) -> logit (B,)."""
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
    """Write weights (fp16) and configuration as one safetensors file."""
    tensors = {name: value.detach().to("cpu", torch.float16 if value.is_floating_point() else value.dtype).contiguous()
               for name, value in model.state_dict().items()}
    save_file(tensors, str(path), metadata={"alliance": json.dumps(asdict(model.config), sort_keys=True)})


def load_alliance(path: str | Path) -> Alliance:
    """Rebuild a model written by :func:`save_alliance`, in evaluation mode. Raises ValueError for another file."""
    return load_network(path, "alliance", "an alliance model", lambda config: Alliance(AllianceConfig(**config)))
