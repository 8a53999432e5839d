"""AASIST and AASIST-L: raw samples to two logits through a residual encoder and heterogeneous graph attention.

    wav (B, N) -> |sinc filters| -> 2-D residual encoder (B, C, 23, T) -> spectral and temporal graphs
               -> two branches of stacking attention, element-wise maximum -> read-out (B, 5 G) -> logits (B, 2)

Written from the paper; modules are named as in the published weights so that those load as they are. Files and
scores are for ``core.detectors.aasist``; which logit means bona fide is for its card.

Reference
---------
Jung, Heo, Tak, Shim, Chung, Lee, Yu, Evans 2022, "AASIST: Audio anti-spoofing using integrated spectro-temporal
graph attention networks", ICASSP, arXiv 2110.01200. Sinc filters: Ravanelli and Bengio 2018, arXiv 1808.00158.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SAMPLE_RATE = 16_000
N_SAMPLES = 64_600  # what the published networks were trained on; other lengths run, the frames just change
TAPS = 129  # of each sinc filter
SPECTRAL_NODES = 23  # rows left of 70 filters after the encoder's pooling


@dataclass(frozen=True)
class AASISTConfig:
    """Sizes as the paper's tables have them. The first three can be read off the weights, the last two can't."""

    channels: tuple[int, int] = (32, 64)  # of the first two and of the last four residual blocks
    graph: tuple[int, int] = (64, 32)  # width of the single and of the stacking attention layers
    n_filters: int = 70  # sinc filters
    pool_ratios: tuple[float, float, float] = (0.5, 0.7, 0.5)  # nodes kept: spectral, temporal, in the branches
    temperatures: tuple[float, float, float] = (2.0, 2.0, 100.0)  # of attention: spectral, temporal, stacking


LIGHT_POOL_RATIOS = (0.4, 0.5, 0.7)  # of AASIST-L


def infer_config(tensors: Mapping[str, torch.Tensor], pool_ratios: tuple[float, float, float] | None = None,
                 temperatures: tuple[float, float, float] | None = None) -> AASISTConfig:
    """The configuration that fits published tensors. Pool ratios are AASIST-L's where its widths are found.

    Raises ValueError where the tensors are not those of an AASIST.
    """
    try:
        first, last = tensors["encoder.0.0.conv1.weight"].shape[0], tensors["encoder.5.0.conv1.weight"].shape[0]
        single, stacked = tensors["pool_S.proj.weight"].shape[1], tensors["pool_hS1.proj.weight"].shape[1]
        rows = tensors["pos_S"].shape[1]
    except (KeyError, IndexError) as problem:
        raise ValueError("these tensors are not an AASIST's") from problem
    if rows != SPECTRAL_NODES:
        raise ValueError(f"this network has {rows} spectral nodes, an AASIST has {SPECTRAL_NODES}")
    light = last < 32
    base = AASISTConfig()
    return AASISTConfig((first, last), (single, stacked), base.n_filters,
                        pool_ratios or (LIGHT_POOL_RATIOS if light else base.pool_ratios),
                        temperatures or base.temperatures)


def sinc_filters(n: int = 70, taps: int = TAPS) -> torch.Tensor:
    """Adjacent band-pass filters, evenly spaced in mel from 0 to 8 kHz, Hamming-windowed: (n, 1, taps)."""
    mel = np.linspace(0.0, 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0), n + 1)
    edges = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)  # Hz
    t = np.arange(taps) - (taps - 1) / 2
    lows = 2 * edges[:, None] / SAMPLE_RATE * np.sinc(2 * edges[:, None] * t / SAMPLE_RATE)  # (n + 1, taps)
    return torch.from_numpy((np.diff(lows, axis=0) * np.hamming(taps)).astype(np.float32))[:, None]


class ResidualBlock(nn.Module):
    """Two convolutions over (frequency, time) with a shortcut, then time pooled by three.

    In the published networks the first convolution hears the block's input itself, not what ``bn1`` and its
    activation make of it; ``bn1`` is there in the weights and without effect.
    """

    def __init__(self, n_in: int, n_out: int, first: bool = False) -> None:
        super().__init__()
        if not first:
            self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, (2, 3), padding=(1, 1))
        self.bn2 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, (2, 3), padding=(0, 1))
        if n_in != n_out:
            self.conv_downsample = nn.Conv2d(n_in, n_out, (1, 3), padding=(0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C_in, rows, T) -> (B, C_out, rows, T // 3)."""
        shortcut = self.conv_downsample(x) if hasattr(self, "conv_downsample") else x
        x = self.conv2(F.selu(self.bn2(self.conv1(x))))
        return pool_three(x + shortcut)


def pool_three(x: torch.Tensor) -> torch.Tensor:
    """Maximum over each three along the last axis, (..., T) -> (..., T // 3): many times faster than ``max_pool2d`` in
    bfloat16 on CPUs, and the same numbers.
    """
    n = x.shape[-1] // 3 * 3
    return torch.maximum(torch.maximum(x[..., 0:n:3], x[..., 1:n:3]), x[..., 2:n:3])


