"""Differentiable spectral front ends: Whisper's log-mel, and linear- or mel-filtered cepstra.

Everything here is a pure function of the waveform, written with ``torch.stft`` so that gradients
reach the samples and no third-party feature code stands on the hot path. Networks are elsewhere.

References
----------
Radford et al. 2022, arXiv 2212.04356 (80-band log-mel, 25 ms window, 10 ms hop).
Slaney 1998, Auditory Toolbox (mel scale and area normalisation).
Sahidullah et al. 2015, "A comparison of features for synthetic speech detection" (LFCC).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

SAMPLE_RATE = 16_000
N_FFT = 400
HOP = 160
N_MELS = 80


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above. Hz in, mel out."""
    hz = np.asarray(hz, dtype=np.float64)
    linear = hz * 3.0 / 200.0
    logarithmic = 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) * 27.0 / np.log(6.4)
    return np.where(hz >= 1000.0, logarithmic, linear)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of :func:`hz_to_mel`. mel in, Hz out."""
    mel = np.asarray(mel, dtype=np.float64)
    return np.where(mel >= 15.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0), mel * 200.0 / 3.0)


def triangular_filters(centres_hz: np.ndarray, n_fft: int = N_FFT, *, area: bool = True) -> np.ndarray:
    """Triangles between neighbouring corner frequencies.

    Parameters
    ----------
    centres_hz : np.ndarray [shape=(n + 2,)] corner frequencies in Hz, ascending
    area : divide each triangle by its half base in Hz (Slaney) so that all have equal area

    Returns
    -------
    np.ndarray [shape=(n, n_fft // 2 + 1)] float32
    """
    bins = np.linspace(0.0, SAMPLE_RATE / 2, n_fft // 2 + 1)
    left, middle, right = centres_hz[:-2, None], centres_hz[1:-1, None], centres_hz[2:, None]
    rising = (bins - left) / (middle - left)
    falling = (right - bins) / (right - middle)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if area:
        filters = filters * (2.0 / (right - left))
    return filters.astype(np.float32)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def mel_filters(n_mels: int = N_MELS, n_fft: int = N_FFT) -> torch.Tensor:
    """Slaney mel filter bank, 0-8 kHz. Returns (n_mels, n_fft // 2 + 1) float32."""
    corners = mel_to_hz(np.linspace(hz_to_mel(0.0), hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    return torch.from_numpy(triangular_filters(corners, n_fft))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def linear_filters(n_filters: int = 40, n_fft: int = N_FFT) -> torch.Tensor:
    """Equally spaced triangles, 0-8 kHz. Returns (n_filters, n_fft // 2 + 1) float32."""
    corners = np.linspace(0.0, SAMPLE_RATE / 2, n_filters + 2)
    return torch.from_numpy(triangular_filters(corners, n_fft, area=False))


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _window(n_fft: int) -> torch.Tensor:
    return torch.hann_window(n_fft, periodic=True)


def power_spectrogram(wav: torch.Tensor, *, n_fft: int = N_FFT, hop: int = HOP) -> torch.Tensor:
    """Power spectrogram of centred, reflect-padded frames; the trailing frame is dropped as Whisper does.

    wav : (B, N) float32 in [-1, 1] at 16 kHz, N > n_fft // 2. Returns (B, n_fft // 2 + 1, N // hop).
    """
    spectrum = torch.stft(wav, n_fft, hop, window=_window(n_fft).to(wav.device, wav.dtype), center=True,
                          pad_mode="reflect", return_complex=True)  # (B, n_fft/2+1, N//hop + 1)
    return spectrum[..., : wav.shape[-1] // hop].abs().square()


def whisper_log_mel(wav: torch.Tensor) -> torch.Tensor:
    """Whisper's input features, computed per row of the batch.

    wav : (B, N) float32 in [-1, 1] at 16 kHz. Returns (B, 80, N // 160): log10 mel power, clamped 8 below the
    row's maximum, then (x + 4) / 4. Agrees with ``transformers.WhisperFeatureExtractor`` within 1e-4
    (arXiv 2212.04356, section 2.2).
    """
    mel = mel_filters().to(wav.device, wav.dtype) @ power_spectrogram(wav)  # (B, 80, N//160)
    log = mel.clamp_min(1e-10).log10()
    ceiling = log.amax(dim=(1, 2), keepdim=True)
    return (torch.maximum(log, ceiling - 8.0) + 4.0) / 4.0


def mel_at_encoder_rate(mel: torch.Tensor) -> torch.Tensor:
    """Average pairs of 10 ms log-mel frames: (B, 80, 2T) -> (B, T, 80), the reconstruction target at 20 ms."""
    return F.avg_pool1d(mel, 2).transpose(1, 2)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _dct(n_out: int, n_in: int) -> torch.Tensor:
    """Orthonormal DCT-II as a matrix (n_out, n_in), equal to ``scipy.fft.dct(norm='ortho')``."""
    n = np.arange(n_in)
    matrix = np.cos(np.pi * np.arange(n_out)[:, None] * (2 * n + 1) / (2 * n_in)) * np.sqrt(2.0 / n_in)
    matrix[0] /= np.sqrt(2.0)
    return torch.from_numpy(matrix.astype(np.float32))


def deltas(x: torch.Tensor) -> torch.Tensor:
    """Centred first difference over the last axis, edges repeated: (..., T) -> (..., T)."""
    padded = F.pad(x, (1, 1), mode="replicate")
    return (padded[..., 2:] - padded[..., :-2]) / 2.0


def lfcc(wav: torch.Tensor, *, n_filters: int = 40, n_coefficients: int = 20, with_deltas: bool = True) -> torch.Tensor:
    """Linear-frequency cepstral coefficients at a 10 ms hop (Sahidullah et al. 2015).

    wav : (B, N) at 16 kHz. Returns (B, 3 * n_coefficients, N // 160) with first and second differences, or
    (B, n_coefficients, N // 160) without.
    """
    power = linear_filters(n_filters).to(wav.device, wav.dtype) @ power_spectrogram(wav)
    static = _dct(n_coefficients, n_filters).to(wav.device, wav.dtype) @ power.clamp_min(1e-10).log()
    if not with_deltas:
        return static
    first = deltas(static)
    return torch.cat([static, first, deltas(first)], dim=1)
