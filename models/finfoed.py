"""f-InfoED: a detector that sees only the frame-level entropy of a variational bottleneck.

    wav -> frozen encoder + AdaLAM -> layer mix -> bottleneck N(mu_t, sigma_t^2) -> H_t -> frame and clip logits
                                                          |-> z_t -> mel (the bottleneck must still explain the sound)

The classifier's only input is the entropy map E [B, T, D]; mu reaches the reconstruction and nothing else. Losses
and training live in ``core.training``; files in :func:`save_finfoed` and :func:`load_finfoed`.

Reference
---------
Zhao, Kang, He, Qu, Peng, Xiao, Wang 2025, arXiv 2504.10819 (ICME 2025): objective, three-part loss, adapters. The
topology of the heads is ours; the paper does not give it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models.adapters import AdapterStack
from models.encoder import FrameEncoder, build_encoder, tiny_config
from models.files import load_network

LOG_VARIANCE_RANGE = (-10.0, 4.0)
HALF_LOG_2PI_E = 0.5 * math.log(2.0 * math.pi * math.e)
HEADS = ("entropy", "mu", "mean")


@dataclass(frozen=True)
class FInfoEDConfig:
    """Everything needed to rebuild the network before its weights are loaded."""

    family: str = "whisper"  # encoder family, see models.encoder
    encoder: dict = field(default_factory=dict)  # the family's own configuration
    guard_bands: int = 3  # top mel bands (above 7.2 kHz) that are overwritten by the band below them, see guard()
    adapter_rank: int = 32  # r; 0 leaves the adapters out
    latent: int = 32  # D, dimensions of the bottleneck
    hidden: int = 128  # width of the mel decoder
    channels: int = 48  # width of the frame head's convolutions
    head: str = "entropy"  # what the classifier sees: "entropy" (the method), "mu" or "mean" (ablations)
    dropout: float = 0.1


@dataclass(frozen=True)
class FInfoEDOutput:
    """One batch of windows. Logits are higher for bona fide."""

    mu: torch.Tensor  # (B, T, D)
    logvar: torch.Tensor  # (B, T, D) log sigma^2, clamped
    entropy: torch.Tensor  # (B, T, D) nats
    frame_logit: torch.Tensor  # (B, T)
    clip_logit: torch.Tensor  # (B,)
    aggregated: torch.Tensor  # (B, T, F)


def gaussian_entropy(logvar: torch.Tensor) -> torch.Tensor:
    """Differential entropy per dimension in nats, h = 1/2 log(2 pi e sigma^2). Any shape, same shape out."""
    return HALF_LOG_2PI_E + 0.5 * logvar


def kl_to_standard_normal(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, sigma^2) || N(0, I)) per dimension in nats (arXiv 2504.10819, L_KL). Same shape out."""
    return -0.5 * (logvar + 1.0 - mu.square() - logvar.exp())


def guard(mel: torch.Tensor, bands: int) -> torch.Tensor:
    """Overwrite the top ``bands`` mel bands with the one below: (B, C, S) -> (B, C, S).

    Above 7.2 kHz a 16 kHz file tells mostly which rate it was converted from, and in corpora that differs between
    the classes. A detector that hears it looks better than it is.
    """
    if not bands:
        return mel
    return torch.cat([mel[:, :-bands], mel[:, -bands - 1 : -bands].expand(-1, bands, -1)], dim=1)


class LayerMix(nn.Module):
    """Standardise every layer with fixed corpus statistics, then mix them with softmax weights."""

    def __init__(self, n_layers: int, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_layers, 1, n_features))
        self.register_buffer("deviation", torch.ones(n_layers, 1, n_features))
        self.logits = nn.Parameter(torch.zeros(n_layers))

    def weights(self) -> torch.Tensor:
        """Softmax weights of the layers, (L,)."""
        return self.logits.softmax(0)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(B, L, T, F) -> (B, T, F). The affine standardisation is folded into the mix: one pass over the states."""
        scale = self.weights().view(-1, 1, 1) / self.deviation  # (L, 1, F)
        mixed = (states[:, 0] * scale[0]).clone()
        for layer in range(1, states.shape[1]):
            mixed = torch.addcmul(mixed, states[:, layer], scale[layer])  # (B, T, F)
        return mixed - (self.mean * scale).sum(0)


class Bottleneck(nn.Module):
    """Frame posterior N(mu_t, sigma_t^2), linear in the mixed states of a frame and its two neighbours.

    Linear on purpose: with few sources to learn from, a wider encoder here learns the sources.
    """

    def __init__(self, n_features: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Conv1d(n_features, 2 * latent, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, F) -> mu, log sigma^2, each (B, T, D)."""
        mu, logvar = self.output(self.dropout(x).transpose(1, 2)).transpose(1, 2).chunk(2, dim=-1)  # (B, T, D) each
        return mu, logvar.clamp(*LOG_VARIANCE_RANGE)


