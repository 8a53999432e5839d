"""Small neural vocoders of our own, for copy-synthesis: real speech in, the same speech rebuilt by a network out.

    wav (B, N) -> features (B, C, T) -> generator -> wav (B, N)

Three generators share one contract (:class:`Vocoder`): an inverse-STFT head on ConvNeXt blocks, transposed convolutions
with residual blocks of several dilations, and a neural source-filter that shapes a harmonic source. A fourth, the
vector-quantising codec, is in ``models.vocoder_codec``. They make training material; none of them judges anything.

References
----------
Siuzdak 2023, "Vocos", arXiv 2306.00814; Kaneko et al. 2022, "iSTFTNet", arXiv 2203.02395.
Kong et al. 2020, "HiFi-GAN", arXiv 2010.05646.  Wang et al. 2020, "Neural source-filter", arXiv 1904.12088.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models.frontend import hz_to_mel, mel_to_hz, triangular_filters

SAMPLE_RATE = 16_000
KINDS = ("istft", "hifigan", "nsf", "vq")


@dataclass(frozen=True)
class VocoderConfig:
    """Everything needed to rebuild a vocoder before its weights are loaded."""

    kind: str = "istft"  # one of KINDS
    channels: int = 192  # width
    blocks: int = 6  # ConvNeXt blocks, or dilated convolutions of the source filter
    n_fft: int = 640  # analysis window and, for istft, synthesis window, samples
    hop: int = 160  # samples per feature frame
    n_mels: int = 80  # mel bands from 0 to 8 kHz
    strides: tuple[int, ...] = (8, 5, 4)  # hifigan: upsampling steps, product = hop
    quantisers: int = 4  # vq: residual stages
    codewords: int = 256  # vq: per stage
    code: int = 32  # vq: dimensions of a codeword


class VocoderError(ValueError):
    """A vocoder's configuration or file can't be used."""


def build_vocoder(config: VocoderConfig) -> Vocoder:
    """A new network. Raises VocoderError for a kind or sizes that don't go together."""
    if config.kind not in KINDS:
        raise VocoderError(f"there is no vocoder {config.kind!r}; known are {', '.join(KINDS)}")
    if config.kind == "hifigan" and math.prod(config.strides) != config.hop:
        raise VocoderError(f"the strides {config.strides} must multiply to the hop of {config.hop} samples")
    if config.kind == "vq":
        from models.vocoder_codec import VQCodec

        return VQCodec(config)
    return {"istft": ISTFTVocoder, "hifigan": HiFiVocoder, "nsf": SourceFilterVocoder}[config.kind](config)