def _pairs(x: torch.Tensor) -> torch.Tensor:
    """Products of all pairs of nodes: (B, N, G) -> (B, N, N, G)."""
    return x[:, :, None] * x[:, None]


def _normalise(bn: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """Batch normalisation over nodes: (B, N, G) -> (B, N, G)."""
    return bn(x.flatten(0, 1)).view(x.shape)


class GraphAttention(nn.Module):
    """Attention among the nodes of one graph."""

    def __init__(self, n_in: int, n_out: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.att_proj = nn.Linear(n_in, n_out)
        self.att_weight = nn.Parameter(torch.empty(n_out, 1))
        nn.init.xavier_normal_(self.att_weight)
        self.proj_with_att = nn.Linear(n_in, n_out)
        self.proj_without_att = nn.Linear(n_in, n_out)
        self.bn = nn.BatchNorm1d(n_out)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Nodes (B, N, G_in) -> (B, N, G_out)."""
        x = self.drop(x)
        weights = torch.tanh(self.att_proj(_pairs(x))) @ self.att_weight  # (B, N, N, 1)
        attention = (weights.squeeze(-1) / self.temperature).softmax(-1)  # (B, N, N)
        return F.selu(_normalise(self.bn, self.proj_with_att(attention @ x) + self.proj_without_att(x)))


class StackingAttention(nn.Module):
    """Attention among the nodes of two graphs, with a master node that listens to both."""

    def __init__(self, n_in: int, n_out: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.proj_type1, self.proj_type2 = nn.Linear(n_in, n_in), nn.Linear(n_in, n_in)
        self.att_proj, self.att_projM = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)
        for kind in ("11", "12", "22", "M"):
            setattr(self, f"att_weight{kind}", nn.Parameter(nn.init.xavier_normal_(torch.empty(n_out, 1))))
        self.proj_with_att, self.proj_without_att = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)
        self.proj_with_attM, self.proj_without_attM = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)
        self.bn = nn.BatchNorm1d(n_out)
        self.drop = nn.Dropout(0.2)

    def forward(self, first: torch.Tensor, second: torch.Tensor,
                master: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, N1, G_in), (B, N2, G_in), master (B, 1, G_in) -> the same three with G_out."""
        n = first.shape[1]
        x = self.drop(torch.cat([self.proj_type1(first), self.proj_type2(second)], dim=1))  # (B, N1 + N2, G_in)
        master = self._listen(x, master)
        seen = torch.tanh(self.att_proj(_pairs(x)))  # (B, N, N, G_out)
        top = torch.cat([seen[:, :n, :n] @ self.att_weight11, seen[:, :n, n:] @ self.att_weight12], dim=2)
        low = torch.cat([seen[:, n:, :n] @ self.att_weight12, seen[:, n:, n:] @ self.att_weight22], dim=2)
        attention = (torch.cat([top, low], dim=1).squeeze(-1) / self.temperature).softmax(-1)  # (B, N, N)
        x = F.selu(_normalise(self.bn, self.proj_with_att(attention @ x) + self.proj_without_att(x)))
        return x[:, :n], x[:, n:], master

    def _listen(self, x: torch.Tensor, master: torch.Tensor) -> torch.Tensor:
        weights = torch.tanh(self.att_projM(x * master)) @ self.att_weightM  # (B, N, 1)
        attention = (weights / self.temperature).softmax(1).transpose(1, 2)  # (B, 1, N)
        return self.proj_with_attM(attention @ x) + self.proj_without_attM(master)


class GraphPool(nn.Module):
    """Keep the share of nodes that a learned gate ranks highest, scaled by that gate."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.proj = nn.Linear(width, 1)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, G) -> (B, max(1, int(ratio N)), G), best first."""
        gate = torch.sigmoid(self.proj(self.drop(x)))  # (B, N, 1)
        keep = gate.topk(max(1, int(x.shape[1] * self.ratio)), dim=1).indices
        return (x * gate).gather(1, keep.expand(-1, -1, x.shape[2]))


class AASIST(nn.Module):
    """The whole network. ``state_dict`` has exactly the published names."""

    def __init__(self, config: AASISTConfig | None = None) -> None:
        super().__init__()
        self.config = config or AASISTConfig()
        narrow, wide = self.config.channels
        single, stacked = self.config.graph
        spectral, temporal, branch = self.config.pool_ratios
        self.register_buffer("filters", sinc_filters(self.config.n_filters), persistent=False)
        self.first_bn = nn.BatchNorm2d(1)
        widths = (1, narrow, narrow, wide, wide, wide, wide)
        self.encoder = nn.Sequential(*(nn.Sequential(ResidualBlock(a, b, first=i == 0))
                                       for i, (a, b) in enumerate(pairwise(widths))))
        self.encoder.to(memory_format=torch.channels_last)
        self.pos_S = nn.Parameter(torch.randn(1, SPECTRAL_NODES, wide))
        self.master1, self.master2 = (nn.Parameter(torch.randn(1, 1, single)) for _ in range(2))
        t_spectral, t_temporal, t_stacking = self.config.temperatures
        self.GAT_layer_S = GraphAttention(wide, single, t_spectral)
        self.GAT_layer_T = GraphAttention(wide, single, t_temporal)
        self.pool_S, self.pool_T = GraphPool(single, spectral), GraphPool(single, temporal)
        for i in ("1", "2"):
            setattr(self, f"HtrgGAT_layer_ST{i}1", StackingAttention(single, stacked, t_stacking))
            setattr(self, f"HtrgGAT_layer_ST{i}2", StackingAttention(stacked, stacked, t_stacking))
            setattr(self, f"pool_hS{i}", GraphPool(stacked, branch))
            setattr(self, f"pool_hT{i}", GraphPool(stacked, branch))
        self.drop, self.drop_way = nn.Dropout(0.5), nn.Dropout(0.2)
        self.out_layer = nn.Linear(5 * stacked, 2)

    @classmethod
    def tiny(cls, seed: int = 0) -> AASIST:
        """A small random instance for tests: never shipped, never shown as a detector."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(AASISTConfig((4, 8), (8, 6), pool_ratios=LIGHT_POOL_RATIOS)).eval()

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) at 16 kHz -> logits (B, 2)."""
        return self.out_layer(self.drop(self.embed(wav)))

    def embed(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> what the output layer reads (B, 5 G). Raises ValueError where N gives no frame."""
        return self.read_out(self.encode(wav))

    def read_out(self, x: torch.Tensor) -> torch.Tensor:
        """:meth:`encode`'s maps (B, C, 23, T) through the graphs -> (B, 5 G)."""
        spectral = x.abs().amax(3).transpose(1, 2) + self.pos_S  # (B, 23, C)
        temporal = x.abs().amax(2).transpose(1, 2)  # (B, T, C)
        spectral = self.pool_S(self.GAT_layer_S(spectral))
        temporal = self.pool_T(self.GAT_layer_T(temporal))
        one, two = (self._branch(i, temporal, spectral) for i in ("1", "2"))
        t, s, m = (torch.maximum(self.drop_way(a), self.drop_way(b)) for a, b in zip(one, two, strict=True))
        parts = [t.abs().amax(1), t.mean(1), s.abs().amax(1), s.mean(1), m.squeeze(1)]  # (B, G) each
        return torch.cat(parts, dim=1)

    def encode(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> (B, C, 23, T)."""
        return self.encoder(self.front(wav))

    def front(self, wav: torch.Tensor) -> torch.Tensor:
        """What the encoder's blocks hear, from the band-pass filters: wav (B, N) -> (B, 1, 23, (N - 128) // 3)."""
        if wav.dim() != 2 or wav.shape[1] < TAPS - 1 + 3**7:
            raise ValueError(f"a waveform batch (B, N) of at least {TAPS - 1 + 3**7} samples is needed, not "
                             f"{tuple(wav.shape)}")
        x = F.conv1d(wav[:, None], self.filters)[:, None].abs()  # (B, 1, 70, N - 128)
        x = pool_three(pool_three(x).transpose(2, 3)).transpose(2, 3)  # (B, 1, 23, (N - 128) // 3)
        return F.selu(self.first_bn(x)).contiguous(memory_format=torch.channels_last)  # 1.5 times as fast on CPUs

    def _branch(self, i: str, temporal: torch.Tensor,
                spectral: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One of the two branches: temporal, spectral and master nodes, (B, N, G) each."""
        master = getattr(self, f"master{i}").expand(len(temporal), -1, -1)
        t, s, m = getattr(self, f"HtrgGAT_layer_ST{i}1")(temporal, spectral, master)
        s, t = getattr(self, f"pool_hS{i}")(s), getattr(self, f"pool_hT{i}")(t)
        more = getattr(self, f"HtrgGAT_layer_ST{i}2")(t, s, m)
        return t + more[0], s + more[1], m + more[2]


def build_aasist(tensors: Mapping[str, torch.Tensor], pool_ratios: tuple[float, float, float] | None = None,
                 temperatures: tuple[float, float, float] | None = None) -> AASIST:
    """A network in evaluation mode with these weights, strictly: no tensor missing, none left over.

    Raises ValueError.
    """
    config = infer_config(tensors, pool_ratios, temperatures)
    if max(*config.channels, *config.graph) > 1024:
        raise ValueError("the tensors are wider than any AASIST")
    with torch.random.fork_rng(devices=[]):
        network = AASIST(config)
    try:
        network.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as problem:
        raise ValueError("the tensors don't fit an AASIST of their own widths") from problem
    return network.float().eval()
