"""SVVAD: which frames of a recording carry an enrolled speaker, learned through a frozen speaker encoder.

    features (B, T, 80) -> header -> Conformer blocks -> (B, T', D)          (T' = ceil(T / 2), 20 ms)
    enrolment (B, 192), tiled ---------------------------> concatenated (B, T', D + 192)
        -> Transformer encoder -> gamma = sigmoid(.), beta: (B, T) each, every value held for two frames
    x_vad = gamma x + beta -> the frozen speaker encoder

The gate acts on features, not on samples: in ``models.speaker.fbank`` 0 is digital silence: gamma = 0 silences a frame.
gamma = 1 and beta = 0 give the features back to the bit. beta is one number per frame, as in the paper's figure. The
transform of the enrolment embedding is the identity (the figure draws it as not trainable), scaled to unit variance.
The header has the shape of the speaker encoder's first layers and is a copy of them, not trained. Any length from 1 s
works; a long recording is better heard in windows, since attention grows with its square. Training:
``core.training.svvad``.

Reference
---------
Kang et al. 2023, "SVVAD: personal voice activity detection for speaker verification", arXiv 2305.19581; Conformer:
Gulati et al. 2020, arXiv 2005.08100. What the paper's text leaves open is ours.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models.files import load_network
from models.frontend import N_MELS
from models.speaker import MODEL_FILE, WIDTH, SpeakerEncoder, Trunk


@dataclass(frozen=True)
class SvvadConfig:
    """Sizes. The defaults are those of the shipped network."""

    layers: int = 12  # of the header's dense block, as the speaker encoder's
    width: int = 96  # of the Conformer
    conformers: int = 2
    heads: int = 4
    kernel: int = 15  # of the Conformer's depthwise convolution, in frames of 20 ms
    joint: int = 128  # width of the Transformer after the concatenation
    transformers: int = 1


def film(features: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """gamma_t x_t + beta_t: features (B, T, 80), gamma and beta (B, T) -> (B, T, 80)."""
    return gamma.unsqueeze(2) * features + beta.unsqueeze(2)


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))


class Conformer(nn.Module):
    """Half a feed-forward step, attention, convolution, half a feed-forward step, norm: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.before, self.after = _feed_forward(width), _feed_forward(width)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.convolution_norm = nn.LayerNorm(width)
        self.wide = nn.Conv1d(width, 2 * width, 1)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.middle_norm = nn.LayerNorm(width)
        self.narrow = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + 0.5 * self.before(x)
        y = self.attention_norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        y = F.glu(self.wide(self.convolution_norm(x).transpose(1, 2)), dim=1)  # (B, D, T)
        x = x + self.narrow(F.silu(self.middle_norm(self.depthwise(y).transpose(1, 2))))
        return self.norm(x + 0.5 * self.after(x))


class Svvad(nn.Module):
    """The personal voice activity detector. The speaker encoder is not part of it."""

    def __init__(self, config: SvvadConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SvvadConfig()
        self.header = Trunk(config.layers)
        self.enter = nn.Sequential(nn.LayerNorm(self.header.width), nn.Linear(self.header.width, config.width))
        self.conformers = nn.ModuleList(Conformer(config.width, config.heads, config.kernel)
                                        for _ in range(config.conformers))
        self.join = nn.Linear(config.width + WIDTH, config.joint)
        self.transformers = nn.ModuleList(
            nn.TransformerEncoderLayer(config.joint, config.heads, 2 * config.joint, 0.0, "gelu", batch_first=True)
            for _ in range(config.transformers))
        self.gamma, self.beta = nn.Linear(config.joint, 1), nn.Linear(config.joint, 1)
        nn.init.zeros_(self.beta.weight)
        nn.init.zeros_(self.beta.bias)

    @classmethod
    def tiny(cls, seed: int = 0) -> Svvad:
        """A random debug instance for tests: never shipped, never shown as a detector."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(SvvadConfig(1, 8, 1, 2, 5, 16, 1)).eval()

    def start_from(self, encoder: SpeakerEncoder) -> None:
        """Copy the encoder's first layers into the header. Raises RuntimeError where the sizes differ."""
        self.header.load_state_dict(encoder.trunk.state_dict())

    def states(self, features: torch.Tensor) -> torch.Tensor:
        """What doesn't depend on who is sought: features (B, T, 80) -> (B, T', D)."""
        if features.shape[2] != N_MELS:
            raise ValueError(f"features have {features.shape[2]} bands, not {N_MELS}")
        x = self.enter(self.header(features).transpose(1, 2))  # (B, T', D)
        for block in self.conformers:
            x = block(x)
        return x

    def decide(self, enrolment: torch.Tensor, states: torch.Tensor, n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """enrolment (B, 192), states (B, T', D) -> gamma and beta, both (B, n_frames)."""
        tiled = (enrolment * WIDTH**0.5).unsqueeze(1).expand(-1, states.shape[1], -1)  # (B, T', 192)
        x = self.join(torch.cat([states, tiled.to(states.dtype)], 2))  # (B, T', J)
        for layer in self.transformers:
            x = layer(x)
        both = torch.cat([self.gamma(x), self.beta(x)], 2).float()  # (B, T', 2)
        both = both.repeat_interleave(2, 1)[:, :n_frames]  # (B, T, 2)
        return both[..., 0].sigmoid(), both[..., 1]

    def forward(self, enrolment: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """enrolment (B, 192), features (B, T, 80) -> gamma (B, T) in 0..1 and beta (B, T)."""
        return self.decide(enrolment, self.states(features), features.shape[1])


def save_svvad(model: Svvad, folder: str | Path) -> None:
    """Write ``model.safetensors`` into a folder that exists: fp16, the configuration in its metadata."""
    tensors = {name: value.detach().cpu().half() if value.is_floating_point() else value.cpu()
               for name, value in model.state_dict().items()}
    save_file(tensors, str(Path(folder) / MODEL_FILE), metadata={"svvad": json.dumps(asdict(model.config))})


def load_svvad(folder: str | Path) -> Svvad:
    """The detector of a folder, frozen. Raises ValueError where the file isn't one, FileNotFoundError without one."""
    path = Path(folder) / MODEL_FILE
    return load_network(path, "svvad", "an SVVAD's file", lambda c: Svvad(SvvadConfig(**c))).requires_grad_(False)
