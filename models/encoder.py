"""One contract for every speech encoder: waveform in, all hidden states out, with the time geometry stated.

    wav (B, N) at 16 kHz -> features -> hidden states (B, L, T, F), one frame per ``hop_s``

Each family is one file in ``models/families``. Weights come from a local folder (``config.json`` and
safetensors) or, only when asked, from a model hub. Pickled weights and code from a model folder are never
loaded. What is done with the hidden states belongs elsewhere.

Samples beyond the last whole frame may be heard by the frames before them but get no frame of their own:
nothing is padded up. Index 0 of the L hidden states is what enters the first layer; for a Transformer cut
short by ``keep_layers`` the last state has not passed the encoder's final normalisation, which belongs after
the last layer of the whole encoder.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

SAMPLE_RATE = 16_000

# family -> (module in models.families, class)
FAMILIES: dict[str, tuple[str, str]] = {
    "whisper": ("whisper", "WhisperFrames"),
    "wav2vec2": ("waveform", "Wav2Vec2Frames"),  # also XLS-R
    "hubert": ("waveform", "HubertFrames"),
    "wavlm": ("waveform", "WavLMFrames"),  # base (post-LN) and large (pre-LN)
    "ast": ("ast", "ASTFrames"),
    "lfcc": ("cepstral", "LFCCFrames"),
    "logmel": ("cepstral", "LogMelFrames"),
}


class EncoderUnavailable(RuntimeError):
    """Weights are missing, unsafe or don't fit. The message is one plain sentence with what to do next."""