class MelDecoder(nn.Module):
    """z_t -> log-mel at the encoder's hop."""

    def __init__(self, latent: int, hidden: int, n_mels: int = 80) -> None:
        super().__init__()
        self.input = nn.Conv1d(latent, hidden, 3, padding=1)
        self.output = nn.Conv1d(hidden, n_mels, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, 80)."""
        return self.output(F.gelu(self.input(z.transpose(1, 2)))).transpose(1, 2)


class EntropyClassifier(nn.Module):
    """Frame logits and a clip logit from a map over time, and from nothing else.

    The frame logits come from two convolutions (five and five frames). The clip logit is linear in moments over time:
    mean and deviation of the map, and deviation of its first and second differences (how entropy moves).
    """

    def __init__(self, width: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.convolutions = nn.Sequential(
            nn.Conv1d(width, channels, 5, padding=2), nn.BatchNorm1d(channels), nn.ReLU(), nn.Dropout(dropout),
            nn.Conv1d(channels, channels, 5, padding=2), nn.BatchNorm1d(channels), nn.ReLU(), nn.Dropout(dropout))
        self.frame = nn.Conv1d(channels, 1, 1)
        self.moments_norm = nn.BatchNorm1d(4 * width)
        self.moments_dropout = nn.Dropout(min(0.5, 3.0 * dropout))
        self.clip = nn.Linear(4 * width, 1)

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) -> frame logits (B, T), clip logit (B,)."""
        x = self.norm(maps.transpose(1, 2))  # (B, D, T)
        clip = self.clip(self.moments_dropout(self.moments_norm(time_moments(x)))).squeeze(-1)  # (B,)
        return self.frame(self.convolutions(x)).squeeze(1), clip


def time_moments(x: torch.Tensor) -> torch.Tensor:
    """Mean, deviation, and deviation of first and second differences over time: (B, D, T) -> (B, 4D)."""

    def deviation(y: torch.Tensor) -> torch.Tensor:
        if y.shape[-1] < 2:
            return y.new_zeros(y.shape[:-1])
        return (y.var(-1, correction=0) + 1e-5).sqrt()

    first = x.diff(dim=-1)
    return torch.cat([x.mean(-1), deviation(x), deviation(first), deviation(first.diff(dim=-1))], dim=1)


class FInfoED(nn.Module):
    """Frozen encoder with AdaLAM, bottleneck, mel decoder and entropy classifier."""

    def __init__(self, config: FInfoEDConfig, encoder: FrameEncoder | None = None) -> None:
        super().__init__()
        if config.head not in HEADS:
            raise ValueError(f"head must be one of {HEADS}, not {config.head!r}")
        self.config = config
        self.encoder = encoder if encoder is not None else build_encoder(config.family, config.encoder)
        self.encoder.requires_grad_(False)
        n_layers, n_features = self.encoder.n_layers, self.encoder.n_features
        self.adapters = AdapterStack(self.encoder, n_features, config.adapter_rank) if config.adapter_rank else None
        self.mix = LayerMix(n_layers, n_features)
        self.bottleneck = Bottleneck(n_features, config.latent, config.dropout)
        self.decoder = MelDecoder(config.latent, config.hidden)
        width = n_features if config.head == "mean" else config.latent
        self.classifier = EntropyClassifier(width, config.channels, config.dropout)

    @classmethod
    def tiny(cls, seed: int = 0, family: str = "whisper") -> FInfoED:
        """A random debug instance for tests: never shipped, never shown as a detector."""
        generator_state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        config = FInfoEDConfig(family=family, encoder=tiny_config(family), guard_bands=3 if family == "whisper" else 0,
                               adapter_rank=4, latent=8, hidden=16, channels=12)
        model = cls(config).eval()
        torch.random.set_rng_state(generator_state)
        return model

    def encode(self, wav: torch.Tensor, adapters: bool = True) -> torch.Tensor:
        """wav (B, N) at 16 kHz -> hidden states (B, L, T, F). Hold the model's lock when threads share it."""
        return self.encode_features(self.features(wav), adapters)

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> the encoder's front end, guarded: what the detector hears, (B, C, S)."""
        return guard(self.encoder.features(wav), self.config.guard_bands)

    def encode_features(self, features: torch.Tensor, adapters: bool = True) -> torch.Tensor:
        """Features (B, C, S) -> hidden states (B, L, T, F)."""
        if self.adapters is None:
            return self.encoder.forward_features(features)
        with self.adapters.switched(adapters):
            return self.encoder.forward_features(features)

    def posterior(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states (B, L, T, F) -> mu (B, T, D), log sigma^2 (B, T, D), mixed states (B, T, F)."""
        aggregated = self.mix(states)
        mu, logvar = self.bottleneck(aggregated)
        return mu, logvar, aggregated

    def analyse(self, states: torch.Tensor) -> FInfoEDOutput:
        """Hidden states (B, L, T, F) -> posterior, entropy map and logits."""
        mu, logvar, aggregated = self.posterior(states)
        entropy = gaussian_entropy(logvar)
        seen = {"entropy": entropy, "mu": mu, "mean": aggregated}[self.config.head]
        frame_logit, clip_logit = self.classifier(seen)
        return FInfoEDOutput(mu, logvar, entropy, frame_logit, clip_logit, aggregated)

    def reconstruct(self, z: torch.Tensor) -> torch.Tensor:
        """Latent (B, T, D) -> Whisper log-mel at 20 ms (B, T, 80)."""
        return self.decoder(z)

    def head_parameters(self) -> list[nn.Parameter]:
        """Everything that is trained: adapters, layer mix, bottleneck, decoder, classifier."""
        return [p for name, p in self.named_parameters() if not name.startswith("encoder.")]


def save_finfoed(model: FInfoED, path: str | Path) -> None:
    """Write weights and configuration as one safetensors file; floating-point tensors in fp16."""
    tensors = {name: value.detach().to("cpu", torch.float16 if value.is_floating_point() else value.dtype).contiguous()
               for name, value in model.state_dict().items()}
    save_file(tensors, str(path), metadata={"finfoed": json.dumps(asdict(model.config), sort_keys=True)})


def load_finfoed(path: str | Path) -> FInfoED:
    """Rebuild a network written by :func:`save_finfoed`, in fp32 and evaluation mode.

    Raises
    ------
    ValueError : the file is not one of ours or its tensors do not fit its configuration
    """
    return load_network(path, "finfoed", "an f-InfoED file", lambda config: FInfoED(FInfoEDConfig(**config)))
