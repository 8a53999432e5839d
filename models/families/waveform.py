"""wav2vec 2.0 and XLS-R, HuBERT, WavLM: convolutions over samples, then a Transformer, all of
``transformers``.

The forward pass is our own loop over that library's modules, because its recording of hidden states knows
neither truncated encoders nor threads. WavLM's relative position bias is made by the first layer and handed
from layer to layer, as the layers expect; the sub-layer modules named for hooks return plain tensors, so it
can't be lost there.

References
----------
Baevski et al. 2020, arXiv 2006.11477 (wav2vec 2.0).  Babu et al. 2021, arXiv 2111.09296 (XLS-R).
Hsu et al. 2021, arXiv 2106.07447 (HuBERT).  Chen et al. 2021, arXiv 2110.13900 (WavLM).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from models.encoder import FrameEncoder, frame_mask
from models.families.pretrained import (
    check_keep_layers,
    load_transformers_model,
    portable_config,
    read_config,
    read_normalise,
)

# Whatever would drop, mask or resample hidden states at random or by design
QUIET = {"layerdrop": 0.0, "apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0,
         "attention_dropout": 0.0, "hidden_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0,
         "add_adapter": False, "adapter_attn_dim": None, "gradient_checkpointing": False}


class WaveformFrames(FrameEncoder):
    """Common to the three families; about 20 ms hop, T = frames of the unpadded convolutions (199 for 4 s).

    ``config`` is the family's ``transformers`` configuration plus ``keep_layers`` (None keeps all) and
    ``normalise`` (each input to zero mean and unit variance first; by default where the convolutions use
    layer norm, as the published models do). ``features`` is the convolutions' output (B, C, T). State 0
    enters the first layer; the last state of a complete pre-LN encoder is normalised, as in ``transformers``.
    """

    attention: ClassVar[str] = "sdpa"

    def __init__(self, config: dict[str, Any], model: nn.Module | None = None) -> None:
        super().__init__()
        full, hf = self.transformers_config(config), self.transformers_config(config)
        keep = check_keep_layers(config.get("keep_layers"), full.num_hidden_layers)
        normalise = config.get("normalise")
        self.normalise = full.feat_extract_norm == "layer" if normalise is None else bool(normalise)
        self.config = portable_config(full) | {"keep_layers": keep, "normalise": self.normalise}
        hf.num_hidden_layers = keep
        self.model = self.model_class()(hf) if model is None else model
        self.model.feature_extractor._requires_grad = False  # or it marks inputs as leaves while training
        self.pre_ln, self.complete = bool(full.do_stable_layer_norm), keep == full.num_hidden_layers
        self.n_layers, self.n_features = keep + 1, full.hidden_size
        self.kernels, self.strides = tuple(full.conv_kernel), tuple(full.conv_stride)
        self.hop, receptive = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            receptive += (kernel - 1) * self.hop
            self.hop *= stride
        self.start_s = (receptive - 1) / 2 / self.sample_rate

    @classmethod
    def transformers_config(cls, config: dict[str, Any]):
        """The library's configuration object with everything random switched off."""
        ours = ("keep_layers", "normalise", "model_type")
        own = {key: value for key, value in config.items() if key not in ours}
        return cls.config_class()(**(own | QUIET), attn_implementation=cls.attention)

    @staticmethod
    def config_class() -> type:
        raise NotImplementedError

    @staticmethod
    def model_class() -> type:
        raise NotImplementedError

    @staticmethod
    def tiny_config() -> dict[str, Any]:
        """Three of four post-LN layers, F = 32."""
        return {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64,
                "conv_dim": [16] * 7, "num_feat_extract_layers": 7, "num_conv_pos_embeddings": 16,
                "num_conv_pos_embedding_groups": 4, "keep_layers": 3}

    def n_frames(self, n_samples: int) -> int:
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            n_samples = (n_samples - kernel) // stride + 1
        return max(0, n_samples)

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> convolutional features (B, C, T)."""
        if self.normalise:
            variance, mean = torch.var_mean(wav, dim=1, keepdim=True, correction=0)
            wav = (wav - mean) / (variance + 1e-7).sqrt()
        return self.model.feature_extractor(wav)

    def forward_features(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Features (B, C, T) -> hidden states (B, L, T, F)."""
        encoder = self.model.encoder
        x = self.model.feature_projection(features.transpose(1, 2))  # (B, T, F)
        x = x[0] if isinstance(x, tuple) else x
        valid = None if lengths is None else frame_mask(lengths, features.shape[-1])  # (B, T)
        if valid is not None:
            x = x * valid[..., None]  # the positional convolution must meet zeros
        x = x + encoder.pos_conv_embed(x)
        if not self.pre_ln:
            x = encoder.layer_norm(x)
        states = self._through_layers(encoder.dropout(x), valid)
        if self.pre_ln and self.complete:
            states[-1] = encoder.layer_norm(states[-1])
        return torch.stack(states, dim=1)  # (B, L, T, F)

    def _through_layers(self, x: torch.Tensor, valid: torch.Tensor | None) -> list[torch.Tensor]:
        states = [x]
        attend = None if valid is None else valid[:, None, None]  # (B, 1, 1, T)
        for layer in self.model.encoder.layers:
            states.append(layer(states[-1], attention_mask=attend))
        return states

    def transformer_layers(self) -> list[nn.Module]:
        return list(self.model.encoder.layers)

    def sublayer_outputs(self, layer: nn.Module) -> tuple[nn.Module, nn.Module]:
        return layer.dropout, layer.feed_forward  # ``dropout`` sees the attention's output only

    @classmethod
    def load(cls, source: Path, *, keep_layers: int | None = None) -> WaveformFrames:
        """From a ``transformers`` folder. Raises EncoderUnavailable, ValueError."""
        config = read_config(source) | {"keep_layers": keep_layers}
        config.setdefault("normalise", read_normalise(source))
        hf = cls.transformers_config(config)
        hf.num_hidden_layers = check_keep_layers(keep_layers, hf.num_hidden_layers)
        return cls(config, load_transformers_model(cls.model_class(), source, hf))


class Wav2Vec2Frames(WaveformFrames):
    """wav2vec 2.0 and XLS-R."""

    family: ClassVar[str] = "wav2vec2"

    @staticmethod
    def config_class() -> type:
        from transformers import Wav2Vec2Config

        return Wav2Vec2Config

    @staticmethod
    def model_class() -> type:
        from transformers import Wav2Vec2Model

        return Wav2Vec2Model


class HubertFrames(WaveformFrames):
    """HuBERT."""

    family: ClassVar[str] = "hubert"

    @staticmethod
    def config_class() -> type:
        from transformers import HubertConfig

        return HubertConfig

    @staticmethod
    def model_class() -> type:
        from transformers import HubertModel

        return HubertModel


class WavLMFrames(WaveformFrames):
    """WavLM: base and base+ (post-LN), large (pre-LN). Its attention has no scaled-dot-product variant."""

    family: ClassVar[str] = "wavlm"
    attention: ClassVar[str] = "eager"

    @staticmethod
    def config_class() -> type:
        from transformers import WavLMConfig

        return WavLMConfig

    @staticmethod
    def model_class() -> type:
        from transformers import WavLMModel

        return WavLMModel

    def _through_layers(self, x: torch.Tensor, valid: torch.Tensor | None) -> list[torch.Tensor]:
        states, bias = [x], None
        for index, layer in enumerate(self.model.encoder.layers):
            x, bias = layer(x, attention_mask=valid, position_bias=bias, index=index)
            states.append(x)
        return states
