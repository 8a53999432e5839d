"""RAD: a detector that compares a query with what it retrieves, layer by layer.

    query      (L, T, F) -> MFA -> r_q (4F)
    neighbours (K, L, T, F) -> MFA -> r_k (K, 4F);  r_d = r_k - r_q (K, 4F) -> ASP over K -> r_e (8F)
    logits = Linear([r_e ; r_q] (12F)) -> 2

MFA pools time within each layer, then the layers, by attentive statistics. T counts blocks of tau frames: the short
features of a library. Which segments are neighbours is for ``core.retrieve``; neighbour k may be another segment in
each layer. Losses and training live in ``core.training``.

References
----------
Kang, He, Zhao, Qu, Peng, Xiao, Wang 2024, arXiv 2404.13892 (ICMR 2024): the whole and Fig. 5's shapes (its 8F out of
K x 8F is what makes 12F add up). Okabe, Koshinaka, Shinoda 2018, arXiv 1803.10963: attentive statistics. Guo et al.
2024, arXiv 2312.08089: MFA.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from models.files import load_network

EPS = 1e-5  # floor of a variance
INPUTS = ("both", "difference", "query")


@dataclass(frozen=True)
class RADConfig:
    """Everything needed to rebuild the network before its weights are loaded."""

    layers: int = 3  # L, hidden states in use
    features: int = 64  # F of the short features
    bottleneck: int = 32  # width of the attention's hidden layer
    dropout: float = 0.2
    sees: str = "both"  # of [r_e ; r_q]; "difference" blanks r_q, "query" blanks r_e (ablations, equal capacity)


@dataclass(frozen=True)
class RADOutput:
    """One batch. ``score`` is higher for bona fide."""

    logits: torch.Tensor  # (B, 2): spoof, bona fide
    score: torch.Tensor  # (B,) logit of bona fide minus logit of spoof
    query: torch.Tensor  # r_q (B, 4F)
    difference: torch.Tensor  # r_d (B, K, 4F)
    weights: torch.Tensor  # (B, K) attention over neighbours, mean over channels; sums to 1


class AttentiveStatistics(nn.Module):
    """Attentive mean and deviation: a = softmax(V tanh(W x + b)), mu = sum a x, sigma^2 = sum a (x - mu)^2."""

    def __init__(self, features: int, bottleneck: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, bottleneck)
        self.attention = nn.Linear(bottleneck, features)

    def forward(self, x: torch.Tensor, valid: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """x (B, T, F), valid (B, T) bool -> statistics (B, 2F), weights (B, T, F). A row needs one valid place."""
        logits = self.attention(torch.tanh(self.hidden(x)))  # (B, T, F)
        if valid is not None:
            logits = logits.masked_fill(~valid.unsqueeze(-1), float("-inf"))
        weights = logits.softmax(1)  # (B, T, F)
        mean = (weights * x).sum(1)  # (B, F)
        variance = (weights * (x - mean.unsqueeze(1)).square()).sum(1)  # (B, F)
        return torch.cat([mean, variance.clamp_min(EPS).sqrt()], dim=-1), weights


class MultiFusion(nn.Module):
    """MFA: per-layer statistics over time, a linear map, statistics over layers."""

    def __init__(self, config: RADConfig) -> None:
        super().__init__()
        f = config.features
        self.over_time = nn.ModuleList(AttentiveStatistics(f, config.bottleneck) for _ in range(config.layers))
        self.linear = nn.Linear(2 * f, 2 * f)
        self.dropout = nn.Dropout(config.dropout)
        self.over_layers = AttentiveStatistics(2 * f, config.bottleneck)

    def forward(self, x: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        """x (B, L, T, F), blocks (B, L) valid blocks -> r (B, 4F)."""
        steps = torch.arange(x.shape[2], device=x.device)
        pooled = torch.stack(
            [pool(x[:, i], steps < blocks[:, i : i + 1])[0] for i, pool in enumerate(self.over_time)], dim=1
        )  # (B, L, 2F)
        mapped = self.linear(self.dropout(pooled))  # (B, L, 2F)
        return self.over_layers(mapped)[0]  # (B, 4F)


class RAD(nn.Module):
    """The retrieval-augmented classifier. Its input is standardised by fixed statistics of the training library."""

    def __init__(self, config: RADConfig) -> None:
        super().__init__()
        if config.sees not in INPUTS:
            raise ValueError(f"sees must be one of {INPUTS}, not {config.sees!r}")
        self.config = config
        f = config.features
        self.register_buffer("mean", torch.zeros(config.layers, 1, f))
        self.register_buffer("deviation", torch.ones(config.layers, 1, f))
        self.fusion = MultiFusion(config)
        self.over_neighbours = AttentiveStatistics(4 * f, config.bottleneck)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(12 * f, 2)

    @classmethod
    def tiny(cls, seed: int = 0, layers: int = 3, features: int = 8) -> RAD:
        """A random debug instance for tests: never shipped, never shown as a detector."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(RADConfig(layers, features, bottleneck=4)).eval()

    def represent(self, x: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        """Short features (B, L, T, F), blocks (B, L) -> r (B, 4F)."""
        return self.fusion((x - self.mean) / self.deviation, blocks)

    def forward(
        self,
        query: torch.Tensor,
        query_blocks: torch.Tensor,
        neighbours: torch.Tensor,
        neighbour_blocks: torch.Tensor,
        valid: torch.Tensor | None = None,
    ) -> RADOutput:
        """query (B, L, T, F), query_blocks (B, L), neighbours (B, K, L, T, F), neighbour_blocks (B, K, L).

        ``valid`` (B, K) bool: false where a row has fewer than K neighbours. Where it has none, its difference
        features are zero, as if every neighbour were the query itself.
        """
        b, k = neighbours.shape[:2]
        r_q = self.represent(query, query_blocks)  # (B, 4F)
        r_k = self.represent(neighbours.flatten(0, 1), neighbour_blocks.flatten(0, 1)).view(b, k, -1)  # (B, K, 4F)
        r_d = r_k - r_q.unsqueeze(1)  # (B, K, 4F)
        if valid is not None:
            valid, some = valid.clone(), valid.any(1, keepdim=True)
            valid[~some[:, 0], 0] = True  # an empty row attends to one zero difference
            r_d = r_d * some.unsqueeze(-1)
        r_e, weights = self.over_neighbours(r_d, valid)  # (B, 8F), (B, K, 4F)
        if self.config.sees == "difference":
            r_q = torch.zeros_like(r_q)
        elif self.config.sees == "query":
            r_e = torch.zeros_like(r_e)
        logits = self.classifier(self.dropout(torch.cat([r_e, r_q], dim=-1)))  # (B, 2)
        return RADOutput(logits, logits[:, 1] - logits[:, 0], r_q, r_d, weights.mean(-1))


def save_rad(model: RAD, path: str | Path) -> None:
    """Write weights and configuration as one safetensors file; tensors in fp16, the input's statistics in fp32."""
    tensors = {
        name: value.detach().cpu().to(torch.float32 if name in ("mean", "deviation") else torch.float16).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(tensors, str(path), metadata={"rad": json.dumps(asdict(model.config), sort_keys=True)})


def load_rad(path: str | Path) -> RAD:
    """Rebuild a network written by :func:`save_rad`, in fp32 and evaluation mode.

    Raises
    ------
    ValueError : the file is not one of ours or its tensors do not fit its configuration
    """
    return load_network(path, "rad", "a RAD file", lambda config: RAD(RADConfig(**config))).requires_grad_(False)
