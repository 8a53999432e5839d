"""The panel: six members, each linear in the statistics of one view of a window, added up; and a linear frame score.

Small on purpose. With fifty systems from twenty sources to learn from, networks with more freedom learn the sources;
a member here has a few hundred weights, is fitted in closed form, and can be read. Their errors differ, so the sum is
better than any of them. Files in :func:`save_panel` and :func:`load_panel`; fitting lives in ``core.training``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models import views
from models.files import load_network

ENCODER_VIEW = "encoder"
LIMIT = 5.0  # standardised statistics are cut off here: one odd number must not decide
WIDTHS = {"cepstra": 80, "phase": 514, "residual": 288, "lines": 160, "modulation": 209}
LOCAL = 6 * views.TRACKS


@dataclass(frozen=True)
class PanelOutput:
    """One batch of windows; everything is higher for bona fide."""

    clip: torch.Tensor  # (B,) weighted sum of the members
    members: torch.Tensor  # (B, M) in the order of Panel.names
    frames: torch.Tensor  # (B, T) at 20 ms, as many as the states


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

    def __init__(self, encoder_width: int = 384, half: int = 40, short: int = 15, n_positions: int = 200) -> None:
        super().__init__()
        self.encoder_width, self.half, self.short, self.n_positions = encoder_width, half, short, n_positions
        self.register_buffer("positions", torch.zeros(n_positions, encoder_width))  # what the encoder adds to its input
        self.names = (*views.VIEWS, ENCODER_VIEW)
        self.members = nn.ModuleDict({name: Linear(WIDTHS.get(name, 4 * encoder_width)) for name in self.names})
        self.register_buffer("share", torch.ones(len(self.names)))
        self.local = Linear(LOCAL)

    @property
    def size(self) -> int:
        """How many views have a say."""
        return int((self.share > 0).sum())

    def vectors(self, wav: torch.Tensor, states: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """wav (B, N) at 16 kHz and the encoder's first states (B, T, F) -> vector per view, frame tracks (B, D, S)."""
        x = views.prepare(wav)
        tracks, power = views.frame_tracks(x)
        vectors = views.clip_views(x, tracks, power)
        vectors[ENCODER_VIEW] = encoder_moments(states - self.positions[: states.shape[1]])
        return vectors, views.local_tracks(tracks)

    def local_statistics(self, tracks: torch.Tensor) -> torch.Tensor:
        """Frame tracks (B, D, S) -> what the frame score sees, (B, LOCAL, S)."""
        return views.local_moments(tracks, self.half, self.short)

    def forward(self, wav: torch.Tensor, states: torch.Tensor) -> PanelOutput:
        """wav (B, N), first hidden states (B, T, F) -> :class:`PanelOutput`."""
        vectors, tracks = self.vectors(wav, states)
        members = torch.stack([self.members[name](vectors[name]) for name in self.names], -1)  # (B, M)
        local = self.local(self.local_statistics(tracks).transpose(1, 2))  # (B, S)
        return PanelOutput(members @ self.share, members, at_frames(local, states.shape[1]))


def panel_for(encoder: nn.Module) -> Panel:
    """An unfitted panel that reads this encoder's first states; its position embeddings, if any, are taken off."""
    positions = getattr(encoder, "embed_positions", None)
    table = torch.zeros(200, encoder.n_features) if positions is None else positions.weight.detach().float()
    panel = Panel(encoder.n_features, n_positions=len(table))
    panel.positions.copy_(table)
    return panel.eval()


def encoder_moments(states: torch.Tensor) -> torch.Tensor:
    """Mean, deviation, deviation of first and second differences over time: (B, T, F) -> (B, 4F)."""
    return torch.cat(views.all_moments(states.transpose(1, 2)), 1)


def at_frames(local: torch.Tensor, n_frames: int) -> torch.Tensor:
    """Scores at 10 ms (B, S), cut to the window's own frames, averaged to 20 ms: (B, n_frames). The last is held."""
    kept = local[:, : 2 * n_frames].unsqueeze(1)
    missing = 2 * n_frames - kept.shape[-1]
    if missing > 0:
        kept = F.pad(kept, (0, missing), mode="replicate")
    return F.avg_pool1d(kept, 2).squeeze(1)


def save_panel(panel: Panel, path: str | Path) -> None:
    """Write one safetensors file with the panel's shape in its metadata, fp32 (it is small)."""
    tensors = {name: value.detach().cpu().float().contiguous() for name, value in panel.state_dict().items()}
    save_file(tensors, str(path), metadata={"panel": json.dumps({name: getattr(panel, name) for name in
                                                                 ("encoder_width", "half", "short", "n_positions")})})


def load_panel(path: str | Path) -> Panel:
    """Rebuild a panel. Raises ValueError where the file isn't one or doesn't fit what it says of itself."""
    return load_network(path, "panel", "a panel's file", lambda config: Panel(**config)).requires_grad_(False)
