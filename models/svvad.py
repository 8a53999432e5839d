"""SVVAD: which frames of a recording carry an enrolled speaker, learned through a frozen speaker encoder.

    features (B, T, 80) -> header -> Conformer blocks -> (B, T', D)                  (T' = ceil(T / 2), 20 ms)
    enrolment (B, 192) -> fixed projection (B, D), tiled -------> concatenated (B, T', 2 D)
        -> Transformer encoder -> gamma = sigmoid(.), beta: (B, T) each, every value held for two frames
    x_vad = gamma x + beta -> the frozen speaker encoder

The gate acts on features, not on samples: in ``models.speaker.fbank`` 0 is digital silence: gamma = 0 silences a frame.
gamma = 1 and beta = 0 give the features back to the bit. beta is one number per frame, as in the paper's figure. Not
trained are the transform of the enrolment embedding (the figure draws it so; here a fixed orthonormal projection) and
the header, a copy of the encoder's layers before its pooling. :meth:`Svvad.start_from` sets out from a comparison of
frames, projected like embeddings, with the enrolment. Any length from 1 s works; a long recording is better heard in
windows, since attention grows with its square. Training: ``core.training.svvad``.

Reference
---------
Kang et al. 2023, "SVVAD: personal voice activity detection for speaker verification", arXiv 2305.19581; Conformer:
Gulati et al. 2020, arXiv 2005.08100. What the paper's text leaves open is ours.
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
    WIDTH,
    FrameLayers,
    SpeakerConfig,
    SpeakerEncoder,
    save_halved,
    speaker_config,
)

START, START_GAIN = 0.3, 1.5  # of the first comparison in the Transformer's stream, and of gamma's logit on it


@dataclass(frozen=True)
class SvvadConfig:
    """Sizes. The defaults are those of the shipped network."""

    header: SpeakerConfig = field(default_factory=SpeakerConfig)  # of the encoder that the header is a copy of
    width: int = 96  # of the Conformer, and of the projected enrolment
    conformers: int = 2
    heads: int = 4
    kernel: int = 15  # of the Conformer's depthwise convolution, in frames of 20 ms
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
    """The personal voice activity detector. The speaker encoder is not part of it."""

    def __init__(self, config: SvvadConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SvvadConfig()
        self.header = FrameLayers(config.header)
        self.register_buffer("projection", torch.linalg.qr(torch.randn(WIDTH, config.width)).Q.contiguous())
        self.enter = nn.Linear(config.header.values, config.width)
        self.conformers = nn.ModuleList(Conformer(config.width, config.heads, config.kernel)
                                        for _ in range(config.conformers))
        self.join = nn.Linear(2 * config.width, config.joint)
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
            return cls(SvvadConfig(SpeakerConfig(1, (1,), 16, 4), 8, 1, 2, 5, 1)).eval()

    def start_from(self, encoder: SpeakerEncoder) -> None:
        """Copy the encoder's layers into the header, and begin as a comparison of each frame with the enrolment.

        Frames are projected as embeddings are; Conformer and attention begin as the identity; the Transformer's
        feed-forward step begins as |h + e| - |h - e|, summed, which is high where both agree; gamma reads that sum.
        Raises RuntimeError where the encoder's sizes are not the header's.
        """
        self.header.load_state_dict({k: v for k, v in encoder.state_dict().items() if k.startswith(FrameLayers.PARTS)})
        n, width, joint = self.config.header.values, self.config.width, self.config.joint
        scale = encoder.norm.weight[:n] / (encoder.norm.running_var[:n] + encoder.norm.eps).sqrt()
        linear = self.projection.T @ encoder.out.weight[:, :n]  # (D, V): the part that reads the mean
        with torch.no_grad():
            self.enter.weight.copy_(linear * scale)
            self.enter.bias.copy_(linear @ (encoder.norm.bias[:n] - encoder.norm.running_mean[:n] * scale))
            for block in self.conformers:
                for last in (block.before[-1], block.after[-1], block.attention.out_proj, block.narrow):
                    last.weight.mul_(0.1)
            eye = torch.eye(width)
            self.join.weight.copy_(torch.cat([torch.cat([eye, eye], 1), torch.cat([eye, -eye], 1)]))
            first = self.transformers[0]
            first.self_attn.out_proj.weight.mul_(0.1)
            both = torch.eye(joint)
            first.linear1.weight.copy_(torch.cat([both, -both]))
            sign = torch.cat([torch.ones(width), -torch.ones(width)]).repeat(2)  # of h + e, h - e, and their opposites
            direction = torch.ones(joint)
            direction[1::2] = -1
            first.linear2.weight.copy_(torch.outer(direction, sign) * START / width**0.5)
            self.gamma.weight.copy_(direction[None] * START_GAIN / (START * joint))
            for part in (self.join, first.linear1, first.linear2, self.gamma):
                part.bias.zero_()

    def states(self, features: torch.Tensor, values: torch.Tensor | None = None) -> torch.Tensor:
        """What doesn't depend on who is sought: features (B, T, 80) -> (B, T', D).

        values : ``values(features)`` (B, V, T') of the encoder that the header is a copy of, where they are at hand
        """
        if features.shape[2] != N_MELS:
            raise ValueError(f"features have {features.shape[2]} bands, not {N_MELS}")
        values = self.header.values(features) if values is None else values
        x = self.enter(values.transpose(1, 2))  # (B, T', D)
        for block in self.conformers:
            x = block(x)
        return x

    def decide(self, enrolment: torch.Tensor, states: torch.Tensor, n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """enrolment (B, 192), states (B, T', D) -> gamma and beta, both (B, n_frames)."""
        projected = enrolment @ self.projection * WIDTH**0.5  # (B, D), about unit variance
        tiled = projected.unsqueeze(1).expand(-1, states.shape[1], -1)  # (B, T', D)
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
    save_halved(model, "svvad", folder)


def load_svvad(folder: str | Path) -> Svvad:
    """The detector of a folder, frozen. Raises ValueError where the file isn't one, FileNotFoundError without one."""
    def build(config: dict) -> Svvad:
        return Svvad(SvvadConfig(**{**config, "header": speaker_config(config["header"])}))

    return load_network(Path(folder) / MODEL_FILE, "svvad", "an SVVAD's file", build).requires_grad_(False)
