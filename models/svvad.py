"""SVVAD: which frames of a recording carry an enrolled speaker, learned through a frozen speaker encoder.

    features (B, T, 80) -> header -> values, and the voice of the half second around each (B, S, 512 + 192)
        -> Conformer blocks -> (B, S, D)                                           (S = ceil(T / 4), 40 ms)
    enrolment (B, 192) -> fixed projection (B, D), tiled; its likeness to the voice around each frame (B, S, 2)
        -> concatenated (B, S, 2 D + 2) -> Transformer encoder -> gamma, beta: (B, T) each, every value for four frames
    x_vad = gamma x + beta -> the frozen speaker encoder; or gamma as weights of frames in that encoder's pooling

The gate acts on features, not on samples: in ``models.speaker.fbank`` 0 is digital silence: gamma = 0 silences a frame.
gamma = 1 and beta = 0 give the features back to the bit. beta is one number per frame, as in the paper's figure. Not
trained are the transform of the enrolment embedding (the figure draws it so; here a fixed orthonormal projection) and
the header, a copy of the speaker encoder, whose own pooling over half a second gives the voice around a frame.

gamma's logit is a comparison plus what the network adds. The comparison: the cosine of the enrolment with the voice
around a frame, and its mean over those frames of the recording that sound alike. The addition starts at 0: untrained,
the gate is the comparison alone. The logit is bounded, so that no frame is ever fully open or shut and each keeps a
gradient. Any length from 1 s works; a long recording is better heard in windows, since attention grows with its
square. Training: ``core.training.svvad``.

Reference
---------
Kang et al. 2023, "SVVAD: personal voice activity detection for speaker verification", arXiv 2305.19581; Conformer:
Gulati et al. 2020, arXiv 2005.08100. What the paper's text leaves open, the comparison above all, is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from models.files import load_network
from models.frontend import N_MELS
from models.speaker import (
    MODEL_FILE,
    TINY,
    WIDTH,
    SpeakerConfig,
    SpeakerEncoder,
    save_halved,
    speaker_config,
)

AROUND = 12  # frames of 20 ms on either side, of the voice around a frame
STEP = 4  # frames of 10 ms that share a decision
LIKENESSES = 2
START_GAIN, START_AT, START_SHARPNESS = 10.0, 0.25, 6.0  # per likeness; likeness of an even gate; of the alike frames
BOUND = 5.0  # of gamma's logit


@dataclass(frozen=True)
class SvvadConfig:
    """Sizes. The defaults are those of the shipped network."""

    header: SpeakerConfig = field(default_factory=SpeakerConfig)  # of the encoder that the header is a copy of
    width: int = 64  # of the Conformer, and of the projected enrolment
    conformers: int = 1
    heads: int = 4
    kernel: int = 9  # of the Conformer's depthwise convolution, in steps of 40 ms
    transformers: int = 1

    @property
    def joint(self) -> int:
        """Width of the Transformer after the concatenation."""
        return 2 * self.width


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
    """The personal voice activity detector. The speaker encoder that judges it is not part of it."""

    def __init__(self, config: SvvadConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SvvadConfig()
        self.header = SpeakerEncoder(config.header)
        self.register_buffer("projection", torch.linalg.qr(torch.randn(WIDTH, config.width)).Q.contiguous())
        self.level = nn.LayerNorm(config.header.values)
        self.enter = nn.Linear(config.header.values + WIDTH, config.width)
        self.conformers = nn.ModuleList(Conformer(config.width, config.heads, config.kernel)
                                        for _ in range(config.conformers))
        self.join = nn.Linear(2 * config.width + LIKENESSES, config.joint)
        self.transformers = nn.ModuleList(
            nn.TransformerEncoderLayer(config.joint, config.heads, 2 * config.joint, 0.0, "gelu", batch_first=True)
            for _ in range(config.transformers))
        self.gamma, self.beta = nn.Linear(config.joint, 1), nn.Linear(config.joint, 1)
        for part in (self.gamma, self.beta):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        self.gain = nn.Parameter(torch.full((LIKENESSES,), START_GAIN))
        self.even = nn.Parameter(torch.tensor(START_AT))
        self.sharpness = nn.Parameter(torch.tensor(START_SHARPNESS))

    @classmethod
    def tiny(cls, seed: int = 0) -> Svvad:
        """A random debug instance for tests: never shipped, never shown as a detector."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            gate = cls(SvvadConfig(TINY, 8, 1, 2, 5, 1)).eval()
            for part in (gate.gamma, gate.beta):
                nn.init.normal_(part.weight, std=0.3)
            return gate

    def start_from(self, encoder: SpeakerEncoder) -> None:
        """Make the header a copy of the encoder, in use. Raises RuntimeError where the encoder's sizes are not its."""
        self.header.load_state_dict(encoder.state_dict())
        self.header.requires_grad_(False).eval()

    def comparison(self) -> list[nn.Parameter]:
        """The few numbers of the comparison, which are trained at a rate of their own."""
        return [self.gain, self.even, self.sharpness]

    def hear(self, features: torch.Tensor, values: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The header: features (B, T, 80) -> its values (B, V, ceil(T / 2)) and the voices around (B, S, 192).

        values : the header's, where they are at hand
        """
        if features.shape[2] != N_MELS:
            raise ValueError(f"features have {features.shape[2]} bands, not {N_MELS}")
        values = self.header.values(features) if values is None else values
        return values, self.header.around(values, AROUND)[:, :: STEP // 2]

    def states(self, values: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """What doesn't depend on who is sought: what :meth:`hear` gives -> (B, S, D)."""
        mean = F.avg_pool1d(values.float(), STEP // 2, ceil_mode=True).transpose(1, 2)  # (B, S, V)
        x = self.enter(torch.cat([self.level(mean), voices * WIDTH**0.5], 2))
        for block in self.conformers:
            x = block(x)
        return x

    def likeness(self, enrolment: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """enrolment (B, 192), voices (B, S, 192) -> cosine with each frame's voice, and its mean over the recording's
        frames, those that sound like the frame counting most: (B, S, 2).
        """
        own = voices @ enrolment.to(voices.dtype).unsqueeze(2)  # (B, S, 1)
        alike = (self.sharpness * voices @ voices.transpose(1, 2)).softmax(2)  # (B, S, S)
        return torch.cat([own, alike.to(own.dtype) @ own], 2).float()

    def decide(self, enrolment: torch.Tensor, states: torch.Tensor, voices: torch.Tensor,
               n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """enrolment (B, 192), states (B, S, D), voices (B, S, 192) -> gamma and beta, both (B, n_frames)."""
        likeness = self.likeness(enrolment, voices)
        projected = enrolment @ self.projection * WIDTH**0.5  # (B, D), about unit variance
        tiled = projected.unsqueeze(1).expand(-1, states.shape[1], -1)  # (B, S, D)
        x = self.join(torch.cat([states, tiled.to(states.dtype), likeness.to(states.dtype)], 2))  # (B, S, J)
        for layer in self.transformers:
            x = layer(x)
        compared = (self.gain * (likeness - self.even)).sum(2, keepdim=True)  # (B, S, 1)
        logit = BOUND * ((compared + self.gamma(x).float()) / BOUND).tanh()
        both = torch.cat([logit, self.beta(x).float()], 2)  # (B, S, 2)
        both = both.repeat_interleave(STEP, 1)[:, :n_frames]  # (B, T, 2)
        return both[..., 0].sigmoid(), both[..., 1]

    def forward(self, enrolment: torch.Tensor, features: torch.Tensor,
                values: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """enrolment (B, 192), features (B, T, 80), values as for :meth:`hear` -> gamma (B, T) in 0..1, beta (B, T)."""
        values, voices = self.hear(features, values)
        return self.decide(enrolment, self.states(values, voices), voices, features.shape[1])


def save_svvad(model: Svvad, folder: str | Path) -> None:
    """Write ``model.safetensors`` into a folder that exists: fp16, the configuration in its metadata."""
    save_halved(model, "svvad", folder)


def load_svvad(folder: str | Path) -> Svvad:
    """The detector of a folder, frozen. Raises ValueError where the file isn't one, FileNotFoundError without one."""
    def build(config: dict) -> Svvad:
        return Svvad(SvvadConfig(**{**config, "header": speaker_config(config["header"])}))

    return load_network(Path(folder) / MODEL_FILE, "svvad", "an SVVAD's file", build).requires_grad_(False)
