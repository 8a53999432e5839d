"""Whisper's encoder, cut short: the first layers, and only as many positions as a window needs.

OpenAI's encoder pads everything to 30 s. Here an input of T frames takes the first T position embeddings, so
a 4 s window costs 4 s. Module names are those of ``transformers.WhisperEncoder``, whose keys load as they
are; the layers are our own so that the embedded detector starts without importing that library (the test
suite holds the two equal).

Reference
---------
Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", arXiv 2212.04356.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from models.encoder import EncoderUnavailable, FrameEncoder, frame_mask, prime_tables
from models.families.pretrained import check_keep_layers, read_config, read_tensors
from models.frontend import whisper_log_mel

HOP = 320  # samples: 10 ms mel frames, halved by the second convolution
HEAD_WIDTH = 64  # all of OpenAI's models
DEFAULTS: dict[str, Any] = {
    "d_model": 384,  # F
    "encoder_layers": 4,  # layers of the whole encoder
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "num_mel_bins": 80,
    "keep_layers": None,  # layers kept; None keeps all, and then the final normalisation too
    "max_positions": 1500,  # position embeddings kept, 20 ms each
}


class WhisperAttention(nn.Module):
    """Multi-head self-attention; the key projection has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """x (B, T, F), mask (B, 1, 1, T) true where a frame may be attended to. Returns (B, T, F)."""
        split = (*x.shape[:2], self.heads, x.shape[2] // self.heads)
        q, k, v = (projection(x).view(split).transpose(1, 2)  # (B, heads, T, F / heads)
                   for projection in (self.q_proj, self.k_proj, self.v_proj))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(attended.transpose(1, 2).reshape(x.shape))


class WhisperLayer(nn.Module):
    """Pre-LN Transformer layer."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.self_attn = WhisperAttention(width, heads)
        self.final_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, ffn)
        self.fc2 = nn.Linear(ffn, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(B, T, F) -> (B, T, F)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), mask)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class WhisperFrames(FrameEncoder):
    """Hidden states of Whisper's encoder at 20 ms; frame t is centred on sample 320 t.

    T = N // 320; up to 319 trailing samples are heard by the last frame only. State 0 is the embedding output
    (after the position embeddings), state i the output of layer i; only where all layers are kept is the last
    one normalised, as in ``transformers``. ``features`` is the log-mel (B, 80, 2T).
    """

    family: ClassVar[str] = "whisper"

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = c = _completed(config)
        width = c["d_model"]
        self.n_layers, self.n_features = c["keep_layers"] + 1, width
        self.hop, self.start_s = HOP, 0.0
        prime_tables(whisper_log_mel)
        self.conv1 = nn.Conv1d(c["num_mel_bins"], width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(c["max_positions"], width)
        self.layers = nn.ModuleList(WhisperLayer(width, c["encoder_attention_heads"], c["encoder_ffn_dim"])
                                    for _ in range(c["keep_layers"]))
        self.layer_norm = nn.LayerNorm(width) if c["keep_layers"] == c["encoder_layers"] else None

    @staticmethod
    def tiny_config() -> dict[str, Any]:
        """Two of three layers, F = 32, windows up to 4 s."""
        return {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 64,
                "num_mel_bins": 80, "keep_layers": 2, "max_positions": 200}

    def n_frames(self, n_samples: int) -> int:
        return n_samples // HOP

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> Whisper log-mel (B, 80, 2T), T = N // 320, always in fp32."""
        with torch.autocast(wav.device.type, enabled=False):
            return whisper_log_mel(wav.float())[..., : 2 * self.n_frames(wav.shape[1])]

    def forward_features(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Log-mel (B, 80, 2T) -> (B, L, T, F). Raises ValueError beyond ``max_positions`` frames."""
        n_frames = features.shape[-1] // 2
        if n_frames > self.config["max_positions"]:
            raise ValueError(f"{n_frames} frames don't fit {self.config['max_positions']} positions; "
                             "encode shorter windows.")
        valid = None if lengths is None else frame_mask(lengths, n_frames)  # (B, T)
        x = F.gelu(self.conv1(features[..., : 2 * n_frames]))  # (B, F, 2T)
        if valid is not None:  # the second convolution must meet zeros where a row alone would
            x = x * valid.repeat_interleave(2, 1)[:, None]
        x = F.gelu(self.conv2(x)).transpose(1, 2)  # (B, T, F)
        x = x + self.embed_positions.weight[:n_frames]
        attend = None if valid is None else valid[:, None, None]  # (B, 1, 1, T)
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], attend))
        if self.layer_norm is not None:
            states[-1] = self.layer_norm(states[-1])
        return torch.stack(states, dim=1)  # (B, L, T, F)

    def transformer_layers(self) -> list[nn.Module]:
        return list(self.layers)

    def sublayer_outputs(self, layer: nn.Module) -> tuple[nn.Module, nn.Module]:
        return layer.self_attn.out_proj, layer.fc2

    @classmethod
    def load(cls, source: Path, *, keep_layers: int | None = None,
             max_positions: int | None = None) -> WhisperFrames:
        """From a ``transformers`` Whisper folder, or one safetensors file with the encoder's keys (fp16 or
        fp32)."""
        tensors = read_tensors(source, prefixes=("model.encoder.", "encoder.", ""), marker="conv1.weight")
        config = _config_of_tensors(tensors)
        if source.is_dir():
            config |= {key: value for key, value in read_config(source).items() if key in DEFAULTS}
        config["keep_layers"] = check_keep_layers(keep_layers, config["encoder_layers"])
        config["max_positions"] = min(max_positions or config["max_positions"], config["max_positions"])
        encoder = cls(config)
        wanted = encoder.state_dict()
        tensors["embed_positions.weight"] = tensors["embed_positions.weight"][: config["max_positions"]]
        wrong = [name for name in wanted if name not in tensors or tensors[name].shape != wanted[name].shape]
        if wrong:
            raise EncoderUnavailable(f"{source.name} lacks {len(wrong)} tensors of a Whisper encoder (first: "
                                     f"{wrong[0]}); use a complete model.")
        encoder.load_state_dict({name: tensors[name].float() for name in wanted})
        return encoder


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """Fill in defaults and check. ``transformers`` names are accepted. Raises ValueError."""
    known = {key: value for key, value in config.items() if key in DEFAULTS}
    if "max_positions" not in known and "max_source_positions" in config:
        known["max_positions"] = config["max_source_positions"]
    c = DEFAULTS | known
    c["keep_layers"] = check_keep_layers(c["keep_layers"], c["encoder_layers"])
    if c["num_mel_bins"] != 80:
        raise ValueError("Only Whisper models with 80 mel bands are supported (all but large-v3).")
    if c["d_model"] % c["encoder_attention_heads"] or c["max_positions"] < 1:
        raise ValueError(f"Not a Whisper encoder's configuration: {json.dumps(c)}")
    return c


def _config_of_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Sizes as the tensors' shapes tell them."""
    try:
        width, bands = tensors["conv1.weight"].shape[:2]
        n_layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("layers."))
        return {"d_model": width, "num_mel_bins": bands, "encoder_layers": n_layers,
                "encoder_attention_heads": max(1, width // HEAD_WIDTH),
                "encoder_ffn_dim": tensors["layers.0.fc1.weight"].shape[0],
                "max_positions": tensors["embed_positions.weight"].shape[0]}
    except (KeyError, ValueError) as error:
        raise EncoderUnavailable("The file holds no Whisper encoder; choose another one.") from error