class FrameEncoder(nn.Module, ABC):
    """Base of all families.

    Attributes
    ----------
    config : dict that rebuilds the same network through ``build_encoder(family, config)``; JSON-able
    n_layers : L, hidden states returned, the embedding output included
    n_features : F
    hop : samples from one frame to the next
    start_s : time of the centre of frame 0 in seconds (centre of the samples that its embedding hears)
    """

    family: ClassVar[str] = ""
    sample_rate: ClassVar[int] = SAMPLE_RATE
    config: dict[str, Any]
    n_layers: int
    n_features: int
    hop: int
    start_s: float

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate

    @abstractmethod
    def n_frames(self, n_samples: int) -> int:
        """Frames T that ``n_samples`` give; 0 where the input is too short."""

    @abstractmethod
    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """wav (B, N) -> output of the fixed front end (B, C, S), time last. Fit for caching."""

    @abstractmethod
    def forward_features(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Features (B, C, S) -> hidden states (B, L, T, F). ``lengths`` (B,): valid frames T of each row."""

    @abstractmethod
    def transformer_layers(self) -> list[nn.Module]:
        """The Transformer layers that adapters attach to, in order; empty for a family without any."""

    def sublayer_outputs(self, layer: nn.Module) -> tuple[nn.Module, nn.Module]:
        """Modules of ``layer`` whose output tensor (B, S, F) is that of the attention and of the feed-forward
        sub-layer, before the residual addition. A forward hook may replace that tensor."""
        raise LookupError(f"The {self.family} encoder has no Transformer sub-layers.")

    def forward(self, wav: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """wav (B, N) float in [-1, 1] at 16 kHz -> hidden states (B, L, T, F).

        ``mask`` (B, N), true on valid samples, for rows padded at their end. A padded row's first frames are
        those it would have alone; the frames after them are meaningless.

        Raises ValueError for a wrong shape, input shorter than a frame or longer than the position table.
        """
        if wav.dim() != 2:
            raise ValueError(f"Expected a waveform batch (B, N), got shape {tuple(wav.shape)}.")
        if mask is None:
            self._check_length(wav.shape[1])
            return self.forward_features(self.features(wav))
        return self._forward_masked(wav, _valid_samples(mask, wav))

    def freeze(self) -> FrameEncoder:
        """No gradients to the parameters, evaluation mode; input and adapters still get theirs."""
        return self.requires_grad_(False).eval()

    def _check_length(self, n_samples: int) -> None:
        if self.n_frames(n_samples) < 1:
            raise ValueError(f"{n_samples} samples are too few for one frame of the {self.family} encoder.")

    def _forward_masked(self, wav: torch.Tensor, n_samples: list[int]) -> torch.Tensor:
        for n in n_samples:
            self._check_length(n)
        rows = [self.features(wav[i : i + 1, :n])[0] for i, n in enumerate(n_samples)]  # (C, S_i) each
        longest = max(row.shape[-1] for row in rows)
        features = torch.stack([F.pad(row, (0, longest - row.shape[-1])) for row in rows])  # (B, C, S)
        lengths = torch.tensor([self.n_frames(n) for n in n_samples], device=wav.device)
        hidden = self.forward_features(features, lengths)  # (B, L, max T_i, F)
        missing = self.n_frames(wav.shape[1]) - hidden.shape[2]
        return F.pad(hidden, (0, 0, 0, missing)) if missing > 0 else hidden


def _valid_samples(mask: torch.Tensor, wav: torch.Tensor) -> list[int]:
    """Valid samples per row of a mask that is true up to some sample and false from there on."""
    if mask.shape != wav.shape:
        raise ValueError(f"The mask has shape {tuple(mask.shape)}, the waveform {tuple(wav.shape)}.")
    mask = mask.bool()
    counts = mask.sum(1)
    if not torch.equal(mask, torch.arange(mask.shape[1], device=mask.device)[None] < counts[:, None]):
        raise ValueError("Only padding at the end of a row can be masked.")
    return counts.tolist()


def prime_tables(front_end: Callable[[torch.Tensor], Any]) -> None:
    """Let a front end build its cached tables (window, filters) outside inference mode: a table made inside
    it could never again take part in a gradient."""
    with torch.inference_mode(False), torch.no_grad():
        front_end(torch.zeros(1, 1_600))


def frame_mask(lengths: torch.Tensor, n_frames: int) -> torch.Tensor:
    """lengths (B,) -> (B, T) bool, true on valid frames."""
    return torch.arange(n_frames, device=lengths.device)[None] < lengths[:, None]


def family_class(family: str) -> type[FrameEncoder]:
    """The class of a family. Raises LookupError for an unknown name."""
    if family not in FAMILIES:
        raise LookupError(f"There is no encoder family {family!r}; known are {', '.join(FAMILIES)}.")
    module, name = FAMILIES[family]
    return getattr(importlib.import_module(f"models.families.{module}"), name)


def build_encoder(family: str, config: Mapping[str, Any], *, frozen: bool = True) -> FrameEncoder:
    """An encoder with random weights, to be filled by ``load_state_dict``; frozen unless told otherwise.

    ``config`` as in ``FrameEncoder.config`` or the family's own configuration. Raises LookupError,
    ValueError.
    """
    encoder = family_class(family)(dict(config))
    return encoder.freeze() if frozen else encoder


def tiny_config(family: str) -> dict[str, Any]:
    """Configuration of a family's debug instance, F = 32 (64 for lfcc and logmel)."""
    return family_class(family).tiny_config()


def tiny_encoder(family: str, seed: int = 0) -> FrameEncoder:
    """A random debug instance for tests, fixed by its seed. Leaves the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(family, tiny_config(family))


def load_encoder(path_or_hub_id: str | Path, *, allow_download: bool = False, keep_layers: int | None = None,
                 max_positions: int | None = None, revision: str | None = None) -> FrameEncoder:
    """A pretrained encoder, frozen, in fp32.

    path_or_hub_id : a folder with ``config.json`` and safetensors; one ``.safetensors`` file of a Whisper
        encoder; or a hub id, taken from the local cache, or fetched if ``allow_download`` (then only
        configuration and safetensors are fetched)
    keep_layers : Transformer layers to keep, all by default
    max_positions : Whisper only, position embeddings to keep (50 per second of the longest window)

    Raises EncoderUnavailable with a plain sentence; ValueError for a ``keep_layers`` that can't be.
    """
    from models.families.pretrained import family_of_folder, find_local

    source = find_local(path_or_hub_id, allow_download=allow_download, revision=revision)
    family = "whisper" if source.is_file() else family_of_folder(source)
    if family == "whisper":
        whisper = family_class(family)
        return whisper.load(source, keep_layers=keep_layers, max_positions=max_positions).freeze()
    if max_positions is not None:
        raise ValueError(f"max_positions applies to Whisper, not to the {family} encoder.")
    return family_class(family).load(source, keep_layers=keep_layers).freeze()