class LogMel(nn.Module):
    """Natural logarithm of a mel spectrogram, (B, N) -> (B, n_mels, T) with T = N // hop + 1."""

    def __init__(self, n_fft: int, hop: int, n_mels: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        edges = mel_to_hz(np.linspace(0.0, float(hz_to_mel(8000.0)), n_mels + 2))
        self.register_buffer("filters", torch.from_numpy(triangular_filters(edges, n_fft, area=False)), persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(wav.float(), self.n_fft, self.hop, window=self.window, return_complex=True)  # (B, F, T)
        return (self.filters @ spectrum.abs()).clamp_min(1e-5).log()


class Vocoder(nn.Module):
    """Base: ``features`` analyses, ``generate`` rebuilds, ``forward`` does both. ``extra`` is a loss of the generator."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.mel = LogMel(config.n_fft, config.hop, config.n_mels)
        self.extra: torch.Tensor | None = None

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """(B, N) -> (B, C, T)."""
        return self.mel(wav)

    def generate(self, features: torch.Tensor, n: int) -> torch.Tensor:
        """(B, C, T) -> (B, n)."""
        raise NotImplementedError

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        return self.generate(self.features(wav), wav.shape[-1])


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise bottleneck, added to its input. (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen, self.narrow = nn.Linear(channels, 3 * channels), nn.Linear(3 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 1.0 / blocks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))  # (B, T, C)
        return x + (self.scale * self.narrow(F.gelu(self.widen(y)))).transpose(1, 2)


class SpectrumHead(nn.Module):
    """Log magnitude and phase of each frame, turned into samples by one inverse STFT. (B, C, T) -> (B, n)."""

    def __init__(self, channels: int, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.project = nn.Linear(channels, n_fft + 2)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, x: torch.Tensor, n: int) -> torch.Tensor:
        magnitude, phase = self.project(x.transpose(1, 2)).float().transpose(1, 2).chunk(2, dim=1)  # (B, F, T) twice
        spectrum = torch.polar(magnitude.clamp(max=6.0).exp(), phase)
        short = n // self.hop + 1 - spectrum.shape[-1]
        spectrum = F.pad(spectrum, (0, short)) if short > 0 else spectrum
        return torch.istft(spectrum, self.n_fft, self.hop, window=self.window, length=n)


class ISTFTVocoder(Vocoder):
    """ConvNeXt blocks at the frame rate, then an inverse STFT (Vocos-like): fast, its errors are in the phase."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__(config)
        c = config.channels
        self.entry = nn.Conv1d(config.n_mels, c, 7, padding=3)
        self.blocks = nn.ModuleList(ConvNeXtBlock(c, config.blocks) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(c)
        self.head = SpectrumHead(c, config.n_fft, config.hop)

    def generate(self, features: torch.Tensor, n: int) -> torch.Tensor:
        x = self.entry(features)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.transpose(1, 2)).transpose(1, 2), n)


class _Dilated(nn.Module):
    """Residual convolutions of growing dilation (a multi-receptive-field block). (B, C, N) -> (B, C, N)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2)
                                    for d in dilations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = x + layer(F.leaky_relu(x, 0.1))
        return x


class HiFiVocoder(Vocoder):
    """Transposed convolutions up to the sample rate, each followed by dilated blocks of two kernels (HiFi-GAN-like)."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__(config)
        widths = [max(8, config.channels >> i) for i in range(len(config.strides) + 1)]
        self.entry = nn.Conv1d(config.n_mels, widths[0], 7, padding=3)
        self.ups = nn.ModuleList(nn.ConvTranspose1d(a, b, 2 * s, s, padding=s // 2, output_padding=s % 2)
                                 for a, b, s in zip(widths, widths[1:], config.strides, strict=False))
        self.mixes = nn.ModuleList(nn.ModuleList(_Dilated(b, k, (1, 3, 5)) for k in (3, 7)) for b in widths[1:])
        self.exit = nn.Conv1d(widths[-1], 1, 7, padding=3)

    def generate(self, features: torch.Tensor, n: int) -> torch.Tensor:
        x = self.entry(features)
        for up, mix in zip(self.ups, self.mixes, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(block(x) for block in mix) / len(mix)
        y = torch.tanh(self.exit(F.leaky_relu(x, 0.1)).float())[:, 0]  # (B, T * hop)
        return F.pad(y, (0, max(0, n - y.shape[-1])))[:, :n]


class SourceFilterVocoder(Vocoder):
    """Sines at the harmonics of a measured pitch plus noise, shaped by dilated convolutions (source-filter-like).

    Its features are the mel bands and one row with the pitch in Hz, 0 where unvoiced.
    """

    HARMONICS = 8

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__(config)
        c = max(8, config.channels // 4)
        self.source = nn.Conv1d(self.HARMONICS + 1, c, 1)
        self.condition = nn.Conv1d(config.n_mels, 2 * c * config.blocks, 3, padding=1)
        self.filters = nn.ModuleList(nn.Conv1d(c, c, 3, dilation=3 ** (i % 5), padding=3 ** (i % 5))
                                     for i in range(config.blocks))
        self.exit = nn.Conv1d(c, 1, 1)

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        mel = self.mel(wav)
        pitch = track_pitch(wav.float(), self.config.hop, mel.shape[-1])
        return torch.cat([mel, pitch[:, None]], dim=1)

    def generate(self, features: torch.Tensor, n: int) -> torch.Tensor:
        mel, pitch = features[:, :-1], features[:, -1].float()
        hop = self.config.hop
        track = pitch.repeat_interleave(hop, dim=-1)[:, :n]  # (B, n) Hz
        track = F.pad(track, (0, max(0, n - track.shape[-1])))
        phase = 2 * math.pi * torch.cumsum(track.double() / SAMPLE_RATE, dim=-1)
        order = torch.arange(1, self.HARMONICS + 1, device=mel.device)[None, :, None]
        heard = (track[:, None] > 0) & (order * track[:, None] < SAMPLE_RATE / 2)
        sines = 0.1 * torch.sin(phase[:, None] * order).to(mel.dtype) * heard
        x = self.source(torch.cat([sines, 0.03 * torch.randn_like(sines[:, :1])], dim=1))  # (B, c, n)
        shapes = self.condition(mel).repeat_interleave(hop, dim=-1)[..., :n]
        shapes = F.pad(shapes, (0, max(0, n - shapes.shape[-1]))).chunk(len(self.filters), dim=1)
        for layer, shape in zip(self.filters, shapes, strict=True):
            gain, shift = shape.chunk(2, dim=1)
            x = x + torch.tanh(layer(x) * (1 + gain) + shift)
        return torch.tanh(self.exit(x).float())[:, 0]


def track_pitch(wav: torch.Tensor, hop: int, frames: int) -> torch.Tensor:
    """Pitch in Hz by normalised autocorrelation in 64 ms, 60-400 Hz, 0 where below 0.5. (B, N) -> (B, frames)."""
    size, low, high = 1024, SAMPLE_RATE // 400, SAMPLE_RATE // 60
    padded = F.pad(wav, (size // 2, size // 2 + hop))
    windows = padded.unfold(-1, size, hop)[:, :frames] * torch.hann_window(size, device=wav.device)  # (B, T, size)
    spectrum = torch.fft.rfft(windows, 2 * size)
    correlation = torch.fft.irfft(spectrum.abs().square(), 2 * size)[..., : high + 1]
    window = torch.fft.rfft(torch.hann_window(size, device=wav.device), 2 * size)
    taper = torch.fft.irfft(window.abs().square(), 2 * size)[: high + 1]
    correlation = correlation / (correlation[..., :1] + 1e-6) / (taper / taper[0])
    lags = torch.arange(low, high + 1, device=wav.device)
    best, lag = (correlation[..., low:] - 0.1 * lags / high).max(dim=-1)  # of equal peaks the first: no octave errors
    pitch = SAMPLE_RATE / (lag + low).float()
    return torch.where(best > 0.5, pitch, torch.zeros_like(pitch))


def save_vocoder(model: Vocoder, path: Path, *, notes: dict[str, str] | None = None) -> None:
    """Write weights and configuration into one safetensors file, whole or not at all."""
    tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    partial = path.with_suffix(".part")
    save_file(tensors, partial, {"config": json.dumps(asdict(model.config)), **(notes or {})})
    partial.replace(path)


def load_vocoder(path: Path) -> Vocoder:
    """The network of a file written by :func:`save_vocoder`, in evaluation mode. Raises VocoderError with a reason."""
    try:
        with safe_open(path, framework="pt") as file:
            fields = json.loads((file.metadata() or {}).get("config", ""))
            model = build_vocoder(VocoderConfig(**{**fields, "strides": tuple(fields["strides"])}))
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise VocoderError(f"{path} is not a vocoder's file: {error}") from error
    return model.eval()
