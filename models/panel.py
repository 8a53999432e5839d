"""The panel: members that are each linear in one view of a window, added up; and a linear frame score.

Five views are fixed transforms (``models.views``). Two are read from the published AASIST network, trained elsewhere on
ASVspoof 5 and frozen here: what it hands to its own output layer, and the maxima over time of the maps in the middle of
its encoder, per channel and row. A member has 80 to 1,472 weights, is fitted in closed form and can be read: with fifty
systems from twenty sources to learn from, networks with more freedom learn the sources. The members' errors differ, so
the sum is better than any of them. The frame score has two parts: what the views' tracks do around a moment, and how
far the network's maps there are from their mean. Beside them stand recognisers of what the sound has been through, linear
in the five fixed views together: behind some transmissions the members' scores mean something else. Fitting lives in
``core.training``.
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
from models.aasist import AASIST, SPECTRAL_NODES, TAPS, AASISTConfig, build_aasist
from models.files import load_network

NETWORK_VIEW, MAPS_VIEW = "aasist", "maps"
NETWORK_VIEWS = (NETWORK_VIEW, MAPS_VIEW)
MIDDLE = 4  # of the encoder's six blocks, after which the maps view is taken
LIMIT = 5.0  # standardised statistics are cut off here: one odd number must not decide
WIDTHS = {"cepstra": 80, "phase": 514, "residual": 288, "lines": 160, "modulation": 209}
LOCAL = 6 * views.TRACKS
TRACES = ("speech-coder", "room", "compression")  # of what a recording may bear so plainly that no score is to be trusted
FRAME = 320  # samples a frame score stands for
PIECE = 64_000  # samples the network hears at once; its own were 64,600
LEVEL = 0.05  # RMS at which it hears them
NETWORK_HOP = 3**7  # samples between its frames; the first is centred half a hop and half a filter in
BANDS = 6  # of its rows, averaged, for the frame score
REACH = 2  # of its frames on either side, averaged with them
SMOOTH = 25  # frames of 10 ms on either side over which the frame score is averaged


@dataclass(frozen=True)
class PanelOutput:
    """One batch of windows."""

    clip: torch.Tensor  # (B,) weighted sum of the members
    members: torch.Tensor  # (B, M) in the order of Panel.names
    traces: torch.Tensor  # (B, len(TRACES)), higher the plainer; all else is higher for bona fide
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
        self.names = (*views.VIEWS, *NETWORK_VIEWS)
        widths = {**WIDTHS, NETWORK_VIEW: 5 * self.network.config.graph[1],
                  MAPS_VIEW: SPECTRAL_NODES * self.network.config.channels[1]}
        self.members = nn.ModuleDict({name: Linear(widths[name]) for name in self.names})
        self.register_buffer("share", torch.ones(len(self.names)))
        self.local, self.near = Linear(LOCAL), Linear(BANDS * self.network.config.channels[1])
        self.traces = nn.ModuleDict({name: Linear(sum(WIDTHS.values())) for name in TRACES})

    def unfitted(self) -> Panel:
        """Another panel of the same shape, without weights; it shares the frozen network."""
        other = Panel(self.network.config, self.half, self.short)
        other.network = self.network
        return other.eval().requires_grad_(False)

    @property
    def size(self) -> int:
        """How many views have a say."""
        return int((self.share > 0).sum())

    def vectors(self, wav: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor | None]:
        """wav (B, N) at 16 kHz -> vector per view, frame tracks (B, D, S) at 10 ms, and the network's bands as
        :meth:`hear` has them. The network listens only where it has a say; else its vectors are zeros, its bands None.
        """
        x = views.prepare(wav)
        tracks, power = views.frame_tracks(x)
        vectors, bands = views.clip_views(x, tracks, power), None
        if self.listens:
            heard, bands = self.hear(wav)
        else:
            heard = {name: wav.new_zeros(len(wav), len(self.members[name].weight)) for name in NETWORK_VIEWS}
        return vectors | heard, views.local_tracks(tracks), bands

    @property
    def listens(self) -> bool:
        """Whether a member that reads the network has a say."""
        return any(self.share[self.names.index(name)] > 0 for name in NETWORK_VIEWS)

    def without_network(self) -> Panel:
        """An unfitted panel like this whose network has no say, and so isn't heard."""
        other = self.unfitted()
        for name in NETWORK_VIEWS:
            other.share[other.names.index(name)] = 0.0
        return other

    def hear(self, wav: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """What the members read of the network, and what the frame score does: wav (B, N) -> vectors, bands.

        A window shorter than a piece is repeated; the vectors are means over the pieces that cover it: the embedding
        (B, 5 G), and the maxima over time of the maps after ``MIDDLE`` blocks (B, 23 C), channel by channel. The bands
        are (B, W, P, K): P pieces of K frames, the last maps averaged over ``BANDS`` bands of rows and over +-``REACH``
        frames, less their mean over the window.

        It hears nothing above 7.1 kHz, as the views. One piece at a time on the CPU, which bounds memory; in bfloat16
        where the processor computes in it, gradients too, so that what is explained is what is scored.
        """
        wav = repeated(wav)
        starts = piece_starts(wav.shape[-1])
        wav = views.guarded(wav)
        wav = wav * (LEVEL / (wav.square().mean(-1, keepdim=True).sqrt() + 1e-6))
        pieces = torch.stack([wav[:, s : s + PIECE] for s in starts], 1).flatten(0, 1)  # (B P, PIECE)
        embedded, loudest, bands = [], [], []
        with torch.autocast(wav.device.type, torch.bfloat16, enabled=computes_bfloat16(wav)):
            for part in pieces.split(1 if wav.device.type == "cpu" else 32):
                middle = self.network.encoder[:MIDDLE](self.network.front(part))  # (b, C, 23, 9 K)
                loudest.append(middle.amax(3).flatten(1))
                maps = self.network.encoder[MIDDLE:](middle)  # (b, C, 23, K)
                embedded.append(self.network.read_out(maps))
                bands.append(torch.cat([rows.mean(2) for rows in maps.tensor_split(BANDS, dim=2)], 1))
        near = F.avg_pool1d(torch.cat(bands).float(), 2 * REACH + 1, 1, REACH, count_include_pad=False)
        near = near.unflatten(0, (len(wav), len(starts))).transpose(1, 2)  # (B, W, P, K)
        near = near - near.mean((2, 3), keepdim=True)
        vectors = {name: torch.cat(parts).float().unflatten(0, (len(wav), len(starts))).mean(1)
                   for name, parts in ((NETWORK_VIEW, embedded), (MAPS_VIEW, loudest))}
        return vectors, near

    def trace_scores(self, vectors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Vector per view (B, D) -> score of each of ``TRACES`` (B, 3), from the fixed views alone."""
        together = torch.cat([vectors[name] for name in views.VIEWS], -1)
        return torch.stack([self.traces[name](together) for name in TRACES], -1)

    def local_statistics(self, tracks: torch.Tensor) -> torch.Tensor:
        """Frame tracks (B, D, S) -> what the frame score sees, (B, LOCAL, S)."""
        return views.local_moments(tracks, self.half, self.short)

    def near_statistics(self, bands: torch.Tensor, n_samples: int, n_frames: int) -> torch.Tensor:
        """Bands (B, W, P, K) of :meth:`hear` for a window of ``n_samples`` -> at its frames of 10 ms (B, W, n_frames)."""
        piece, frame = network_frames(n_samples, n_frames, bands.shape[-1])
        return bands[:, :, piece.to(bands.device), frame.to(bands.device)]

    def forward(self, wav: torch.Tensor) -> PanelOutput:
        """wav (B, N) at 16 kHz -> :class:`PanelOutput`."""
        vectors, tracks, bands = self.vectors(wav)
        members = torch.stack([self.members[name](vectors[name]) for name in self.names], -1)  # (B, M)
        frames = self.local(self.local_statistics(tracks).transpose(1, 2))  # (B, S)
        if bands is not None:
            frames = frames + self.near(self.near_statistics(bands, wav.shape[-1], frames.shape[-1]).transpose(1, 2))
        return PanelOutput(members @ self.share, members, self.trace_scores(vectors),
                           at_frames(smoothed(frames), wav.shape[-1] // FRAME))


def repeated(wav: torch.Tensor) -> torch.Tensor:
    """wav (B, N) again and again up to a piece where it is shorter."""
    n = wav.shape[-1]
    return wav if n >= PIECE else wav.repeat(1, -(-PIECE // n))[:, :PIECE]


def piece_starts(n_samples: int) -> list[int]:
    """Where the pieces that cover so many samples begin, evenly spaced; at least one."""
    count = max(1, -(-n_samples // PIECE))
    return [round(i * (n_samples - PIECE) / max(1, count - 1)) for i in range(count)]


def network_frames(n_samples: int, n_frames: int, per_piece: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which piece and which of its frames is nearest to each frame of 10 ms: two index vectors (n_frames,)."""
    starts = torch.tensor(piece_starts(n_samples))
    at = 160 * torch.arange(n_frames)  # samples
    piece = (at[:, None] - starts - PIECE // 2).abs().argmin(1)
    first = (TAPS - 1 + NETWORK_HOP) / 2
    frame = ((at - starts[piece] - first) / NETWORK_HOP).round().long().clamp(0, per_piece - 1)
    return piece, frame


def smoothed(frames: torch.Tensor) -> torch.Tensor:
    """Mean over +-``SMOOTH`` frames, fewer at the ends: (B, S) -> (B, S)."""
    return F.avg_pool1d(frames.unsqueeze(1), 2 * SMOOTH + 1, 1, SMOOTH, count_include_pad=False).squeeze(1)


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
