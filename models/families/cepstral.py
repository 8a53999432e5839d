"""Two small encoders of our own over classic front ends, LFCC and log-mel: a time-delay network with four
levels.

Nothing pretrained: they are trained from scratch, and are random in tests. They have no Transformer layers,
hence no adapters.

References
----------
Sahidullah et al. 2015, "A comparison of features for synthetic speech detection" (LFCC).
Waibel et al. 1989 (time-delay networks); Peddinti et al. 2015 (dilated ones).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from models.encoder import FrameEncoder, frame_mask, prime_tables
from models.frontend import lfcc, whisper_log_mel

HOP = 320  # samples: 10 ms spectral frames, halved by the first convolution


class DelayBlock(nn.Module):
    """Residual dilated convolution, then layer normalisation over channels."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, F) -> (B, T, F)."""
        return self.norm(x + F.relu(self.convolution(x.transpose(1, 2)).transpose(1, 2)))


class CepstralFrames(FrameEncoder):
    """Common to both: standardised features, a strided convolution, dilated blocks; every level is a state.

    T = N // 320 at a 20 ms hop, frame t centred on sample 320 t; ``features`` is (B, C, 2T). The input is
    standardised with running statistics learnt in training.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = c = self.tiny_config() | config
        width, dilations = c["width"], tuple(c["dilations"])
        self.n_layers, self.n_features = 1 + len(dilations), width
        self.hop, self.start_s = HOP, 0.0
        prime_tables(self.features)
        self.standardise = nn.BatchNorm1d(self.n_channels(), affine=False)
        self.embed = nn.Conv1d(self.n_channels(), width, 5, stride=2, padding=2)
        self.embed_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(DelayBlock(width, dilation) for dilation in dilations)

    @abstractmethod
    def n_channels(self) -> int:
        """Channels C of the features."""

    def n_frames(self, n_samples: int) -> int:
        return n_samples // HOP

    def forward_features(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Features (B, C, 2T) -> hidden states (B, L, T, F)."""
        n_frames = features.shape[-1] // 2
        x = self.standardise(features[..., : 2 * n_frames])
        keep = None
        if lengths is not None:
            valid = frame_mask(lengths, n_frames)  # (B, T)
            keep = valid[..., None].to(x.dtype)  # (B, T, 1)
            x = x * valid.repeat_interleave(2, 1)[:, None]  # as beyond the end of a row
        states = [self.embed_norm(F.relu(self.embed(x)).transpose(1, 2))]  # (B, T, F)
        for block in self.blocks:
            states.append(block(states[-1] if keep is None else states[-1] * keep))
        return torch.stack(states, dim=1)  # (B, L, T, F)

    def transformer_layers(self) -> list[nn.Module]:
        return []


class LFCCFrames(CepstralFrames):
    """LFCC (static, first and second differences) into the time-delay network."""

    family: ClassVar[str] = "lfcc"

    @staticmethod
    def tiny_config() -> dict[str, Any]:
        """The default size; it is small enough for tests."""
        return {"width": 64, "dilations": [1, 2, 4], "n_filters": 20, "n_coefficients": 20}

    def n_channels(self) -> int:
        return 3 * self.config["n_coefficients"]

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> LFCC (B, 3 coefficients, 2T), always in fp32."""
        with torch.autocast(wav.device.type, enabled=False):
            cepstra = lfcc(wav.float(), n_filters=self.config["n_filters"],
                           n_coefficients=self.config["n_coefficients"])
        return cepstra[..., : 2 * self.n_frames(wav.shape[1])]


class LogMelFrames(CepstralFrames):
    """Whisper's 80-band log-mel into the time-delay network."""

    family: ClassVar[str] = "logmel"

    @staticmethod
    def tiny_config() -> dict[str, Any]:
        """The default size; it is small enough for tests."""
        return {"width": 64, "dilations": [1, 2, 4]}

    def n_channels(self) -> int:
        return 80

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> log-mel (B, 80, 2T), always in fp32."""
        with torch.autocast(wav.device.type, enabled=False):
            return whisper_log_mel(wav.float())[..., : 2 * self.n_frames(wav.shape[1])]
