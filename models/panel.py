"""The panel: members that are each linear in one view of a window, added up; and a linear frame score.

Five views are fixed transforms (``models.views``). The sixth is what the published AASIST network, trained elsewhere on
ASVspoof 5 and frozen here, hands to its own output layer. A member has a few hundred weights, is fitted in closed form
and can be read: with fifty systems from twenty sources to learn from, networks with more freedom learn the sources. The
members' errors differ, so the sum is better than any of them. Fitting lives in ``core.training``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models import views
from models.aasist import AASIST, AASISTConfig, build_aasist
from models.files import load_network

NETWORK_VIEW = "aasist"
LIMIT = 5.0  # standardised statistics are cut off here: one odd number must not decide
WIDTHS = {"cepstra": 80, "phase": 514, "residual": 288, "lines": 160, "modulation": 209}
LOCAL = 6 * views.TRACKS
FRAME = 320  # samples a frame score stands for
PIECE = 64_000  # samples the network hears at once; its own were 64,600
LEVEL = 0.05  # RMS at which it hears them


@dataclass(frozen=True)
class PanelOutput:
    """One batch of windows; everything is higher for bona fide."""

    clip: torch.Tensor  # (B,) weighted sum of the members
    members: torch.Tensor  # (B, M) in the order of Panel.names
    frames: torch.Tensor  # (B, N // FRAME) at 20 ms


class Linear(nn.Module):
    """Standardise, cut off, weigh: (..., D) -> (...). All buffers: there is nothing to train by gradient."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("inverse", torch.ones(width))
        self.register_buffer("weight", torch.zeros(width))
        self.register_buffer("bias", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x - self.mean) * self.inverse).clamp(-LIMIT, LIMIT) @ self.weight + self.bias


class Panel(nn.Module):
    """Members by view, their weights in the sum, and the frame score."""

    def __init__(self, network: AASISTConfig | None = None, half: int = 40, short: int = 15) -> None:
        super().__init__()
        self.half, self.short = half, short
        self.network = AASIST(network).eval()
        self.names = (*views.VIEWS, NETWORK_VIEW)
        widths = {**WIDTHS, NETWORK_VIEW: 5 * self.network.config.graph[1]}
        self.members = nn.ModuleDict({name: Linear(widths[name]) for name in self.names})
        self.register_buffer("share", torch.ones(len(self.names)))
        self.local = Linear(LOCAL)

    def unfitted(self) -> Panel:
        """Another panel of the same shape, without weights; it shares the frozen network."""
        other = Panel(self.network.config, self.half, self.short)
        other.network = self.network
        return other.eval().requires_grad_(False)

    @property
    def size(self) -> int:
        """How many views have a say."""
        return int((self.share > 0).sum())

    def vectors(self, wav: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """wav (B, N) at 16 kHz -> vector per view, frame tracks (B, D, S) at 10 ms. The network listens only where it has
        a say.
        """
        x = views.prepare(wav)
        tracks, power = views.frame_tracks(x)
        vectors = views.clip_views(x, tracks, power)
        if self.share[self.names.index(NETWORK_VIEW)] > 0:
            vectors[NETWORK_VIEW] = self.embed(wav)
        else:
            vectors[NETWORK_VIEW] = wav.new_zeros(len(wav), len(self.members[NETWORK_VIEW].weight))
        return vectors, views.local_tracks(tracks)

    def embed(self, wav: torch.Tensor) -> torch.Tensor:
        """The network's mean embedding of the pieces that cover wav (B, N), repeated where it is shorter: (B, D).

        It hears nothing above 7.1 kHz, as the views. One piece at a time on the CPU, which bounds memory; in bfloat16
        where the processor computes in it, gradients too, so that what is explained is what is scored.
        """
        n = wav.shape[-1]
        if n < PIECE:
            wav = wav.repeat(1, -(-PIECE // n))[:, :PIECE]
            n = PIECE
        wav = views.guarded(wav)
        wav = wav * (LEVEL / (wav.square().mean(-1, keepdim=True).sqrt() + 1e-6))
        count = -(-n // PIECE)
        starts = [round(i * (n - PIECE) / max(1, count - 1)) for i in range(count)]
        pieces = torch.stack([wav[:, s : s + PIECE] for s in starts], 1).flatten(0, 1)  # (B count, PIECE)
        with torch.autocast(wav.device.type, torch.bfloat16, enabled=computes_bfloat16(wav)):
            found = [self.network.embed(part) for part in pieces.split(1 if wav.device.type == "cpu" else 32)]
        return torch.cat(found).float().view(len(wav), count, -1).mean(1)

    def local_statistics(self, tracks: torch.Tensor) -> torch.Tensor:
        """Frame tracks (B, D, S) -> what the frame score sees, (B, LOCAL, S)."""
        return views.local_moments(tracks, self.half, self.short)

    def forward(self, wav: torch.Tensor) -> PanelOutput:
        """wav (B, N) at 16 kHz -> :class:`PanelOutput`."""
        vectors, tracks = self.vectors(wav)
        members = torch.stack([self.members[name](vectors[name]) for name in self.names], -1)  # (B, M)
        local = self.local(self.local_statistics(tracks).transpose(1, 2))  # (B, S)
        return PanelOutput(members @ self.share, members, at_frames(local, wav.shape[-1] // FRAME))


def panel_with(tensors: Mapping[str, torch.Tensor]) -> Panel:
    """An unfitted panel with these published AASIST tensors. Raises ValueError where they aren't an AASIST's."""
    network = build_aasist(tensors)
    panel = Panel(network.config)
    panel.network = network
    return panel.eval().requires_grad_(False)


def computes_bfloat16(x: torch.Tensor) -> bool:
    """Whether x's device has bfloat16 arithmetic."""
    return x.device.type == "cuda" or (x.device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())


def at_frames(local: torch.Tensor, n_frames: int) -> torch.Tensor:
    """Scores at 10 ms (B, S), cut to the window's own frames, averaged to 20 ms: (B, n_frames). The last is held."""
    kept = local[:, : 2 * n_frames].unsqueeze(1)
    missing = 2 * n_frames - kept.shape[-1]
    if missing > 0:
        kept = F.pad(kept, (0, missing), mode="replicate")
    return F.avg_pool1d(kept, 2).squeeze(1)


def save_panel(panel: Panel, path: str | Path) -> None:
    """Write one safetensors file with the panel's shape in its metadata, fp32 (it is small)."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in panel.state_dict().items()}
    shape = {"network": asdict(panel.network.config), "half": panel.half, "short": panel.short}
    save_file(tensors, str(path), metadata={"panel": json.dumps(shape)})


def _build(shape: dict[str, Any]) -> Panel:
    network = {k: tuple(v) if isinstance(v, list) else v for k, v in shape["network"].items()}
    return Panel(AASISTConfig(**network), shape["half"], shape["short"])


def load_panel(path: str | Path) -> Panel:
    """Rebuild a panel. Raises ValueError where the file isn't one or doesn't fit what it says of itself."""
    return load_network(path, "panel", "a panel's file", _build).requires_grad_(False)
