"""The front ends against independent implementations."""

from __future__ import annotations

import librosa
import numpy as np
import torch
from scipy.fft import dct

from models.frontend import _dct, deltas, hz_to_mel, lfcc, mel_filters, mel_to_hz, whisper_log_mel


def test_log_mel_is_whispers() -> None:
    from transformers import WhisperFeatureExtractor

    x = (np.random.default_rng(0).normal(size=48_000) * 0.1).astype(np.float32)
    theirs = WhisperFeatureExtractor()(x, sampling_rate=16_000, return_tensors="np", padding="longest")
    ours = whisper_log_mel(torch.from_numpy(x)[None])[0].numpy()
    assert np.abs(ours - theirs["input_features"][0]).max() < 1e-4


def test_mel_filters_are_slaneys() -> None:
    assert np.allclose(mel_filters().numpy(), librosa.filters.mel(sr=16_000, n_fft=400, n_mels=80), atol=1e-7)
    f = np.linspace(0, 8000, 200)
    assert np.allclose(mel_to_hz(hz_to_mel(f)), f)


def test_dct_is_scipys() -> None:
    x = np.random.default_rng(1).normal(size=(40, 7)).astype(np.float32)
    assert np.allclose(_dct(20, 40).numpy() @ x, dct(x, axis=0, norm="ortho")[:20], atol=1e-5)


def test_lfcc_shape_gradient_and_level() -> None:
    x = (0.1 * torch.randn(2, 16_000)).requires_grad_(True)
    y = lfcc(x)
    assert y.shape == (2, 60, 100)
    y.sum().backward()
    assert x.grad.abs().sum() > 0
    louder = lfcc(2 * x.detach())
    assert torch.allclose(louder[:, 1:], y.detach()[:, 1:], atol=1e-3)  # level moves the zeroth coefficient only


def test_deltas_of_a_ramp_are_its_slope() -> None:
    assert torch.allclose(deltas(torch.arange(10.0)[None])[0, 1:-1], torch.ones(8))


def test_tables_built_in_inference_mode_still_carry_gradients() -> None:
    mel_filters.cache_clear()
    with torch.inference_mode():
        whisper_log_mel(torch.randn(1, 4_000))
    x = torch.randn(1, 4_000, requires_grad=True)
    whisper_log_mel(x).sum().backward()
    assert x.grad is not None
