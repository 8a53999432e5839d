"""Audio Spectrogram Transformer: overlapping 16 x 16 patches of a 128-band filter bank, averaged over
frequency.

The published model pads to 10.24 s. Here a shorter input takes the leading columns of the position table, and
a longer one is refused; at exactly the table's length the hidden states are those of ``transformers``. The
filter bank is Kaldi's, written with torch so that gradients reach the samples.

Reference
---------
Gong, Chung, Glass 2021, "AST: Audio Spectrogram Transformer", arXiv 2104.01778.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models.encoder import SAMPLE_RATE, FrameEncoder, frame_mask
from models.families.pretrained import (
    check_keep_layers,
    load_transformers_model,
    portable_config,
    read_config,
)

FRAME, SHIFT, N_FFT = 400, 160, 512  # samples: 25 ms, 10 ms
MEAN, DEVIATION = -4.2677393, 4.5689974  # of AudioSet, as the published models expect
FLOOR = 1.192092955078125e-07


def kaldi_mel(hz: np.ndarray | float) -> np.ndarray:
    """Kaldi's mel scale, 1127 ln(1 + f / 700). Hz in, mel out."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # a cached inference tensor could never take part in a gradient
def kaldi_filters(n_bands: int) -> torch.Tensor:
    """Triangles in mel between 20 Hz and 8 kHz, without area normalisation. Returns (257, n_bands)
    float32."""
    corners = np.linspace(kaldi_mel(20.0), kaldi_mel(SAMPLE_RATE / 2), n_bands + 2)
    bins = kaldi_mel(np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT)[:, None]  # (257, 1)
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    triangles = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle))
    return torch.from_numpy(np.maximum(0.0, triangles).astype(np.float32))


def kaldi_filter_bank(wav: torch.Tensor, n_bands: int) -> torch.Tensor:
    """Log filter-bank energies as Kaldi computes them: wav (B, N) -> (B, n_bands, (N - 400) // 160 + 1)."""
    frames = wav.unfold(1, FRAME, SHIFT)  # (B, S, 400)
    frames = frames - frames.mean(-1, keepdim=True)
    frames = frames - 0.97 * torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    frames = frames * torch.hann_window(FRAME, periodic=False, device=wav.device, dtype=wav.dtype)
    power = torch.fft.rfft(frames, N_FFT).abs().square()  # (B, S, 257)
    return (power @ kaldi_filters(n_bands).to(wav)).clamp_min(FLOOR).log().transpose(1, 2)


class ASTFrames(FrameEncoder):
    """Hidden states of AST at the patches' hop (100 ms); each frame is the mean over its frequency patches.

    ``config`` is the ``transformers`` configuration plus ``keep_layers``. The class and distillation tokens
    take part in attention and are left out of the result. ``features`` is the normalised filter bank (B,
    bands, S). State 0 enters the first layer; the last state of a complete encoder is the last layer's output
    before the final normalisation, as ``transformers`` records it. Adapters see the tokens (B, 2 + patches,
    F).
    """

    family: ClassVar[str] = "ast"

    def __init__(self, config: dict[str, Any], model: nn.Module | None = None) -> None:
        super().__init__()
        full, hf = self.transformers_config(config), self.transformers_config(config)
        keep = check_keep_layers(config.get("keep_layers"), full.num_hidden_layers)
        self.config = portable_config(full) | {"keep_layers": keep}
        hf.num_hidden_layers = keep
        if model is None:
            from transformers import ASTModel

            model = ASTModel(hf)
        self.model = model
        self.n_layers, self.n_features = keep + 1, full.hidden_size
        self.bands, self.patch, self.stride = full.num_mel_bins, full.patch_size, full.time_stride
        self.rows = (self.bands - self.patch) // full.frequency_stride + 1  # patches over frequency
        self.max_frames = (full.max_length - self.patch) // self.stride + 1
        self.hop = self.stride * SHIFT
        self.start_s = ((self.patch - 1) * SHIFT + FRAME - 1) / 2 / SAMPLE_RATE

    @staticmethod
    def transformers_config(config: dict[str, Any]):
        """The library's configuration object."""
        from transformers import ASTConfig

        own = {key: value for key, value in config.items() if key not in ("keep_layers", "model_type")}
        return ASTConfig(**own, attn_implementation="sdpa")

    @staticmethod
    def tiny_config() -> dict[str, Any]:
        """Two of three layers, F = 32, inputs up to 4.1 s."""
        return {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
                "num_mel_bins": 32, "max_length": 406, "keep_layers": 2}

    def n_frames(self, n_samples: int) -> int:
        return max(0, ((n_samples - FRAME) // SHIFT + 1 - self.patch) // self.stride + 1)

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> normalised Kaldi filter bank (B, bands, S), always in fp32."""
        with torch.autocast(wav.device.type, enabled=False):
            return (kaldi_filter_bank(wav.float(), self.bands) - MEAN) / (2.0 * DEVIATION)

    def forward_features(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Filter bank (B, bands, S) -> hidden states (B, L, T, F). Raises ValueError beyond the position
        table."""
        n_frames = (features.shape[-1] - self.patch) // self.stride + 1
        if n_frames > self.max_frames:
            raise ValueError(f"{n_frames} frames don't fit {self.max_frames} positions; "
                             "encode shorter windows.")
        embeddings = self.model.embeddings
        patches = embeddings.patch_embeddings(features.transpose(1, 2))  # (B, rows * T, F)
        special = torch.cat([embeddings.cls_token, embeddings.distillation_token], dim=1)
        x = torch.cat([special.expand(len(patches), -1, -1), patches], dim=1)  # (B, 2 + rows * T, F)
        x = embeddings.dropout(x + self._positions(n_frames))
        attend = None if lengths is None else self._attend(frame_mask(lengths, n_frames))
        states = [x]
        for layer in self.model.layers:
            states.append(layer(states[-1], attend))
        return torch.stack([self._over_frequency(state, n_frames) for state in states], dim=1)

    def _positions(self, n_frames: int) -> torch.Tensor:
        """Position embeddings of the two tokens and the first columns, (1, 2 + rows * n_frames, F)."""
        table = self.model.embeddings.position_embeddings
        grid = table[:, 2:].unflatten(1, (self.rows, self.max_frames))[:, :, :n_frames]
        return torch.cat([table[:, :2], grid.flatten(1, 2)], dim=1)

    def _attend(self, valid: torch.Tensor) -> torch.Tensor:
        """valid (B, T) -> attention mask (B, 1, 1, 2 + rows * T); the two tokens are always attended to."""
        return F.pad(valid.repeat(1, self.rows), (2, 0), value=True)[:, None, None]

    def _over_frequency(self, tokens: torch.Tensor, n_frames: int) -> torch.Tensor:
        """(B, 2 + rows * T, F) -> (B, T, F)."""
        return tokens[:, 2:].unflatten(1, (self.rows, n_frames)).mean(1)

    def transformer_layers(self) -> list[nn.Module]:
        return list(self.model.layers)

    def sublayer_outputs(self, layer: nn.Module) -> tuple[nn.Module, nn.Module]:
        return layer.attention.o_proj, layer.mlp

    @classmethod
    def load(cls, source: Path, *, keep_layers: int | None = None) -> ASTFrames:
        """From a ``transformers`` folder. Raises EncoderUnavailable, ValueError."""
        from transformers import ASTModel

        config = read_config(source) | {"keep_layers": keep_layers}
        hf = cls.transformers_config(config)
        hf.num_hidden_layers = check_keep_layers(keep_layers, hf.num_hidden_layers)
        return cls(config, load_transformers_model(ASTModel, source, hf))
