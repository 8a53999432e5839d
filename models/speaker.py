"""A small speaker encoder: log-mel frames to one 192-d embedding, with a weight per frame in its pooling.

    wav (B, N) -> fbank (B, T, 80) -> 2-D front end -> dense blocks with context masks and narrow bottlenecks
               -> values (B, T, C), logits (B, T, 1) -> attentive statistics pooling, frames weighted from outside
               -> embedding (B, 192), of length 1

Nothing before the pooling sees the weights, so a threshold on frames can be moved without running the network again:
:meth:`SpeakerEncoder.frames` once, then :func:`statistics` and :meth:`SpeakerEncoder.from_statistics` as often as wanted.
It has CAM++'s shape with bottlenecks less than half as wide. The context masks hear the mean over the whole input, so a
recording heard in windows gives slightly other values. Files through :func:`save_speaker` and :func:`load_speaker`;
training is in ``core.training.speaker``, what a cosine means is in the folder's calibration.

References
----------
Wang et al. 2023, "CAM++", arXiv 2303.00332. Okabe et al. 2018, arXiv 1803.10963 (attentive statistics pooling).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models.files import load_network
from models.frontend import HOP, N_MELS, SAMPLE_RATE, triangular_filters
from models.speaker_campplus import STAGES, FrontEnd, dense_trunk, trunk_width

HOP_S = HOP / SAMPLE_RATE
START_S = 0.0  # centre of frame 0
WINDOW, N_FFT = 400, 512
LOWEST_HZ = 20.0
PRE_EMPHASIS = 0.97
FLOOR = 1e-8  # of mel power: about the rounding noise of 16-bit samples
WIDTH = 192
VARIANCE_FLOOR = 1e-6
MODEL_FILE = "model.safetensors"


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _filters() -> torch.Tensor:
    """80 triangles of height 1, even in the mel scale of HTK from 20 Hz to 8 kHz: (80, 257)."""
    edges = 2595.0 * np.log10(1.0 + np.array([LOWEST_HZ, SAMPLE_RATE / 2]) / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(*edges, N_MELS + 2) / 2595.0) - 1.0)
    return torch.from_numpy(triangular_filters(corners, N_FFT, area=False))


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _window() -> torch.Tensor:
    return torch.hann_window(WINDOW, periodic=False) ** 0.85


def fbank(wav: torch.Tensor) -> torch.Tensor:
    """Log-mel filter bank as Kaldi's, above a floor, so that 0 is digital silence: differentiable.

    wav : (B, N) float32 in [-1, 1] at 16 kHz, N > 256. Returns (B, N // 160, 80), natural log of mel power over the
    floor, >= 0. Frame t is centred on sample 160 t.
    """
    emphasised = torch.cat([wav[:, :1], wav[:, 1:] - PRE_EMPHASIS * wav[:, :-1]], 1)
    spectrum = torch.stft(emphasised, N_FFT, HOP, WINDOW, _window().to(wav.device, wav.dtype), center=True,
                          pad_mode="reflect", return_complex=True)  # (B, 257, N // 160 + 1)
    power = spectrum[..., : wav.shape[-1] // HOP].abs().square()
    mel = _filters().to(wav.device, wav.dtype) @ power  # (B, 80, T)
    return (mel.clamp_min(FLOOR) / FLOOR).log().transpose(1, 2)


def centre(features: torch.Tensor) -> torch.Tensor:
    """Take off each band's mean over time, in which a frame counts by the square of its level: (B, T, 80) -> same.

    Silence, whether recorded or made by a gate, has next to no say in what is taken off.
    """
    weight = features.mean(2, keepdim=True).clamp_min(0).square() + 1e-3  # (B, T, 1)
    return features - (weight * features).sum(1, keepdim=True) / weight.sum(1, keepdim=True)


@dataclass(frozen=True)
class SpeakerConfig:
    """Sizes. The defaults are those of the shipped network."""

    stages: tuple[tuple[int, int], ...] = STAGES  # layers and dilation of each dense block, as in CAM++
    bottleneck: int = 52  # of each dense layer; 128 in CAM++
    attention: int = 64  # hidden width of the frame's logit

    @property
    def values(self) -> int:
        """Width of what is pooled."""
        return trunk_width(self.stages)


TINY = SpeakerConfig(((1, 1), (1, 2)), 8, 4)  # for tests


class SpeakerEncoder(nn.Module):
    """The encoder. Made in training mode; :func:`load_speaker` and :meth:`tiny` give it for use."""

    width = WIDTH

    def __init__(self, config: SpeakerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SpeakerConfig()
        self.head = FrontEnd()
        self.trunk, values = nn.Sequential(dense_trunk(config.stages, config.bottleneck)), config.values
        self.attention = nn.Sequential(nn.Conv1d(values, config.attention, 1), nn.Tanh(),
                                       nn.Conv1d(config.attention, 1, 1))
        self.out = nn.Linear(2 * values, WIDTH)

    def values(self, features: torch.Tensor) -> torch.Tensor:
        """features (B, T, 80) -> (B, V, ceil(T / 2)) >= 0, 20 ms apart."""
        return self.trunk(self.head(centre(features).transpose(1, 2)))

    @classmethod
    def tiny(cls, seed: int = 0) -> SpeakerEncoder:
        """A random debug instance for tests: never shipped, never shown as an encoder."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(TINY).eval()

    def frames(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """features (B, T, 80) -> values (B, T, V) and logits of attention (B, T, 1); 20 ms apart, each twice."""
        return self.spread(self.values(features), features.shape[1])

    def spread(self, values: torch.Tensor, n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """:meth:`values` (B, V, T / 2) -> what :meth:`frames` gives, for ``n_frames`` frames of 10 ms."""
        both = torch.cat([values, self.attention(values)], 1).transpose(1, 2).float()  # (B, T / 2, V + 1)
        both = both.repeat_interleave(2, 1)[:, :n_frames]  # (B, T, V + 1)
        return both[..., :-1], both[..., -1:]

    def around(self, values: torch.Tensor, reach: int) -> torch.Tensor:
        """The voice in the ``2 reach + 1`` frames around each: :meth:`values` (B, V, T') -> embeddings (B, T', 192)."""
        logits = self.attention(values).float()
        share = (logits - logits.amax(2, keepdim=True)).exp().clamp_min(1e-4)  # (B, 1, T')

        def near(x: torch.Tensor) -> torch.Tensor:
            return F.avg_pool1d(x, 2 * reach + 1, 1, reach, count_include_pad=False)

        values, total = values.float(), near(share)
        mean = near(share * values) / total
        variance = near(share * values.square()) / total - mean.square()
        both = torch.cat([mean, variance.clamp_min(VARIANCE_FLOOR).sqrt()], 1).transpose(1, 2)  # (B, T', 2 V)
        return F.normalize(self.out(both.flatten(0, 1)), dim=1).unflatten(0, both.shape[:2])

    def from_statistics(self, mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        """Weighted mean and standard deviation of the values, both (B, C) -> embedding (B, 192) of length 1."""
        return F.normalize(self.out(torch.cat([mean, deviation], 1)), dim=1)

    def forward(self, features: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """features (B, T, 80), weights (B, T) >= 0 or None for ones -> embedding (B, 192) of length 1.

        Weights may be scaled by any positive factor. Where all are 0 the embedding says nothing: ask before.
        """
        return self.from_statistics(*statistics(*self.frames(features), weights))


def statistics(values: torch.Tensor, logits: torch.Tensor,
               weights: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Attentive statistics: values (B, T, C), logits (B, T, 1), weights (B, T) -> mean and deviation, both (B, C)."""
    share = (logits - logits.amax(1, keepdim=True)).exp()  # (B, T, 1)
    if weights is not None:
        share = share * weights.unsqueeze(2)
    share = share / share.sum(1, keepdim=True).clamp_min(1e-12)
    mean = (share * values).sum(1)
    variance = (share * values.square()).sum(1) - mean.square()
    return mean, variance.clamp_min(VARIANCE_FLOOR).sqrt()


def speaker_config(fields: dict) -> SpeakerConfig:
    """A configuration from what JSON keeps of it."""
    return SpeakerConfig(**{**fields, "stages": tuple(map(tuple, fields["stages"]))})


def save_speaker(encoder: SpeakerEncoder, folder: str | Path) -> None:
    """Write ``model.safetensors`` into a folder that exists: fp16, the configuration in its metadata."""
    save_halved(encoder, "speaker", folder)


def save_halved(network: nn.Module, kind: str, folder: str | Path) -> None:
    """Write a network with a ``config`` as ``model.safetensors``: fp16, the configuration as ``kind`` in its metadata."""
    tensors = {name: value.detach().cpu().half() if value.is_floating_point() else value.cpu()
               for name, value in network.state_dict().items()}
    save_file(tensors, str(Path(folder) / MODEL_FILE), metadata={kind: json.dumps(asdict(network.config))})


def load_speaker(folder: str | Path) -> SpeakerEncoder:
    """The encoder of a folder, frozen. Raises ValueError where the file isn't one, FileNotFoundError without one."""
    def build(config: dict) -> SpeakerEncoder:
        return SpeakerEncoder(speaker_config(config))

    path = Path(folder) / MODEL_FILE
    return load_network(path, "speaker", "a speaker encoder's file", build).requires_grad_(False)
